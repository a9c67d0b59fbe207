/* SPDX-License-Identifier: MIT
 *
 * Moments: where samples go, how planes are scaled, how runs are merged.
 *
 *     samples ──> rows by tile ──> accumulators ──> planes in intensity ──> merged moments
 *
 * The accumulators of a volume take ten times its size or more, and leave the near caches between
 * two volumes. So a call should bring several whole volumes: it adds all of them tile by tile, and
 * sums integers in groups of four before it touches the accumulators.
 *
 * On one core of an AMD EPYC with AVX-512, calls of moments_call_nbytes() add 15 GB/s of int16
 * samples with 64x64x30 voxels a volume (5 one volume at a time), 8 to 10 with 91x109x91 (2.6), and
 * 2 to 3 GB/s of float32. Inflating gives 0.5.
 */
#include "kernel_private.h"

#include <byteswap.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vector.h"

/* Voxels of one tile: its accumulators, 10 to 24 KiB, stay in L1. */
enum { TILE = 512 };

enum { PLANE_ALIGN = 64 };

/* Large enough that calls cost nothing beside inflating, small enough to stay in the second-level
 * cache; more only where whole volumes need it. */
enum { CALL_NBYTES = 1 << 20, CALL_NBYTES_MAX = 16 << 20 };

#define ROW(name, numpy, type) sizeof(type),
static const size_t type_nbytes[] = {SAMPLE_TYPES(ROW)};
#undef ROW

static size_t padded(size_t nbytes)
{
    return (nbytes + PLANE_ALIGN - 1) / PLANE_ALIGN * PLANE_ALIGN;
}

/* The struct and its planes are one allocation, each plane on its own cache lines. SIZE_MAX on
 * overflow: no allocation of it succeeds. */
size_t moments_nbytes(enum sample_type type, size_t nvox, unsigned order)
{
    if (nvox > SIZE_MAX / 256)
        return SIZE_MAX;
    size_t wide = padded(nvox * sizeof(double));
    size_t own = padded(sizeof(struct moments)) + (order > 0 ? order + 1 : 0) * wide;
    if (exact_rows_fn(type))
        return own + 2 * wide + 2 * padded(nvox * type_nbytes[type]);
    return own + (MOMENTS_NPLANES + 2) * wide;
}

struct moments *moments_new(enum sample_type type, bool swap, size_t nvox,
                            const struct legendre *trend)
{
    unsigned order = trend ? trend->order : 0;
    struct moments *m = vector_alloc(moments_nbytes(type, nvox, order));
    if (!m)
        return NULL;
    *m = (struct moments){.type = type,
                          .swap = swap,
                          .nvox = nvox,
                          .sample_nbytes = type_nbytes[type],
                          .trend = trend};

    char *at = (char *)m + padded(sizeof *m);
    size_t wide = padded(nvox * sizeof(double));
    if (order > 0) {
        m->first = (double *)at;
        m->along = (double *)(at + wide);
        at += (order + 1) * wide;
        trend_reset(m);
    }
    if (exact_rows_fn(type)) {
        m->sum = (int64_t *)at;
        m->sumsq = (uint64_t *)(at + wide);
        m->low = at + 2 * wide;
        m->high = at + 2 * wide + padded(nvox * m->sample_nbytes);
        exact_reset(m);
    } else {
        for (size_t p = 0; p < MOMENTS_NPLANES; p++)
            m->plane[p] = (double *)(at + p * wide);
        m->mean = (double *)(at + MOMENTS_NPLANES * wide);
        m->lost = (double *)(at + (MOMENTS_NPLANES + 1) * wide);
        welford_reset(m);
    }
    return m;
}

void moments_free(struct moments *m)
{
    vector_free(m);
}

size_t moments_call_nbytes(enum sample_type type, size_t nvox, size_t most)
{
    size_t volume = type_nbytes[type] * nvox;

    if (nvox == 0 || nvox > SIZE_MAX / 64 || volume > CALL_NBYTES_MAX / KERNEL_TOGETHER)
        return CALL_NBYTES;
    size_t least = KERNEL_TOGETHER * volume;
    if (least < CALL_NBYTES)
        return CALL_NBYTES / least * least;
    return least <= most ? least : CALL_NBYTES;
}

#define DEFINE_SWAP(bits)                                                                          \
    VECTOR_LOOP static void swap##bits(size_t n, uint##bits##_t *x)                                \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            x[i] = bswap_##bits(x[i]);                                                             \
    }

