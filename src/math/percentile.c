/* SPDX-License-Identifier: MIT
 *
 * Selection by bisection, in vector lanes.
 *
 *     low ├───────────────┼───────────────┤ high       one pass over the rows counts how many values of
 *                       pivot                          each column are below its pivot: the range that
 *                                                      the sought value lies in halves, in all lanes
 *
 * No value moves, and no branch depends on one. Keys of 16 bits take as many passes as their range
 * has bits, 8 for a usual run. Wide keys are first cut down to 16 bits of their distance from the
 * smallest of the column; the few keys that are equal then are told apart by passes that also find the
 * keys next to the pivot, where the range then ends: at most 64, mostly two.
 */
#include "percentile.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "vector.h"

#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))

/* Passes over the first `lanes` keys of each row. split_() counts the keys below the pivots, and
 * finds the largest of them and the smallest of the others. */
#define DEFINE_PASSES(type, lanes, least, most)                                                    \
    VECTOR_LOOP static void range_##type(size_t n, const type##_t *restrict x,                     \
                                         type##_t *restrict low, type##_t *restrict high)          \
    {                                                                                              \
        type##_t a[lanes], b[lanes];                                                               \
        memcpy(a, x, sizeof a);                                                                    \
        memcpy(b, x, sizeof b);                                                                    \
        for (size_t row = 1; row < n; row++)                                                       \
            for (size_t i = 0; i < (lanes); i++) {                                                 \
                type##_t v = x[row * PERCENTILE_LANES + i];                                        \
                a[i] = LESSER(v, a[i]);                                                            \
                b[i] = GREATER(v, b[i]);                                                           \
            }                                                                                      \
        memcpy(low, a, sizeof a);                                                                  \
        memcpy(high, b, sizeof b);                                                                 \
    }                                                                                              \
    VECTOR_LOOP static void split_##type(size_t n, const type##_t *restrict x,                     \
                                         const type##_t *restrict pivot, uint64_t *restrict count, \
                                         type##_t *restrict below, type##_t *restrict above)       \
    {                                                                                              \
        uint64_t c[lanes] = {0};                                                                   \
        type##_t a[lanes], b[lanes];                                                               \
        for (size_t i = 0; i < (lanes); i++) {                                                     \
            a[i] = most;                                                                           \
            b[i] = least;                                                                          \
        }                                                                                          \
        for (size_t row = 0; row < n; row++)                                                       \
            for (size_t i = 0; i < (lanes); i++) {                                                 \
                type##_t v = x[row * PERCENTILE_LANES + i];                                        \
                type##_t v_below = v < pivot[i] ? v : (least);                                     \
                type##_t v_above = v < pivot[i] ? (most) : v;                                      \
                c[i] += v < pivot[i];                                                              \
                b[i] = GREATER(v_below, b[i]);                                                     \
                a[i] = LESSER(v_above, a[i]);                                                      \
            }                                                                                      \
        memcpy(count, c, sizeof c);                                                                \
        memcpy(below, b, sizeof b);                                                                \
        memcpy(above, a, sizeof a);                                                                \
    }

enum { WIDE_LANES = 8 };

DEFINE_PASSES(int16, PERCENTILE_LANES, INT16_MIN, INT16_MAX)
DEFINE_PASSES(int64, WIDE_LANES, INT64_MIN, INT64_MAX)

/* Counts alone, in 16 bits. */
VECTOR_LOOP static void count_block(size_t n, const int16_t *restrict x,
                                    const int16_t *restrict pivot, uint16_t *restrict count)
{
    uint16_t c[PERCENTILE_LANES] = {0};

    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < PERCENTILE_LANES; i++)
            c[i] = (uint16_t)(c[i] + (x[row * PERCENTILE_LANES + i] < pivot[i]));
    memcpy(count, c, sizeof c);
}

