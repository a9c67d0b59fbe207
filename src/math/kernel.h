/* SPDX-License-Identifier: MIT
 *
 * Kernels: statistics over time of a stream of samples, voxel by voxel.
 *
 * A run's moments are n, sum, M2 (sum of squared deviations from the mean), min and max for each
 * voxel, all float64. Stored integers of up to 16 bits are summed exactly (64-bit sum and sum of
 * squares, then M2 in wide integers): the order of addition does not matter. All else uses
 * Welford's update (1962) for M2, in the order of volumes, and a compensated sum. Moments of runs
 * merge by adding sums, and M2 by the formula of Chan, Golub and LeVeque (1979). Only the end
 * divides by n: the mean of whole numbers is exact over joined runs too, and `bold > mean(bold)` is
 * right on ties. NaN and inf give the results of numpy's mean, std, min and max over float64.
 * A trend takes sums along polynomials (legendre.h) in the same pass.
 * Thread rule: a struct moments belongs to one thread at a time. No I/O, no locks.
 */
#ifndef DERIVFS_KERNEL_H
#define DERIVFS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "legendre.h"
#include "sample.h"

/* The planes of finished moments, in the order in which they are stored. */
enum moments_plane { MOMENTS_SUM, MOMENTS_M2, MOMENTS_MIN, MOMENTS_MAX, MOMENTS_NPLANES };

struct moments;

/* Bytes that moments_new() will allocate, for a trend of `order` (0: none): for the memory budget. */
size_t moments_nbytes(enum sample_type type, size_t nvox, unsigned order);

/* The best number of bytes for each call of moments_add() but the last: whole samples, and whole
 * volumes unless these are very large or exceed `most`. */
size_t moments_call_nbytes(enum sample_type type, size_t nvox, size_t most);

/* For samples of `type`, of `nvox` voxels a volume; `swap`: samples have the other byte order;
 * `trend` (NULL: none), which outlives the moments: of so many volumes a trend is fitted as well. NULL: out of memory. */
struct moments *moments_new(enum sample_type type, bool swap, size_t nvox,
                            const struct legendre *trend) NODISCARD;
void moments_free(struct moments *m); /* takes NULL */

/* Add the next `nsamples` of the run in file order [nvol][nz][ny][nx], x fastest; any number.
 * `samples` is aligned to 64 bytes; its bytes are swapped in place where `swap`. */
void moments_add(struct moments *m, void *samples, size_t nsamples);

/* Voxels of a volume. */
size_t moments_nvox(const struct moments *m);

/* One plane of voxels [vox0, vox0 + nvox), in intensity = slope * stored + inter. After the last
 * volume; may be called again. `out` is [nvox]. */
void moments_plane(const struct moments *m, enum moments_plane plane, double slope, double inter,
                   size_t vox0, size_t nvox, double *out);

/* After the last volume, of moments with a trend, in intensity as above: planes[MOMENTS_NPLANES]
 * [nvox] of what the trend leaves, min and max as bounds; then [trend->order][nvox] coefficients of
 * P_1 .. P_order. A voxel with NaN or inf has NaN only, unless the order is 0. */
void moments_trend(const struct moments *m, double slope, double inter, double *planes);

/* Change the byte order of samples[n], in place. */
void kernel_swap(enum sample_type type, void *samples, size_t n);

/* out[n] = slope * stored + inter of `n` samples of `type`; `swap` as above. */
void kernel_scale(enum sample_type type, bool swap, const void *samples, size_t n, double slope,
                  double inter, double *out);

/* Before values are written. Which NaN an operation gives depends on the machine (0/0 is negative
 * on x86, positive on ARM): every one becomes the same, 0x7fc00000 as float32 and
 * 0x7ff8000000000000 as float64. */
void kernel_round(const double *values, size_t n, float *out);
void kernel_settle_nan(const double *values, size_t n, double *out);

/* Moments of `nvox` voxels, plane by plane; each pointer is [nvox]. */
struct moments_view {
    double n; /* volumes */
    double *plane[MOMENTS_NPLANES];
};

/* out[n] = means of voxels [vox0, vox0 + n); of a constant series to the bit. */
void moments_mean(const struct moments_view *m, size_t vox0, size_t n, double *out);

/* As numpy's var and std: divided by max(volumes - ddof, 0); too few volumes give NaN or inf. */
void moments_variance(const struct moments_view *m, size_t vox0, size_t n, double ddof,
                      double *out);
void moments_std(const struct moments_view *m, size_t vox0, size_t n, double ddof, double *out);

/* Join `from` to `into`, in time. Where into->n is 0 it becomes a copy. */
void moments_merge(struct moments_view *into, const struct moments_view *from, size_t nvox);

#endif
