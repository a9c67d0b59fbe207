/* SPDX-License-Identifier: MIT
 *
 * Percentiles of time courses against a sort of each: every type, every way in which rows
 * are held, and any memory.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel.h"
#include "timecourses.h"

enum { NPERCENTS = 6 };

static const double percents[NPERCENTS] = {0, 2.5, 50, 66.6, 90, 100};

static const size_t type_nbytes[] = {
#define ROW(name, numpy, type) [SAMPLE_##name] = sizeof(type),
    SAMPLE_TYPES(ROW)
#undef ROW
};

struct series {
    enum sample_type type;
    size_t nvox;
    int64_t nvol;
    double slope, inter;
    unsigned char *samples; /* [nvol][nvox] */
};

static uint64_t random_bits(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct series series_new(enum sample_type type, size_t nvox, int64_t nvol)
{
    struct series s = {type, nvox, nvol, 0.7, -3, NULL};

    s.samples = malloc(nvox * (size_t)nvol * type_nbytes[type]);
    assert_non_null(s.samples);
    return s;
}

/* Any bits; floats get their share of NaN, infinities and zeros of both signs. */
static void fill_with_anything(struct series *s)
{
    uint64_t state = 0x9e3779b97f4a7c15;
    size_t nbytes = type_nbytes[s->type];

    for (size_t i = 0; i < s->nvox * (size_t)s->nvol; i++) {
        uint64_t bits = random_bits(&state);
        const double special[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0, -0.0, -0.0, 1.0};
        double wide = special[bits % 8];
        float narrow = (float)wide;
        bool is_special = i % s->nvox % 4 == 0 && bits % 16 < 8 && (bits % 8 > 1 || bits % 512 < 2);

        memcpy(s->samples + i * nbytes, &bits, nbytes);
        if (is_special && s->type == SAMPLE_FLOAT64)
            memcpy(s->samples + i * nbytes, &wide, nbytes);
        if (is_special && s->type == SAMPLE_FLOAT32)
            memcpy(s->samples + i * nbytes, &narrow, nbytes);
    }
}

/* As a run is: noise about a level that differs between voxels, rows with wide samples, and volumes
 * that are brighter than the one before. */
static void fill_like_a_run(struct series *s)
{
    uint64_t state = 42;

    for (size_t i = 0; i < s->nvox * (size_t)s->nvol; i++) {
        size_t vol = i / s->nvox, vox = i % s->nvox;
        int16_t v = (int16_t)(vox % 1000 + random_bits(&state) % 60 + (vol == 5 ? 900 : 0) +
                              (vox / 64 == 2 ? random_bits(&state) % 3000 : 0));

        memcpy(s->samples + i * sizeof v, &v, sizeof v);
    }
}

static void values_at(const struct series *s, int64_t vol, size_t vox0, size_t n, double *out)
{
    kernel_scale(s->type, false, s->samples + ((size_t)vol * s->nvox + vox0) * type_nbytes[s->type],
                 n, s->slope, s->inter, out);
}

/* -0 before 0 */
static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x != y ? (x > y) - (x < y) : signbit(y) - signbit(x);
}

/* By numpy's formulas, of x[n], which is sorted. */
static double expected(const double *x, size_t n, double percent)
{
    double at = percent / 100 * (double)(n - 1), a, b;
    size_t i = (size_t)at;

    for (size_t k = 0; k < n; k++)
        if (isnan(x[k]))
            return NAN;
    if (at == (double)i)
        return x[i];
    a = x[i], b = x[i + 1], at -= (double)i;
    if (at == 0.5 || isinf(a) || isinf(b))
        return (a + b) / 2;
    return at < 0.5 ? a + (b - a) * at : b - (b - a) * (1 - at);
}

static void assert_same(double got, double want)
{
    if (isnan(want))
        assert_true(isnan(got));
    else
        assert_memory_equal(&got, &want, sizeof got);
}

