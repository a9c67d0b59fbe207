/* SPDX-License-Identifier: MIT
 *
 * Welford's update, for samples of 32 bits and more.
 *
 *     sample ──> float64 ──> sum  lost  mean  M2  smallest  largest     48 bytes a voxel
 *
 * M2 of a constant series is exactly 0, because the first volume sets the running mean and every
 * later difference is 0. The sum has its rounding error beside it (Knuth's TwoSum): it is right to
 * nearly the last bit, while the running mean has a rounding error for each volume. Integers of 64
 * bits are rounded to float64 first, as numpy's astype does. inf invalidates sum and running mean:
 * welford_plane() corrects these. Deliberate imprecision: finite samples that differ by more than
 * DBL_MAX count as overflow.
 */
#include "kernel_private.h"

#include <math.h>

/* Voxels converted at a time: 4 KiB of float64, well inside L1 beside the planes. */
enum { CONVERT_TILE = 512 };

/* `count` is the number of volumes with this one. NaN stays in low and high: no comparison with it
 * is true. */
VECTOR_LOOP static void add_float64(size_t n, const double *restrict x, double count,
                                    double *restrict sum, double *restrict lost,
                                    double *restrict mean, double *restrict m2,
                                    double *restrict low, double *restrict high)
{
    for (size_t i = 0; i < n; i++) {
        double v = x[i];
        double next = sum[i] + v;
        double taken = next - sum[i];
        double delta = v - mean[i];
        lost[i] += (sum[i] - (next - taken)) + (v - taken);
        sum[i] = next;
        mean[i] += delta / count;
        m2[i] += delta * (v - mean[i]);
        low[i] = ((v < low[i]) | (v != v)) ? v : low[i];
        high[i] = ((v > high[i]) | (v != v)) ? v : high[i];
    }
}

static void add_row(struct moments *m, uint64_t vol, size_t vox0, size_t n, const void *samples)
{
    double room[CONVERT_TILE];

    for (size_t at = 0; at < n; at += CONVERT_TILE) {
        size_t some = n - at < CONVERT_TILE ? n - at : CONVERT_TILE;
        const double *x = kernel_as_float64(m->type, samples, at, some, room);
        size_t vox = vox0 + at;
        add_float64(some, x, (double)(vol + 1), m->plane[MOMENTS_SUM] + vox, m->lost + vox,
                    m->mean + vox, m->plane[MOMENTS_M2] + vox, m->plane[MOMENTS_MIN] + vox,
                    m->plane[MOMENTS_MAX] + vox);
    }
}

void welford_rows(struct moments *m, uint64_t vol, size_t vox0, size_t n, const void *samples,
                  size_t nrows)
{
    for (size_t row = 0; row < nrows; row++)
        add_row(m, vol + row, vox0, n, (const char *)samples + row * m->nvox * m->sample_nbytes);
}

void welford_reset(struct moments *m)
{
    for (size_t i = 0; i < m->nvox; i++) {
        m->plane[MOMENTS_SUM][i] = 0;
        m->lost[i] = 0;
        m->mean[i] = 0;
        m->plane[MOMENTS_M2][i] = 0;
        m->plane[MOMENTS_MIN][i] = INFINITY;
        m->plane[MOMENTS_MAX][i] = -INFINITY;
    }
}

void welford_plane(const struct moments *m, uint64_t nvol, enum moments_plane plane, size_t vox0,
                   size_t nvox, double *out)
{
    (void)nvol;
    for (size_t i = 0; i < nvox; i++) {
        size_t vox = vox0 + i;
        double sum = m->plane[MOMENTS_SUM][vox];
        double m2 = m->plane[MOMENTS_M2][vox];

        if (isfinite(sum)) /* else `lost` is NaN */
            sum += m->lost[vox];
        settle_nonfinite(m->plane[MOMENTS_MIN][vox], m->plane[MOMENTS_MAX][vox], &sum, &m2);
        if (plane == MOMENTS_SUM)
            out[i] = sum;
        else if (plane == MOMENTS_M2)
            out[i] = m2;
        else
            out[i] = m->plane[plane][vox];
    }
}
