/* SPDX-License-Identifier: MIT
 *
 * Exact sums of stored integers of 16 bits and less.
 *
 *     sample ──> sum (int64)  sum of squares (uint64)  smallest  largest     20 bytes a voxel
 *
 * Integers add up the same in any order, so the moments are exact: M2 = (n sumsq - sum^2) / n is
 * taken in 128 bits and rounded once.
 */
#include "kernel_private.h"

#include <string.h>

/* One loop for four types. A square of 16 bits fits uint32_t, also that of -32768 and of 65535. */
#define DEFINE_ROW(name, type, square_type)                                                        \
    KERNEL_LOOP static void add_##name(size_t n, const type *restrict x, int64_t *restrict sum,    \
                                       uint64_t *restrict sumsq, type *restrict low,               \
                                       type *restrict high)                                        \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type v = x[i];                                                                         \
            sum[i] += v;                                                                           \
            sumsq[i] += (uint32_t)((square_type)v * (square_type)v);                               \
            low[i] = v < low[i] ? v : low[i];                                                      \
            high[i] = v > high[i] ? v : high[i];                                                   \
        }                                                                                          \
    }                                                                                              \
    static void row_##name(struct moments *m, uint64_t vol, size_t vox0, size_t n,                 \
                           const void *samples)                                                    \
    {                                                                                              \
        (void)vol;                                                                                 \
        add_##name(n, samples, m->sum + vox0, m->sumsq + vox0, (type *)m->low + vox0,              \
                   (type *)m->high + vox0);                                                        \
    }

DEFINE_ROW(uint8, uint8_t, uint32_t)
DEFINE_ROW(int8, int8_t, int32_t)
DEFINE_ROW(uint16, uint16_t, uint32_t)
DEFINE_ROW(int16, int16_t, int32_t)

add_row_fn *exact_row_fn(enum sample_type type)
{
    switch (type) {
    case SAMPLE_UINT8:
        return row_uint8;
    case SAMPLE_INT8:
        return row_int8;
    case SAMPLE_UINT16:
        return row_uint16;
    case SAMPLE_INT16:
        return row_int16;
    default:
        return NULL;
    }
}

void exact_reset(struct moments *m)
{
    memset(m->sum, 0, m->nvox * sizeof *m->sum);
    memset(m->sumsq, 0, m->nvox * sizeof *m->sumsq);
    for (size_t i = 0; i < m->nvox; i++) {
        switch (m->type) {
        case SAMPLE_UINT8:
            ((uint8_t *)m->low)[i] = UINT8_MAX;
            ((uint8_t *)m->high)[i] = 0;
            break;
        case SAMPLE_INT8:
            ((int8_t *)m->low)[i] = INT8_MAX;
            ((int8_t *)m->high)[i] = INT8_MIN;
            break;
        case SAMPLE_UINT16:
            ((uint16_t *)m->low)[i] = UINT16_MAX;
            ((uint16_t *)m->high)[i] = 0;
            break;
        default:
            ((int16_t *)m->low)[i] = INT16_MAX;
            ((int16_t *)m->high)[i] = INT16_MIN;
            break;
        }
    }
}

static double stored_value(enum sample_type type, const void *values, size_t i)
{
    switch (type) {
    case SAMPLE_UINT8:
        return ((const uint8_t *)values)[i];
    case SAMPLE_INT8:
        return ((const int8_t *)values)[i];
    case SAMPLE_UINT16:
        return ((const uint16_t *)values)[i];
    default:
        return ((const int16_t *)values)[i];
    }
}

/* n sumsq < 2^96 and sum^2 < 2^96: both fit, and their difference is never negative (Cauchy and
 * Schwarz), since nothing has been rounded. */
static double exact_m2(uint64_t nvol, int64_t sum, uint64_t sumsq)
{
    unsigned __int128 scaled = (unsigned __int128)nvol * sumsq;
    unsigned __int128 square = (unsigned __int128)((__int128)sum * sum);
    return (double)(scaled - square) / (double)nvol;
}

void exact_plane(const struct moments *m, uint64_t nvol, enum moments_plane plane, size_t vox0,
                 size_t nvox, double *out)
{
    for (size_t i = 0; i < nvox; i++) {
        size_t vox = vox0 + i;
        switch (plane) {
        case MOMENTS_SUM:
            out[i] = (double)m->sum[vox];
            break;
        case MOMENTS_M2:
            out[i] = exact_m2(nvol, m->sum[vox], m->sumsq[vox]);
            break;
        case MOMENTS_MIN:
            out[i] = stored_value(m->type, m->low, vox);
            break;
        default:
            out[i] = stored_value(m->type, m->high, vox);
            break;
        }
    }
}
