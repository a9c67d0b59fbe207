/* SPDX-License-Identifier: MIT
 *
 * Prints what the kernels make of random samples as one number for each type of sample: equal
 * numbers, equal results to the last bit. Built once for each instruction set (meson.build), and
 * compared by tests/kernel_sets. Of NaN those count that would be written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "timecourses.h"

enum { NTYPES = SAMPLE_FLOAT64 + 1, NVOL = 7, NVOX_MAX = 1300 };

static const size_t type_nbytes[NTYPES] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
static const size_t volumes[] = {1, 7, 64, 513, NVOX_MAX}; /* shorter and longer than a tile */

/* xorshift64: the same numbers on every machine. */
static uint64_t random_bits(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* FNV-1a */
static void digest_bytes(uint64_t *hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *hash = (*hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
}

/* As float64 and as float32. */
static void digest(uint64_t *hash, const double *values, size_t n)
{
    double settled[NVOX_MAX];
    float rounded[NVOX_MAX];

    for (size_t at = 0; at < n; at += NVOX_MAX) {
        size_t here = n - at < NVOX_MAX ? n - at : NVOX_MAX;

        kernel_round(values + at, here, rounded);
        kernel_settle_nan(values + at, here, settled);
        digest_bytes(hash, rounded, here * sizeof *rounded);
        digest_bytes(hash, settled, here * sizeof *settled);
    }
}

/* Half of the floats are of moderate size, the others any bits at all, infinities and NaN included.
 */
static void fill(enum sample_type type, unsigned char *samples, size_t n, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = random_bits(state);
        float narrow = (float)((double)(bits >> 40) / 1000.0);
        double wide = (double)(bits >> 20) / 1000.0;

        memcpy(samples + i * type_nbytes[type], &bits, type_nbytes[type]);
        if (type == SAMPLE_FLOAT32 && bits % 2)
            memcpy(samples + i * sizeof narrow, &narrow, sizeof narrow);
        if (type == SAMPLE_FLOAT64 && bits % 2)
            memcpy(samples + i * sizeof wide, &wide, sizeof wide);
    }
}

static void digest_percentiles(uint64_t *hash, enum sample_type type, size_t nvox,
                               const unsigned char *samples)
{
    static const double percents[] = {10, 50};
    size_t room = timecourses_nbytes(type_nbytes[type], nvox, NVOL);
    struct timecourses *c = timecourses_new(NVOL, room, nvox);
    struct timecourses_reader *r;
    double out[2 * TIMECOURSES_TILE] = {0};

    if (!c)
        exit(1);
    timecourses_begin(c, nvox);
    for (size_t vol = 0; vol < NVOL; vol++)
        timecourses_add(c, type, 1.7, -3, samples + vol * nvox * type_nbytes[type]);
    r = timecourses_reader_new(c, NULL, NULL);
    if (!r)
        exit(1);
    for (size_t vox = 0; vox < nvox;) {
        vox += timecourses_reader_next(r, percents, 2, out, TIMECOURSES_TILE);
        digest(hash, out, 2 * TIMECOURSES_TILE);
    }
    timecourses_reader_free(r);
    timecourses_free(c);
}

/* All that is made of one run; the sum of `joined` grows by it. */
static void digest_run(uint64_t *hash, enum sample_type type, bool swap, size_t nvox,
                       unsigned char *samples, double *out, struct moments_view *joined)
{
    struct legendre *trend = NULL;
    int ret = legendre_new(NVOL, 2, &trend, NULL);
    struct moments *m = ret == 0 ? moments_new(type, swap, nvox, trend) : NULL;
    struct moments_view view = {.n = NVOL};
    size_t head = nvox * NVOL / 3;
    double fit[(MOMENTS_NPLANES + 2) * NVOX_MAX];

    if (!m)
        exit(1);
    for (size_t plane = 0; plane < MOMENTS_NPLANES; plane++)
        view.plane[plane] = out + plane * nvox;
    kernel_scale(type, swap, samples, nvox, 1.7, -3, out);
    digest(hash, out, nvox);
    digest_percentiles(hash, type, nvox, samples);
    moments_add(m, samples, head);
    memmove(samples, samples + head * type_nbytes[type], (nvox * NVOL - head) * type_nbytes[type]);
    moments_add(m, samples, nvox * NVOL - head);
    for (size_t plane = 0; plane < MOMENTS_NPLANES; plane++)
        moments_plane(m, (enum moments_plane)plane, 0.3, 11, 0, nvox, view.plane[plane]);
    digest(hash, out, MOMENTS_NPLANES * nvox);
    moments_trend(m, 0.3, 11, fit);
    digest(hash, fit, (MOMENTS_NPLANES + 2) * nvox);
    moments_merge(joined, &view, nvox);
    for (size_t plane = 0; plane < MOMENTS_NPLANES; plane++)
        digest(hash, joined->plane[plane], nvox);
    moments_mean(joined, 0, nvox, out);
    digest(hash, out, nvox);
    for (int ddof = 0; ddof < 2; ddof++) {
        moments_variance(joined, 0, nvox, ddof, out);
        digest(hash, out, nvox);
        moments_std(joined, 0, nvox, ddof, out);
        digest(hash, out, nvox);
    }
    moments_free(m);
    legendre_free(trend);
}

int main(void)
{
#ifdef VECTOR_CPU
    if (!__builtin_cpu_supports(VECTOR_CPU)) {
        puts("unsupported");
        return 0;
    }
#endif
    size_t nbytes = (size_t)NVOX_MAX * NVOL * sizeof(double);
    unsigned char *samples = aligned_alloc(64, (nbytes + 63) / 64 * 64);
    double *out = malloc(MOMENTS_NPLANES * NVOX_MAX * sizeof *out);
    double *sums = malloc(MOMENTS_NPLANES * NVOX_MAX * sizeof *sums);
    uint64_t state = 88172645463325252;

    if (!samples || !out || !sums)
        return 1;
    for (int type = 0; type < NTYPES; type++) {
        uint64_t hash = UINT64_C(14695981039346656037);

        for (size_t v = 0; v < sizeof volumes / sizeof *volumes; v++) {
            struct moments_view joined = {.n = 0};

            for (size_t plane = 0; plane < MOMENTS_NPLANES; plane++)
                joined.plane[plane] = sums + plane * volumes[v];
            for (int swap = 0; swap < 2; swap++) {
                fill((enum sample_type)type, samples, volumes[v] * NVOL, &state);
                digest_run(&hash, (enum sample_type)type, swap, volumes[v], samples, out, &joined);
            }
        }
        printf("%d %016" PRIx64 "\n", type, hash);
    }
    free(samples);
    free(out);
    free(sums);
    return 0;
}
