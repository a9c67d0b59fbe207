/* SPDX-License-Identifier: MIT
 *
 * Random runs in memory, their moments by the kernels, and by a reference in long double. Include
 * after cmocka.h.
 */
#ifndef DERIVFS_TESTS_SERIES_H
#define DERIVFS_TESTS_SERIES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

enum { NTYPES = SAMPLE_FLOAT64 + 1 };

static const size_t type_nbytes[NTYPES] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

/* A run in memory: samples[nvol][nvox] of `type`, in this machine's byte order. */
struct series {
    enum sample_type type;
    size_t nvox, nvol;
    unsigned char *samples;
};

/* xorshift64: the same numbers in every run of the test. */
static inline uint64_t random_bits(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline struct series series_new(enum sample_type type, size_t nvox, size_t nvol)
{
    struct series s = {type, nvox, nvol, calloc(nvox * nvol, type_nbytes[type])};
    assert_non_null(s.samples);
    return s;
}

static inline void series_set(struct series *s, size_t vol, size_t vox, long double value)
{
    void *at = s->samples + (vol * s->nvox + vox) * type_nbytes[s->type];
    switch (s->type) {
    case SAMPLE_UINT8:
        *(uint8_t *)at = (uint8_t)value;
        break;
    case SAMPLE_INT8:
        *(int8_t *)at = (int8_t)value;
        break;
    case SAMPLE_UINT16:
        *(uint16_t *)at = (uint16_t)value;
        break;
    case SAMPLE_INT16:
        *(int16_t *)at = (int16_t)value;
        break;
    case SAMPLE_UINT32:
        *(uint32_t *)at = (uint32_t)value;
        break;
    case SAMPLE_INT32:
        *(int32_t *)at = (int32_t)value;
        break;
    case SAMPLE_UINT64:
        *(uint64_t *)at = (uint64_t)value;
        break;
    case SAMPLE_INT64:
        *(int64_t *)at = (int64_t)value;
        break;
    case SAMPLE_FLOAT32:
        *(float *)at = (float)value;
        break;
    case SAMPLE_FLOAT64:
        *(double *)at = (double)value;
        break;
    }
}

/* As numpy's astype(float64) has it. */
static inline double series_at(const struct series *s, size_t vol, size_t vox)
{
    const void *at = s->samples + (vol * s->nvox + vox) * type_nbytes[s->type];
    switch (s->type) {
    case SAMPLE_UINT8:
        return *(const uint8_t *)at;
    case SAMPLE_INT8:
        return *(const int8_t *)at;
    case SAMPLE_UINT16:
        return *(const uint16_t *)at;
    case SAMPLE_INT16:
        return *(const int16_t *)at;
    case SAMPLE_UINT32:
        return *(const uint32_t *)at;
    case SAMPLE_INT32:
        return *(const int32_t *)at;
    case SAMPLE_UINT64:
        return (double)*(const uint64_t *)at;
    case SAMPLE_INT64:
        return (double)*(const int64_t *)at;
    case SAMPLE_FLOAT32:
        return (double)*(const float *)at;
    default:
        return *(const double *)at;
    }
}

/* The smallest and the largest value of a type; for floats, large ones. */
static inline void type_limits(enum sample_type type, long double *low, long double *high)
{
    static const long double limits[NTYPES][2] = {
        {0, UINT8_MAX},  {INT8_MIN, INT8_MAX},   {0, UINT16_MAX}, {INT16_MIN, INT16_MAX},
        {0, UINT32_MAX}, {INT32_MIN, INT32_MAX}, {0, UINT64_MAX}, {INT64_MIN, INT64_MAX},
        {-3e38L, 3e38L}, {-1e150L, 1e150L},
    };
    *low = limits[type][0];
    *high = limits[type][1];
}

/* Voxel 0 is constant, 1 at the lowest value, 2 at the highest, 3 jumps between both, 4 is a small
 * spread on a large mean; the others are random over the whole range. */
static inline struct series random_series(enum sample_type type, size_t nvox, size_t nvol,
                                          uint64_t seed)
{
    struct series s = series_new(type, nvox, nvol);
    long double low, high;
    type_limits(type, &low, &high);
    for (size_t vol = 0; vol < nvol; vol++)
        for (size_t vox = 0; vox < nvox; vox++) {
            long double u = (long double)(random_bits(&seed) >> 11) / 0x1p53L;
            long double value = low + u * (high - low);
            if (vox == 0)
                value = 97;
            else if (vox == 1)
                value = low;
            else if (vox == 2)
                value = high;
            else if (vox == 3)
                value = vol % 2 ? low : high;
            else if (vox == 4)
                value = 100 + floorl(u * 9);
            series_set(&s, vol, vox, value);
        }
    return s;
}

struct reference {
    long double mean, m2, low, high;
};

/* Moments of one voxel of volumes [vol0, vol1) in intensity, finite samples only. */
static inline struct reference reference_of(const struct series *s, size_t vox, size_t vol0,
                                            size_t vol1, double slope, double inter)
{
    struct reference r = {0, 0, INFINITY, -INFINITY};
    for (size_t vol = vol0; vol < vol1; vol++) {
        long double x = (long double)series_at(s, vol, vox) * slope + inter;
        r.mean += x;
        r.low = fminl(r.low, x);
        r.high = fmaxl(r.high, x);
    }
    r.mean /= (long double)(vol1 - vol0);
    for (size_t vol = vol0; vol < vol1; vol++) {
        long double x = (long double)series_at(s, vol, vox) * slope + inter;
        r.m2 += (x - r.mean) * (x - r.mean);
    }
    if (r.low == r.high) { /* long double rounds too */
        r.mean = r.low;
        r.m2 = 0;
    }
    return r;
}

/* How a run is cut into calls: `cut` samples each, 0 for random cuts. */
static inline struct moments *moments_of_trend(const struct series *s, size_t vol0, size_t vol1,
                                               bool swap, size_t cut, const struct legendre *trend)
{
    size_t nbytes = type_nbytes[s->type];
    struct moments *m = moments_new(s->type, swap, s->nvox, trend);
    assert_non_null(m);
    uint64_t seed = 99;
    size_t end = vol1 * s->nvox;
    for (size_t at = vol0 * s->nvox; at < end;) {
        size_t n = cut ? cut : random_bits(&seed) % (3 * s->nvox);
        n = n < end - at ? n : end - at;
        unsigned char *call = aligned_alloc(64, (n * nbytes / 64 + 1) * 64);
        assert_non_null(call);
        memcpy(call, s->samples + at * nbytes, n * nbytes);
        if (swap)
            for (size_t i = 0; i < n * nbytes; i++)
                call[i] = s->samples[(at + i / nbytes) * nbytes + nbytes - 1 - i % nbytes];
        moments_add(m, call, n);
        free(call);
        at += n;
    }
    return m;
}

static inline struct moments *moments_of(const struct series *s, size_t vol0, size_t vol1,
                                         bool swap, size_t cut)
{
    return moments_of_trend(s, vol0, vol1, swap, cut, NULL);
}

static inline void all_planes(const struct moments *m, double slope, double inter, size_t nvox,
                              double *out)
{
    for (size_t p = 0; p < MOMENTS_NPLANES; p++)
        moments_plane(m, (enum moments_plane)p, slope, inter, 0, nvox, out + p * nvox);
}

static inline void assert_near(long double got, long double want, long double scale)
{
    if (!(fabsl(got - want) <= 1e-9L * scale))
        fail_msg("got %.17Lg, expected %.17Lg", got, want);
}

static inline void assert_planes(const struct series *s, size_t vol0, size_t vol1, double slope,
                                 double inter, const double *planes)
{
    for (size_t vox = 0; vox < s->nvox; vox++) {
        struct reference r = reference_of(s, vox, vol0, vol1, slope, inter);
        long double span = fmaxl(fabsl(r.low), fabsl(r.high));
        assert_near(planes[MOMENTS_SUM * s->nvox + vox] / (long double)(vol1 - vol0), r.mean, span);
        assert_near(planes[MOMENTS_M2 * s->nvox + vox], r.m2, r.m2);
        assert_near(planes[MOMENTS_MIN * s->nvox + vox], r.low, span * 1e-6L);
        assert_near(planes[MOMENTS_MAX * s->nvox + vox], r.high, span * 1e-6L);
    }
}

#endif