/* Cut the ranges [low, high] of int16 keys, in which x_(rank) lies, at the pivots. */
static void cut_int16(size_t n, const int16_t *x, size_t rank, const int16_t *pivot, int16_t *low,
                      int16_t *high)
{
    uint64_t count[PERCENTILE_LANES] = {0};
    uint16_t some[PERCENTILE_LANES];

    for (size_t row = 0; row < n; row += UINT16_MAX) {
        size_t nrows = n - row < UINT16_MAX ? n - row : UINT16_MAX;

        count_block(nrows, x + row * PERCENTILE_LANES, pivot, some);
        for (size_t i = 0; i < PERCENTILE_LANES; i++)
            count[i] += some[i];
    }
    for (size_t i = 0; i < PERCENTILE_LANES; i++) {
        bool open = low[i] < high[i];

        low[i] = open && count[i] <= rank ? pivot[i] : low[i];
        high[i] = open && count[i] > rank ? (int16_t)(pivot[i] - 1) : high[i];
    }
}

static void cut_int64(size_t n, const int64_t *x, size_t rank, const int64_t *pivot, int64_t *low,
                      int64_t *high)
{
    uint64_t count[WIDE_LANES];
    int64_t below[WIDE_LANES], above[WIDE_LANES];

    split_int64(n, x, pivot, count, below, above);
    for (size_t i = 0; i < WIDE_LANES; i++) {
        bool open = low[i] < high[i];

        low[i] = open && count[i] <= rank ? above[i] : low[i];
        high[i] = open && count[i] > rank ? below[i] : high[i];
        if (open && count[i] == rank)
            high[i] = low[i];
    }
}

/* low[lanes] = x_(rank), what sorting would put there, which lies in [low, high]; before[lanes] (NULL:
 * not wanted) = x_(rank - 1). */
#define DEFINE_SELECT(type, lanes)                                                                 \
    static void select_##type(size_t n, const type##_t *x, size_t rank, type##_t *before,          \
                              type##_t *low, type##_t *high)                                       \
    {                                                                                              \
        for (;;) {                                                                                 \
            type##_t pivot[lanes];                                                                 \
            u##type##_t widest = 0;                                                                \
            for (size_t i = 0; i < (lanes); i++) {                                                 \
                u##type##_t range = (u##type##_t)((u##type##_t)high[i] - (u##type##_t)low[i]);     \
                pivot[i] = (type##_t)((u##type##_t)low[i] + (range - range / 2));                  \
                widest |= range;                                                                   \
            }                                                                                      \
            if (widest == 0)                                                                       \
                break;                                                                             \
            cut_##type(n, x, rank, pivot, low, high);                                              \
        }                                                                                          \
        if (!before)                                                                               \
            return;                                                                                \
        type##_t above[lanes];                                                                     \
        uint64_t count[lanes];                                                                     \
        split_##type(n, x, low, count, before, above);                                             \
        for (size_t i = 0; i < (lanes); i++)                                                       \
            before[i] = count[i] == rank ? before[i] : low[i];                                     \
    }

DEFINE_SELECT(int16, PERCENTILE_LANES)
DEFINE_SELECT(int64, WIDE_LANES)

/* Where a percentile lies among sorted values: at x_(rank), or, where `part` is above 0, that much of
 * the way from x_(rank - 1) to it. */
struct place {
    size_t rank;
    double part;
};

static struct place place_of(double percent, size_t nvol)
{
    double at = percent / 100 * (double)(nvol - 1);
    size_t i = (size_t)at;

    return at == (double)i ? (struct place){i, 0} : (struct place){i + 1, at - (double)i};
}

static double between(double a, double b, double part)
{
    if (part == 0.5 || isinf(a) || isinf(b))
        return (a + b) / 2;
    return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part);
}

