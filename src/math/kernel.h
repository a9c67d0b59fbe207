/* SPDX-License-Identifier: MIT
 *
 * Kernels: statistics over time of a stream of samples, voxel by voxel.
 *
 * A run's moments are n, sum, M2 (sum of squared deviations from the mean), min and max for each
 * voxel, all float64. Stored integers of 16 bits and less are summed exactly (64-bit sum and sum of
 * squares, turned into M2 with integers that are wide enough), so that the order of addition cannot
 * matter; of everything else M2 goes by Welford's update (Welford 1962), whose order is the order
 * of the volumes, beside a compensated sum. Moments of runs merge by adding sums, and M2 by the
 * formula of Chan, Golub and LeVeque (1979). The mean is divided out once, at the end, so that that
 * of whole numbers is exact over joined runs too and `bold > mean(bold)` is right on ties. NaN and
 * inf come out as numpy's mean, std, min and max over float64 have them. Thread rule: no shared
 * state; a struct moments belongs to one thread at a time. No I/O, no locks.
 */
#ifndef DERIVFS_KERNEL_H
#define DERIVFS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "sample.h"

/* The planes of finished moments, in the order in which they are stored. */
enum moments_plane { MOMENTS_SUM, MOMENTS_M2, MOMENTS_MIN, MOMENTS_MAX, MOMENTS_NPLANES };

struct moments;

/* Bytes that moments_new() will allocate: for the memory budget. */
size_t moments_nbytes(enum sample_type type, size_t nvox);

/* Bytes of samples that are best brought in one call of moments_add(), all but the last one: whole
 * samples, and whole volumes unless those are very large, or take more memory than `most`. */
size_t moments_call_nbytes(enum sample_type type, size_t nvox, size_t most);

/* For samples of `type`, of `nvox` voxels a volume; `swap`: samples come in the other byte order.
 * NULL: out of memory. */
struct moments *moments_new(enum sample_type type, bool swap, size_t nvox) NODISCARD;
void moments_free(struct moments *m); /* NULL is allowed */

/* The next `nsamples` of the run in file order [nvol][nz][ny][nx], x fastest; calls continue where
 * the one before ended, at any sample. `samples` is aligned to 64 bytes and may be overwritten
 * (byte order is put right in place). */
void moments_add(struct moments *m, void *samples, size_t nsamples);

/* Voxels of a volume. */
size_t moments_nvox(const struct moments *m);

/* One plane of voxels [vox0, vox0 + nvox), in intensity = slope * stored + inter. After the last
 * volume; may be called again. `out` is [nvox]. */
void moments_plane(const struct moments *m, enum moments_plane plane, double slope, double inter,
                   size_t vox0, size_t nvox, double *out);

/* out[n] = slope * stored + inter of `n` samples of `type`, which may come in the other byte order.
 */
void kernel_scale(enum sample_type type, bool swap, const void *samples, size_t n, double slope,
                  double inter, double *out);

/* Moments of `nvox` voxels, plane by plane; each pointer is [nvox]. */
struct moments_view {
    double n; /* volumes */
    double *plane[MOMENTS_NPLANES];
};

/* out[n] = means of voxels [vox0, vox0 + n). A series whose smallest and largest values are equal
 * has that mean to the bit. */
void moments_mean(const struct moments_view *m, size_t vox0, size_t n, double *out);

/* As numpy's var and std: divided by max(volumes - ddof, 0), so that too few volumes give NaN or
 * inf, not an error. */
void moments_variance(const struct moments_view *m, size_t vox0, size_t n, double ddof,
                      double *out);
void moments_std(const struct moments_view *m, size_t vox0, size_t n, double ddof, double *out);

/* into = into joined in time with `from`. into->n may be 0: then it becomes a copy. */
void moments_merge(struct moments_view *into, const struct moments_view *from, size_t nvox);

#endif