/* Voxels [vox0, vox0 + n): out[p * n + i]. */
static void assert_percentiles(const struct series *s, const double *out, size_t n)
{
    double *volume = malloc(n * sizeof *volume);
    double *columns = malloc(n * (size_t)s->nvol * sizeof *columns);

    for (int64_t vol = 0; vol < s->nvol; vol++) {
        values_at(s, vol, 0, n, volume);
        for (size_t i = 0; i < n; i++)
            columns[i * (size_t)s->nvol + (size_t)vol] = volume[i];
    }
    for (size_t i = 0; i < n; i++) {
        double *column = columns + i * (size_t)s->nvol;
        bool has_nan = false;

        for (int64_t vol = 0; vol < s->nvol; vol++)
            has_nan = has_nan || isnan(column[vol]);
        if (!has_nan)
            qsort(column, (size_t)s->nvol, sizeof *column, compare);
        for (size_t p = 0; p < NPERCENTS; p++)
            assert_same(out[p * n + i], expected(column, (size_t)s->nvol, percents[p]));
    }
    free(volume);
    free(columns);
}

/* Read the series as often as the memory needs it; returns how often. Out is [NPERCENTS][nvox]. */
static unsigned select_all(const struct series *s, size_t room, size_t least, bool as_values,
                           double *out)
{
    struct timecourses *c = timecourses_new(s->nvol, room, least);
    double *values = malloc(s->nvox * sizeof *values);
    unsigned passes = 0;

    assert_non_null(c);
    for (size_t vox = 0; vox < s->nvox; passes++) {
        struct timecourses_reader *r;

        timecourses_begin(c, s->nvox - vox);
        for (int64_t vol = 0; vol < s->nvol; vol++) {
            size_t at = ((size_t)vol * s->nvox + vox) * type_nbytes[s->type];

            values_at(s, vol, vox, s->nvox - vox, values);
            if (as_values)
                timecourses_add_float64(c, values);
            else
                timecourses_add(c, s->type, s->slope, s->inter, s->samples + at);
        }
        r = timecourses_reader_new(c, NULL, NULL);
        assert_non_null(r);
        for (size_t end = vox + timecourses_nvox(c); vox < end;)
            vox += timecourses_reader_next(r, percents, NPERCENTS, out + vox, s->nvox);
        timecourses_reader_free(r);
    }
    timecourses_free(c);
    free(values);
    return passes;
}

static void check(const struct series *s, bool as_values)
{
    size_t nbytes = as_values ? sizeof(double) : type_nbytes[s->type];
    size_t room = timecourses_nbytes(nbytes, s->nvox, s->nvol);
    double *out = malloc(NPERCENTS * s->nvox * sizeof *out);

    assert_int_equal(select_all(s, room, s->nvox, as_values, out), 1);
    assert_percentiles(s, out, s->nvox);
    free(out);
}

static void test_every_type(void **state)
{
    const size_t nvox[] = {1, 63, 64, 130};
    const int64_t nvol[] = {1, 2, 3, 40, 41};

    (void)state;
    for (int type = 0; type <= SAMPLE_FLOAT64; type++)
        for (size_t i = 0; i < sizeof nvox / sizeof *nvox; i++)
            for (size_t k = 0; k < sizeof nvol / sizeof *nvol; k++) {
                struct series s = series_new((enum sample_type)type, nvox[i], nvol[k]);

                fill_with_anything(&s);
                check(&s, false);
                check(&s, true);
                s.slope = -2; /* the order of samples is not that of values */
                check(&s, false);
                free(s.samples);
            }
}

static void test_more_rows_than_16_bits_count(void **state)
{
    struct series s = series_new(SAMPLE_INT8, 3, 3 * 65536 + 5);

    (void)state;
    for (size_t i = 0; i < s.nvox * (size_t)s.nvol; i++)
        s.samples[i] = (unsigned char)(i % 3 == 0 ? i % 251 : i % 3);
    check(&s, false);
    free(s.samples);
}

