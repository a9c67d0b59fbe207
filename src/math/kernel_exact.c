/* SPDX-License-Identifier: MIT
 *
 * Exact sums of stored integers of 16 bits and less.
 *
 *     sample ──> sum (int64)  sum of squares (uint64)  smallest  largest     20 bytes a voxel
 *
 * Integers add up the same in any order, so the moments are exact: M2 = (n sumsq - sum^2) / n is
 * taken in integers that have room for it, and rounded once.
 */
#include "kernel_private.h"

#include <string.h>

/* A square of 16 bits fits uint32_t, also that of -32768 and of 65535; `pair_type` has room for two
 * of them. */
#define SQUARE(v, square_type) ((uint32_t)((square_type)(v) * (square_type)(v)))
#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))

/* The loops of one type, whose values lie from `least` to `most`: one row, and KERNEL_TOGETHER of
 * them, `apart` samples from each other. */
#define DEFINE_ROWS(name, type, square_type, pair_type, least, most)                               \
    VECTOR_LOOP static void one_##type(size_t n, const type *restrict x, int64_t *restrict sum,    \
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
    VECTOR_LOOP static void four_##type(size_t n, const type *restrict x, size_t apart,            \
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
    static void rows_##type(struct moments *m, uint64_t vol, size_t vox0, size_t n,                \
                            const void *samples, size_t nrows)                                     \
    {                                                                                              \
        const type *x = samples;                                                                   \
        int64_t *sum = m->sum + vox0;                                                              \
        uint64_t *sumsq = m->sumsq + vox0;                                                         \
        type *low = (type *)m->low + vox0, *high = (type *)m->high + vox0;                         \
        (void)vol;                                                                                 \
        size_t row = 0;                                                                            \
        for (; row + KERNEL_TOGETHER <= nrows; row += KERNEL_TOGETHER)                             \
            four_##type(n, x + row * m->nvox, m->nvox, sum, sumsq, low, high);                     \
        for (; row < nrows; row++)                                                                 \
            one_##type(n, x + row * m->nvox, sum, sumsq, low, high);                               \
    }                                                                                              \
    static void reset_##type(struct moments *m)                                                    \
    {                                                                                              \
        type *low = m->low, *high = m->high;                                                       \
        for (size_t i = 0; i < m->nvox; i++) {                                                     \
            low[i] = most;                                                                         \
            high[i] = least;                                                                       \
        }                                                                                          \
    }

#define EXACT_TYPES(ROW)                                                                           \
    ROW(UINT8, uint8_t, uint32_t, uint32_t, 0, UINT8_MAX)                                          \
    ROW(INT8, int8_t, int32_t, uint32_t, INT8_MIN, INT8_MAX)                                       \
    ROW(UINT16, uint16_t, uint32_t, uint64_t, 0, UINT16_MAX)                                       \
    ROW(INT16, int16_t, int32_t, uint32_t, INT16_MIN, INT16_MAX)

EXACT_TYPES(DEFINE_ROWS)

add_rows_fn *exact_rows_fn(enum sample_type type)
{
#define ROW(name, type, ...) [SAMPLE_##name] = rows_##type,
    static add_rows_fn *const fns[SAMPLE_FLOAT64 + 1] = {EXACT_TYPES(ROW)};
#undef ROW
    return fns[type];
}

typedef void reset_fn(struct moments *m);

void exact_reset(struct moments *m)
{
#define ROW(name, type, ...) [SAMPLE_##name] = reset_##type,
    static reset_fn *const fns[] = {EXACT_TYPES(ROW)};
#undef ROW
    memset(m->sum, 0, m->nvox * sizeof *m->sum);
    memset(m->sumsq, 0, m->nvox * sizeof *m->sumsq);
    fns[m->type](m);
}

/* Up to so many volumes n sumsq and sum^2 fit 64 bits: both are at most (2^15)^2 2^32. */
enum { FEW_VOLUMES = 1 << 15 };

VECTOR_LOOP static void m2_of_few(size_t n, int64_t nvol, const int64_t *restrict sum,
                                  const uint64_t *restrict sumsq, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (double)(nvol * (int64_t)sumsq[i] - sum[i] * sum[i]) / (double)nvol;
}

/* n sumsq < 2^96 and sum^2 < 2^96: both fit, and their difference is never negative (Cauchy and
 * Schwarz), since nothing has been rounded. */
static void m2_of_many(size_t n, uint64_t nvol, const int64_t *sum, const uint64_t *sumsq,
                       double *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 scaled = (unsigned __int128)nvol * sumsq[i];
        unsigned __int128 square = (unsigned __int128)((__int128)sum[i] * sum[i]);
        out[i] = (double)(scaled - square) / (double)nvol;
    }
}

void exact_plane(const struct moments *m, uint64_t nvol, enum moments_plane plane, size_t vox0,
                 size_t nvox, double *out)
{
    const int64_t *sum = m->sum + vox0;

    switch (plane) {
    case MOMENTS_SUM:
        for (size_t i = 0; i < nvox; i++)
            out[i] = (double)sum[i];
        break;
    case MOMENTS_M2:
        if (nvol <= FEW_VOLUMES)
            m2_of_few(nvox, (int64_t)nvol, sum, m->sumsq + vox0, out);
        else
            m2_of_many(nvox, nvol, sum, m->sumsq + vox0, out);
        break;
    case MOMENTS_MIN:
        (void)kernel_as_float64(m->type, m->low, vox0, nvox, out);
        break;
    default:
        (void)kernel_as_float64(m->type, m->high, vox0, nvox, out);
        break;
    }
}