DEFINE_SWAP(16)
DEFINE_SWAP(32)
DEFINE_SWAP(64)

void kernel_swap(enum sample_type type, void *samples, size_t n)
{
    if (type_nbytes[type] == 2)
        swap16(n, samples);
    else if (type_nbytes[type] == 4)
        swap32(n, samples);
    else if (type_nbytes[type] == 8)
        swap64(n, samples);
}

/* Voxels [vox0, vox0 + n) of `nrows` volumes from `vol` on. The rows begin a volume apart. */
static void add_rows(struct moments *m, uint64_t vol, size_t vox0, size_t n, const char *samples,
                     size_t nrows)
{
    add_rows_fn *add = exact_rows_fn(m->type);
    if (!add)
        add = welford_rows;

    for (size_t at = 0; at < n; at += TILE) {
        size_t ntile = n - at < TILE ? n - at : TILE;

        add(m, vol, vox0 + at, ntile, samples + at * m->sample_nbytes, nrows);
        if (m->along)
            trend_rows(m, vol, vox0 + at, ntile, samples + at * m->sample_nbytes, nrows);
    }
}

/* The next `nrows` stretches of `len` samples, at most a volume long, a volume apart. A stretch
 * that passes the volume's end goes on at the start of the next volume. */
static void add_stretch(struct moments *m, const char *samples, size_t len, size_t nrows)
{
    uint64_t vol = m->nsamples / m->nvox;
    size_t vox0 = m->nsamples % m->nvox;
    size_t before = len < m->nvox - vox0 ? len : m->nvox - vox0;

    add_rows(m, vol, vox0, before, samples, nrows);
    add_rows(m, vol + 1, 0, len - before, samples + before * m->sample_nbytes, nrows);
    m->nsamples += nrows * len;
}

void moments_add(struct moments *m, void *samples, size_t nsamples)
{
    if (m->swap)
        kernel_swap(m->type, samples, nsamples);

    /* Any nvox samples in a row hold each voxel once: whole volumes need not start at voxel 0. */
    size_t nrows = nsamples / m->nvox;
    size_t rest = nsamples % m->nvox;
    const char *next = samples;
    if (nrows > 0)
        add_stretch(m, next, m->nvox, nrows);
    add_stretch(m, next + nrows * m->nvox * m->sample_nbytes, rest, 1);
}

size_t moments_nvox(const struct moments *m)
{
    return m->nvox;
}

VECTOR_LOOP static void scale(size_t n, const double *x, double slope, double inter, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = slope * x[i] + inter;
}

void moments_plane(const struct moments *m, enum moments_plane plane, double slope, double inter,
                   size_t vox0, size_t nvox, double *out)
{
    /* A negative slope turns the smallest stored value into the largest intensity. */
    enum moments_plane stored = plane;
    if (slope < 0 && plane == MOMENTS_MIN)
        stored = MOMENTS_MAX;
    else if (slope < 0 && plane == MOMENTS_MAX)
        stored = MOMENTS_MIN;

    uint64_t nvol = m->nsamples / m->nvox;
    if (exact_rows_fn(m->type))
        exact_plane(m, nvol, stored, vox0, nvox, out);
    else
        welford_plane(m, nvol, stored, vox0, nvox, out);

    if (plane == MOMENTS_M2)
        scale(nvox, out, slope * slope, 0, out);
    else if (plane == MOMENTS_SUM)
        scale(nvox, out, slope, inter * (double)nvol, out);
    else
        scale(nvox, out, slope, inter, out);
}

/* NaN wins, as in numpy's minimum and maximum. */
KERNEL_INLINE double lesser(double a, double b)
{
    return a < b || isnan(a) ? a : b;
}

KERNEL_INLINE double greater(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

VECTOR_LOOP static void merge_rows(size_t nvox, double n, double *restrict sum, double *restrict m2,
                                   double *restrict min, double *restrict max, double n1,
                                   const double *restrict sum1, const double *restrict m2_1,
                                   const double *restrict min1, const double *restrict max1)
{
    double weight = n * n1 / (n + n1);

    for (size_t i = 0; i < nvox; i++) {
        double delta = sum1[i] / n1 - sum[i] / n;
        double low = lesser(min[i], min1[i]), high = greater(max[i], max1[i]);
        double both_sum = sum[i] + sum1[i];
        double both_m2 = m2[i] + m2_1[i] + delta * delta * weight;

        settle_nonfinite(low, high, &both_sum, &both_m2);
        sum[i] = both_sum;
        /* equal means may differ in the last bit: that is no deviation */
        m2[i] = low == high && isfinite(low) ? 0 : both_m2;
        min[i] = low;
        max[i] = high;
    }
}

VECTOR_LOOP static void mean_of(size_t n, const double *restrict sum, const double *restrict low,
                                const double *restrict high, double nvol, double *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        double mean = sum[i] / nvol;
        out[i] = low[i] == high[i] ? low[i] : mean;
    }
}

