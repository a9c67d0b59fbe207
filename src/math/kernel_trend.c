/* SPDX-License-Identifier: MIT
 *
 * Sums along polynomials, for trends.
 *
 *     sample ──> float64, less the voxel's first one ──> a sum of products with q_k for each k
 *
 * The first volume is taken off all before they are summed: a large mean costs no digits, and a
 * constant has exactly no trend. The products of a voxel are added one by one in the order of
 * volumes, of several volumes before its sums are stored.
 */
#include <math.h>
#include <string.h>

#include "kernel_private.h"

/* Voxels at a time: their differences of KERNEL_TOGETHER volumes stay in L1 beside all else. */
enum { TREND_TILE = 128 };

VECTOR_LOOP static void take_off(size_t n, const double *restrict x, const double *restrict first,
                                 double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] - first[i];
}

VECTOR_LOOP static void add_one(size_t n, const double *restrict x, double q, double *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i] * q;
}

/* x[KERNEL_TOGETHER][TREND_TILE]; the q of one polynomial at these volumes. */
VECTOR_LOOP static void add_four(size_t n, const double *restrict x, const double *restrict q,
                                 double *restrict sum)
{
    double q0 = q[0], q1 = q[1], q2 = q[2], q3 = q[3];

    for (size_t i = 0; i < n; i++)
        sum[i] = sum[i] + x[i] * q0 + x[TREND_TILE + i] * q1 + x[2 * TREND_TILE + i] * q2 +
                 x[3 * TREND_TILE + i] * q3;
}

/* At most KERNEL_TOGETHER volumes of at most TREND_TILE voxels, the rows `nvox` samples apart. */
static void add_tile(struct moments *m, uint64_t vol, size_t vox0, size_t n, const char *samples,
                     size_t nrows)
{
    const struct legendre *l = m->trend;
    double room[TREND_TILE], less[KERNEL_TOGETHER * TREND_TILE], *first = m->first + vox0;

    for (size_t row = 0; row < nrows; row++) {
        const double *x = kernel_as_float64(m->type, samples, row * m->nvox, n, room);

        if (vol + row == 0)
            memcpy(first, x, n * sizeof *x);
        take_off(n, x, first, less + row * TREND_TILE);
    }
    for (unsigned k = 1; k <= l->order; k++) {
        const double *q = l->q + k * l->nvol + vol;
        double *sum = m->along + (k - 1) * m->nvox + vox0;

        if (nrows == KERNEL_TOGETHER)
            add_four(n, less, q, sum);
        else
            for (size_t row = 0; row < nrows; row++)
                add_one(n, less + row * TREND_TILE, q[row], sum);
    }
}

void trend_rows(struct moments *m, uint64_t vol, size_t vox0, size_t n, const void *samples,
                size_t nrows)
{
    const char *from = samples;

    for (size_t row = 0; row < nrows; row += KERNEL_TOGETHER)
        for (size_t at = 0; at < n; at += TREND_TILE)
            add_tile(m, vol + row, vox0 + at, n - at < TREND_TILE ? n - at : TREND_TILE,
                     from + (row * m->nvox + at) * m->sample_nbytes,
                     nrows - row < KERNEL_TOGETHER ? nrows - row : KERNEL_TOGETHER);
}

void trend_reset(struct moments *m)
{
    memset(m->along, 0, m->trend->order * m->nvox * sizeof *m->along);
}

/* x less b_1 P_1 + b_2 P_2 + ... varies about b_0, by the part of M2 that no q_k explains. No value
 * is further than the root of M2 from the mean: that is the bounds. What is not finite has no fit:
 * then all that is left is NaN. */
static void settle_tile(const struct moments *m, double slope, double inter, size_t vox0, size_t n,
                        double *const plane[], double *const coefficient[])
{
    const struct legendre *l = m->trend;
    double sum[TREND_TILE], m2[TREND_TILE], low[TREND_TILE], high[TREND_TILE];
    double d[LEGENDRE_ORDER_MAX + 1][TREND_TILE], nvol = (double)l->nvol;

    moments_plane(m, MOMENTS_SUM, 1, 0, vox0, n, sum);
    moments_plane(m, MOMENTS_M2, 1, 0, vox0, n, m2);
    moments_plane(m, MOMENTS_MIN, 1, 0, vox0, n, low);
    moments_plane(m, MOMENTS_MAX, 1, 0, vox0, n, high);
    for (size_t i = 0; i < n; i++) { /* of a constant, the sum may have been rounded */
        double mean = low[i] == high[i] ? 0 : sum[i] / nvol - m->first[vox0 + i];

        d[0][i] = mean * nvol * l->q[0];
    }
    for (unsigned k = 1; k <= l->order; k++)
        for (size_t i = 0; i < n; i++) {
            d[k][i] = m->along[(k - 1) * m->nvox + vox0 + i];
            m2[i] -= d[k][i] * d[k][i];
        }
    legendre_solve(l, n, TREND_TILE, d[0]);
    for (size_t i = 0; i < n; i++) {
        bool finite = isfinite(sum[i]) && isfinite(m2[i]);
        double mean = finite ? slope * (m->first[vox0 + i] + d[0][i]) + inter : NAN;
        double left = finite ? slope * slope * (m2[i] < 0 ? 0 : m2[i]) : NAN; /* by rounding */
        double most = sqrt(left);

        plane[MOMENTS_SUM][i] = mean * nvol;
        plane[MOMENTS_M2][i] = left;
        plane[MOMENTS_MIN][i] = mean - most;
        plane[MOMENTS_MAX][i] = mean + most;
        for (unsigned k = 1; k <= l->order; k++)
            coefficient[k - 1][i] = finite ? slope * d[k][i] : NAN;
    }
}

void moments_trend(const struct moments *m, double slope, double inter, double *planes)
{
    unsigned order = m->trend->order;

    for (int p = 0; order == 0 && p < MOMENTS_NPLANES; p++) /* nothing is taken off */
        moments_plane(m, (enum moments_plane)p, slope, inter, 0, m->nvox, planes + p * m->nvox);
    for (size_t vox = 0; order > 0 && vox < m->nvox; vox += TREND_TILE) {
        size_t n = m->nvox - vox < TREND_TILE ? m->nvox - vox : TREND_TILE;
        double *at[MOMENTS_NPLANES + LEGENDRE_ORDER_MAX];

        for (size_t p = 0; p < MOMENTS_NPLANES + order; p++)
            at[p] = planes + p * m->nvox + vox;
        settle_tile(m, slope, inter, vox, n, at, at + MOMENTS_NPLANES);
    }
}
