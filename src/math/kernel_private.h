/* SPDX-License-Identifier: MIT
 *
 * Private to the kernel: the state of running moments, and the functions that add rows to it.
 *
 * A row is a stretch of neighbouring voxels of one volume. Rows of one voxel are added in the order
 * of volumes (exact sums in any): neither the length of rows nor the instruction set changes a
 * result. Thread rule: as kernel.h.
 */
#ifndef DERIVFS_KERNEL_PRIVATE_H
#define DERIVFS_KERNEL_PRIVATE_H

#include <math.h>
#include <stdbool.h>

#include "kernel.h"
#include "vector.h"

struct moments {
    enum sample_type type;
    bool swap;
    size_t nvox;
    size_t sample_nbytes;
    uint64_t nsamples; /* added so far */

    /* Stored integers of 16 bits and less; each [nvox]. */
    int64_t *sum;
    uint64_t *sumsq; /* cannot overflow before volume 2^32 */
    void *low;       /* smallest and largest, in the stored type */
    void *high;

    /* Every other type; each [nvox]. */
    double *mean; /* running */
    double *lost; /* the rounding error of the sum */
    double *plane[MOMENTS_NPLANES];

    /* Only of a trend. */
    const struct legendre *trend;
    double *first; /* [nvox]: the first volume */
    double *along; /* [trend->order][nvox]: sums of (x - first) q_k for k = 1 .. order */
};

/* Rows that one pass over the accumulators adds, at most. */
enum { KERNEL_TOGETHER = 4 };

/* Add voxels [vox0, vox0 + n) of `nrows` volumes from `vol` (from 0) on: samples[n] of each, the
 * rows `nvox` samples apart. Samples are in this machine's byte order. */
typedef void add_rows_fn(struct moments *m, uint64_t vol, size_t vox0, size_t n,
                         const void *samples, size_t nrows);

/* One plane in stored units of the moments of `nvol` volumes. */
typedef void plane_fn(const struct moments *m, uint64_t nvol, enum moments_plane plane, size_t vox0,
                      size_t nvox, double *out);

/* kernel_exact.c; NULL where `type` is not summed exactly */
add_rows_fn *exact_rows_fn(enum sample_type type);
void exact_reset(struct moments *m);
plane_fn exact_plane;

/* kernel_welford.c */
add_rows_fn welford_rows;
void welford_reset(struct moments *m);
plane_fn welford_plane;

/* kernel_trend.c */
add_rows_fn trend_rows;
void trend_reset(struct moments *m);

/* kernel.c: samples[at, at + n) as float64: in `room`, or in place if they are float64 */
const double *kernel_as_float64(enum sample_type type, const void *samples, size_t at, size_t n,
                                double *room);

/* Functions of one voxel: calls would keep the compiler from vectorizing the loops. */
#define KERNEL_INLINE static inline __attribute__((always_inline))

/* Set the sum and M2 of a series with NaN or inf, which `low` or `high` then is, to those of numpy.
 * Finite series stay. */
KERNEL_INLINE void settle_nonfinite(double low, double high, double *sum, double *m2)
{
    bool finite = isfinite(low) && isfinite(high);

    *sum = finite ? *sum : low + high; /* NaN, inf or -inf, as the sum of the series */
    *m2 = finite ? *m2 : NAN;
}

#endif
