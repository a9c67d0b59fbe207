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

/* A square of 16 bits fits uint32_t, also that of -32768 and of 65535; `pair_type` has room for two
 * of them. */
#define SQUARE(v, square_type) ((uint32_t)((square_type)(v) * (square_type)(v)))
#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))

/* The loops of one type: one row, and KERNEL_TOGETHER of them, `apart` samples from each other. */
#define DEFINE_ROWS(name, type, square_type, pair_type)                                            \
    KERNEL_LOOP static void one_##name(size_t n, const type *restrict x, int64_t *restrict sum,    \
                                       uint64_t *restrict sumsq, type *restrict low,               \
                                       type *restrict high)                                        \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type v = x[i];                                                                         \
            sum[i] += v;                                                                           \
            sumsq[i] += SQUARE(v, square_type);                                                    \
            low[i] = LESSER(v, low[i]);                                                            \
            high[i] = GREATER(v, high[i]);                                                         \
        }                                                                                          \
    }                                                                                              \
    KERNEL_LOOP static void four_##name(size_t n, const type *restrict x, size_t apart,            \
                                        int64_t *restrict sum, uint64_t *restrict sumsq,           \
                                        type *restrict low, type *restrict high)                   \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type a = x[i], b = x[apart + i], c = x[2 * apart + i], d = x[3 * apart + i];           \
            type low_ab = LESSER(a, b), low_cd = LESSER(c, d), low_all = LESSER(low_ab, low_cd);   \
            type high_ab = GREATER(a, b), high_cd = GREATER(c, d);                                 \
            type high_all = GREATER(high_ab, high_cd);                                             \
            pair_type ab = (pair_type)SQUARE(a, square_type) + SQUARE(b, square_type);             \
            pair_type cd = (pair_type)SQUARE(c, square_type) + SQUARE(d, square_type);             \
            sum[i] += (int32_t)a + b + c + d;                                                      \
            sumsq[i] += (uint64_t)ab + cd;                                                         \
            low[i] = LESSER(low_all, low[i]);                                                      \
            high[i] = GREATER(high_all, high[i]);                                                  \
        }                                                                                          \
    }                                                                                              \
    static void rows_##name(struct moments *m, uint64_t vol, size_t vox0, size_t n,                \
                            const void *samples, size_t nrows)                                     \
    {                                                                                              \
        const type *x = samples;                                                                   \
        int64_t *sum = m->sum + vox0;                                                              \
        uint64_t *sumsq = m->sumsq + vox0;                                                         \
        type *low = (type *)m->low + vox0, *high = (type *)m->high + vox0;                         \
        (void)vol;                                                                                 \
        for (; nrows >= KERNEL_TOGETHER; nrows -= KERNEL_TOGETHER, x += KERNEL_TOGETHER * m->nvox) \
            four_##name(n, x, m->nvox, sum, sumsq, low, high);                                     \
        for (; nrows > 0; nrows--, x += m->nvox)                                                   \
            one_##name(n, x, sum, sumsq, low, high);                                               \
    }

DEFINE_ROWS(uint8, uint8_t, uint32_t, uint32_t)
DEFINE_ROWS(int8, int8_t, int32_t, uint32_t)
DEFINE_ROWS(uint16, uint16_t, uint32_t, uint64_t)
DEFINE_ROWS(int16, int16_t, int32_t, uint32_t)

add_rows_fn *exact_rows_fn(enum sample_type type)
{
    switch (type) {
    case SAMPLE_UINT8:
        return rows_uint8;
    case SAMPLE_INT8:
        return rows_int8;
    case SAMPLE_UINT16:
        return rows_uint16;
    case SAMPLE_INT16:
        return rows_int16;
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