void moments_mean(const struct moments_view *m, size_t vox0, size_t n, double *out)
{
    mean_of(n, m->plane[MOMENTS_SUM] + vox0, m->plane[MOMENTS_MIN] + vox0,
            m->plane[MOMENTS_MAX] + vox0, m->n, out);
}

VECTOR_LOOP static void divide(size_t n, const double *restrict x, double by, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] / by;
}

VECTOR_LOOP static void divide_and_root(size_t n, const double *restrict x, double by,
                                        double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sqrt(x[i] / by);
}

void moments_variance(const struct moments_view *m, size_t vox0, size_t n, double ddof, double *out)
{
    divide(n, m->plane[MOMENTS_M2] + vox0, fmax(m->n - ddof, 0), out);
}

void moments_std(const struct moments_view *m, size_t vox0, size_t n, double ddof, double *out)
{
    divide_and_root(n, m->plane[MOMENTS_M2] + vox0, fmax(m->n - ddof, 0), out);
}

void moments_merge(struct moments_view *into, const struct moments_view *from, size_t nvox)
{
    if (from->n == 0)
        return;
    if (into->n == 0)
        for (size_t p = 0; p < MOMENTS_NPLANES; p++)
            memcpy(into->plane[p], from->plane[p], nvox * sizeof(double));
    else
        merge_rows(nvox, into->n, into->plane[MOMENTS_SUM], into->plane[MOMENTS_M2],
                   into->plane[MOMENTS_MIN], into->plane[MOMENTS_MAX], from->n,
                   from->plane[MOMENTS_SUM], from->plane[MOMENTS_M2], from->plane[MOMENTS_MIN],
                   from->plane[MOMENTS_MAX]);
    into->n += from->n;
}

/* ---- stored samples to float64 ---- */

/* Samples whose byte order is swapped at a time, on the stack: 4 KiB of the widest type. */
enum { SCALE_TILE = 512 };

#define DEFINE_CONVERT(name, numpy, type)                                                          \
    VECTOR_LOOP static void convert_##type(size_t n, const type *restrict x, double *restrict out) \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            out[i] = (double)x[i];                                                                 \
    }

SAMPLE_TYPES_CONVERTED(DEFINE_CONVERT)

#define CONVERT(name, numpy, type)                                                                 \
    case SAMPLE_##name:                                                                            \
        convert_##type(n, (const type *)samples + at, room);                                       \
        return room;

const double *kernel_as_float64(enum sample_type type, const void *samples, size_t at, size_t n,
                                double *room)
{
    switch (type) {
        SAMPLE_TYPES_CONVERTED(CONVERT)
    case SAMPLE_FLOAT64:
        break;
    }
    return (const double *)samples + at;
}

void kernel_scale(enum sample_type type, bool swap, const void *samples, size_t n, double slope,
                  double inter, double *out)
{
    size_t nbytes = type_nbytes[type];
    double swapped[SCALE_TILE];

    for (size_t at = 0; at < n; at += SCALE_TILE) {
        size_t ntile = n - at < SCALE_TILE ? n - at : SCALE_TILE;
        const char *from = (const char *)samples + at * nbytes;

        if (swap) {
            memcpy(swapped, from, ntile * nbytes);
            kernel_swap(type, swapped, ntile);
            from = (const char *)swapped;
        }
        scale(ntile, kernel_as_float64(type, from, 0, ntile, out + at), slope, inter, out + at);
    }
}

/* NaN is told from its bits: a compiler may take one NaN for another. */
VECTOR_LOOP void kernel_round(const double *restrict values, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        float rounded = (float)values[i];
        int32_t bits;

        memcpy(&bits, &rounded, sizeof bits);
        bits = (bits & INT32_MAX) > INT32_C(0x7f800000) ? INT32_C(0x7fc00000) : bits;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

VECTOR_LOOP void kernel_settle_nan(const double *restrict values, size_t n, double *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        int64_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        bits =
            (bits & INT64_MAX) > INT64_C(0x7ff0000000000000) ? INT64_C(0x7ff8000000000000) : bits;
        memcpy(&out[i], &bits, sizeof bits);
    }
}