void percentile_int16(const int16_t *x, size_t nvol, double percent, int32_t offset, double slope,
                      double inter, double *out)
{
    struct place at = place_of(percent, nvol);
    int16_t before[PERCENTILE_LANES], key[PERCENTILE_LANES], high[PERCENTILE_LANES];

    range_int16(nvol, x, key, high);
    select_int16(nvol, x, at.rank, at.part > 0 ? before : NULL, key, high);
    for (size_t i = 0; i < PERCENTILE_LANES; i++)
        out[i] = slope * (double)(key[i] + offset) + inter;
    for (size_t i = 0; at.part > 0 && i < PERCENTILE_LANES; i++)
        out[i] = between(slope * (double)(before[i] + offset) + inter, out[i], at.part);
}

/* Negative floats lie in the reverse order of their bits. */
#define REVERSED(bits) ((bits) ^ ((bits) < 0 ? INT64_MAX : 0))

VECTOR_LOOP void percentile_keys(const double *values, size_t n, int64_t *keys)
{
    for (size_t i = 0; i < n; i++) {
        int64_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        keys[i] = REVERSED(bits);
    }
}

static double value_of(int64_t key)
{
    int64_t bits = REVERSED(key);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The upper 16 bits, below `shift`, of the distances from the smallest keys. */
VECTOR_LOOP static void narrow(size_t n, const int64_t *restrict x, const int64_t *restrict low,
                               const uint64_t *restrict shift, int16_t *restrict out)
{
    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < PERCENTILE_LANES; i++) {
            size_t at = row * PERCENTILE_LANES + i;
            uint64_t distance = (uint64_t)x[at] - (uint64_t)low[i];

            out[at] = (int16_t)((int32_t)(distance >> shift[i]) + INT16_MIN);
        }
}

/* Cut the ranges [low, high] of the keys down to those of the keys that have the 16 bits of the one at
 * `rank`. `room` as in percentile_float64(). */
static void cut_to_narrow(size_t n, const int64_t *x, size_t rank, int16_t *room, int64_t *low,
                          int64_t *high)
{
    uint64_t shift[PERCENTILE_LANES];
    int16_t least[PERCENTILE_LANES], most[PERCENTILE_LANES];

    for (size_t i = 0; i < PERCENTILE_LANES; i++) {
        uint64_t range = (uint64_t)high[i] - (uint64_t)low[i];
        int nbits = range > 0 ? 64 - __builtin_clzll(range) : 0;

        shift[i] = nbits > 16 ? (uint64_t)nbits - 16 : 0;
    }
    narrow(n, x, low, shift, room);
    range_int16(n, room, least, most);
    select_int16(n, room, rank, NULL, least, most);
    for (size_t i = 0; i < PERCENTILE_LANES; i++) {
        uint64_t first = (uint64_t)(least[i] - INT16_MIN) << shift[i];
        uint64_t last = first + ((UINT64_C(1) << shift[i]) - 1);

        if (last < (uint64_t)high[i] - (uint64_t)low[i])
            high[i] = (int64_t)((uint64_t)low[i] + last);
        low[i] = (int64_t)((uint64_t)low[i] + first);
    }
}

void percentile_float64(const int64_t *x, size_t nvol, double percent, int16_t *room, double *out)
{
    struct place at = place_of(percent, nvol);
    int64_t low[PERCENTILE_LANES], high[PERCENTILE_LANES], before[WIDE_LANES];
    bool nan[PERCENTILE_LANES];

    for (size_t i = 0; i < PERCENTILE_LANES; i += WIDE_LANES)
        range_int64(nvol, x + i, low + i, high + i);
    for (size_t i = 0; i < PERCENTILE_LANES; i++)
        nan[i] = isnan(value_of(low[i])) || isnan(value_of(high[i]));
    cut_to_narrow(nvol, x, at.rank, room, low, high);
    for (size_t lane = 0; lane < PERCENTILE_LANES; lane += WIDE_LANES) {
        select_int64(nvol, x + lane, at.rank, at.part > 0 ? before : NULL, low + lane, high + lane);
        for (size_t i = 0; i < WIDE_LANES; i++) {
            double value = value_of(low[lane + i]);

            if (at.part > 0)
                value = between(value_of(before[i]), value, at.part);
            out[lane + i] = nan[lane + i] ? NAN : value;
        }
    }
}