/* Any memory gives the same: rows of 8 bits take about half, little memory takes more passes. */
static void test_any_memory(void **state)
{
    struct series s = series_new(SAMPLE_INT16, 64 * 20 + 7, 50);
    size_t all = timecourses_nbytes(2, s.nvox, s.nvol);
    double *out = malloc(NPERCENTS * s.nvox * sizeof *out);
    unsigned passes;

    (void)state;
    fill_like_a_run(&s);
    passes = select_all(&s, all, s.nvox, false, out);
    assert_int_equal(passes, 1);
    assert_percentiles(&s, out, s.nvox);
    assert_int_equal(
        select_all(&s, all * 6 / 10, timecourses_fit(2, s.nvol, all * 6 / 10), false, out), 1);
    assert_percentiles(&s, out, s.nvox);
    for (size_t room = timecourses_nbytes(2, 1, s.nvol); room < all; room += all / 13) {
        size_t least = timecourses_fit(2, s.nvol, room);

        memset(out, 0xff, NPERCENTS * s.nvox * sizeof *out);
        passes = select_all(&s, room, least, false, out);
        assert_true(passes <= (s.nvox + least - 1) / least);
        assert_percentiles(&s, out, s.nvox);
    }
    free(out);
    free(s.samples);
}

/* |x - level of the voxel|, from samples that are held. */
static void distance(void *ctx, size_t vol, size_t vox0, size_t n, const void *samples, double *out)
{
    const struct series *s = ctx;

    assert_in_range(vol, 0, s->nvol - 1);
    assert_true(n <= TIMECOURSES_TILE && vox0 + n <= s->nvox);
    kernel_scale(s->type, false, samples, n, s->slope, s->inter, out);
    for (size_t i = 0; i < n; i++)
        out[i] = fabs(out[i] - (double)(vox0 + i));
}

static void test_computed_values(void **state)
{
    struct series s = series_new(SAMPLE_INT16, 64 * 3 + 5, 21), values;
    struct timecourses *c = timecourses_new(s.nvol, timecourses_nbytes(2, s.nvox, s.nvol), s.nvox);
    double *out = malloc(NPERCENTS * s.nvox * sizeof *out);
    struct timecourses_reader *r;

    (void)state;
    fill_like_a_run(&s);
    values = series_new(SAMPLE_FLOAT64, s.nvox, s.nvol);
    values.slope = 1;
    values.inter = 0;
    timecourses_begin(c, s.nvox);
    for (int64_t vol = 0; vol < s.nvol; vol++) {
        double *volume = (double *)values.samples + (size_t)vol * s.nvox;

        timecourses_add(c, s.type, s.slope, s.inter, s.samples + (size_t)vol * s.nvox * 2);
        values_at(&s, vol, 0, s.nvox, volume);
        for (size_t i = 0; i < s.nvox; i++)
            volume[i] = fabs(volume[i] - (double)i);
    }
    r = timecourses_reader_new(c, distance, &s);
    assert_non_null(r);
    for (size_t vox = 0; vox < s.nvox;)
        vox += timecourses_reader_next(r, percents, NPERCENTS, out + vox, s.nvox);
    assert_percentiles(&values, out, s.nvox);
    timecourses_reader_free(r);
    timecourses_free(c);
    free(out);
    free(s.samples);
    free(values.samples);
}

/* Nothing of this fits 8 bits. */
static void test_what_fits_is_held(void **state)
{
    struct series s = series_new(SAMPLE_UINT16, 64 * 9, 30);
    size_t room = timecourses_nbytes(2, 64 * 4, s.nvol);
    double *out = malloc(NPERCENTS * s.nvox * sizeof *out);

    (void)state;
    fill_with_anything(&s);
    assert_true(select_all(&s, room, timecourses_fit(2, s.nvol, room), false, out) <= 3);
    assert_percentiles(&s, out, s.nvox);
    free(out);
    free(s.samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_more_rows_than_16_bits_count),
        cmocka_unit_test(test_any_memory),
        cmocka_unit_test(test_computed_values),
        cmocka_unit_test(test_what_fits_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
