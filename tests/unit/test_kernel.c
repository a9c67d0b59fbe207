/* SPDX-License-Identifier: MIT
 *
 * Kernels against a reference in long double: two passes over the whole series of every voxel, for
 * every type, both byte orders and many ways of cutting the calls.
 */
#include "kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "series.h"

static void test_every_type_matches_reference(void **state)
{
    (void)state;
    enum { NVOX = 1500, NVOL = 23 }; /* more than one tile, and no whole number of them */
    double *planes = malloc(MOMENTS_NPLANES * NVOX * sizeof *planes);
    for (int type = 0; type < NTYPES; type++)
        for (int swap = 0; swap < 2; swap++) {
            struct series s = random_series((enum sample_type)type, NVOX, NVOL, 1 + (uint64_t)type);
            struct moments *m = moments_of(&s, 0, NVOL, swap, 4 * NVOX + 7);
            all_planes(m, 1, 0, NVOX, planes);
            assert_planes(&s, 0, NVOL, 1, 0, planes);
            all_planes(m, -0.25, 3, NVOX, planes);
            assert_planes(&s, 0, NVOL, -0.25, 3, planes);
            moments_free(m);
            free(s.samples);
        }
    free(planes);
}

static void test_cutting_does_not_show(void **state)
{
    (void)state;
    enum { NVOX = 1111, NVOL = 9, SIZE = MOMENTS_NPLANES * NVOX * sizeof(double) };
    double *want = malloc(SIZE), *got = malloc(SIZE);
    static const size_t cuts[] = {0, 1, 64, 1000, NVOX - 1, NVOX, NVOX + 1, 2 * NVOX + 300};
    for (int type = 0; type < NTYPES; type++) {
        struct series s = random_series((enum sample_type)type, NVOX, NVOL, 7);
        struct moments *m = moments_of(&s, 0, NVOL, false, NVOX * NVOL);
        all_planes(m, 1.5, -2, NVOX, want);
        moments_free(m);
        for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
            m = moments_of(&s, 0, NVOL, c % 2, cuts[c]);
            all_planes(m, 1.5, -2, NVOX, got);
            assert_memory_equal(got, want, SIZE);
            moments_free(m);
        }
        free(s.samples);
    }
    free(want);
    free(got);
}

static void test_part_of_a_plane(void **state)
{
    (void)state;
    struct series s = random_series(SAMPLE_FLOAT32, 40, 5, 3);
    struct moments *m = moments_of(&s, 0, 5, false, 0);
    double whole[40], part[7];
    moments_plane(m, MOMENTS_SUM, 2, 1, 0, 40, whole);
    moments_plane(m, MOMENTS_SUM, 2, 1, 30, 7, part);
    assert_memory_equal(part, whole + 30, sizeof part);
    moments_free(m);
    free(s.samples);
}

static struct moments_view view_of(double n, double *planes, size_t nvox)
{
    struct moments_view v = {n, {NULL}};
    for (size_t p = 0; p < MOMENTS_NPLANES; p++)
        v.plane[p] = planes + p * nvox;
    return v;
}

/* A constant series must give its value and no deviation, to the bit, whatever the value. */
static void test_constant_is_exact(void **state)
{
    (void)state;
    for (int type = 0; type < NTYPES; type++) {
        struct series s = series_new((enum sample_type)type, 1, 301);
        long double low, high;
        type_limits(s.type, &low, &high);
        const long double values[] = {low, high, 1, 0.1L, 1 / 3.0L};
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            for (size_t vol = 0; vol < s.nvol; vol++)
                series_set(&s, vol, 0, values[v]);
            struct moments *m = moments_of(&s, 0, s.nvol, false, 11);
            double planes[MOMENTS_NPLANES];
            all_planes(m, 1, 0, 1, planes);
            struct moments_view view = view_of((double)s.nvol, planes, 1);
            double mean;
            moments_mean(&view, 0, 1, &mean);
            assert_true(mean == series_at(&s, 0, 0));
            assert_true(planes[MOMENTS_M2] == 0);
            assert_true(planes[MOMENTS_MIN] == mean);
            assert_true(planes[MOMENTS_MAX] == mean);
            moments_free(m);
        }
        free(s.samples);
    }
}

/* More volumes than 16 bits count, all at the value whose square is largest. */
static void test_many_extreme_volumes(void **state)
{
    (void)state;
    enum { NVOL = 70001 };
    static const struct {
        enum sample_type type;
        long double value, last;
    } cases[] = {{SAMPLE_INT16, INT16_MIN, INT16_MAX}, {SAMPLE_UINT16, UINT16_MAX, 0}};
    for (size_t c = 0; c < 2; c++) {
        struct series s = series_new(cases[c].type, 1, NVOL);
        for (size_t vol = 0; vol < NVOL; vol++)
            series_set(&s, vol, 0, vol == NVOL - 1 ? cases[c].last : cases[c].value);
        struct moments *m = moments_of(&s, 0, NVOL, false, 10000);
        double planes[MOMENTS_NPLANES];
        all_planes(m, 1, 0, 1, planes);
        /* One sample at distance 65535 from n - 1 others: M2 = 65535^2 (n - 1) / n. */
        assert_near(planes[MOMENTS_M2], 65535.0L * 65535.0L * (NVOL - 1) / NVOL, 1e6L);
        assert_near(planes[MOMENTS_SUM] / NVOL,
                    cases[c].value + (cases[c].last - cases[c].value) / NVOL, 1);
        moments_free(m);
        free(s.samples);
    }
}

/* As far apart as 16 bits can be, half of the volumes each: the squares are largest, and so is what
 * is left of them. About as many volumes as fit 64 bits with them, and many more. */
static void test_many_volumes_far_apart(void **state)
{
    (void)state;
    static const size_t nvols[] = {32766, 32768, 32770, 46342, 131072};
    static const struct {
        enum sample_type type;
        long double low, high;
    } cases[] = {{SAMPLE_INT16, INT16_MIN, INT16_MAX}, {SAMPLE_UINT16, 0, UINT16_MAX}};
    for (size_t i = 0; i < 2 * sizeof nvols / sizeof *nvols; i++) {
        size_t c = i % 2, nvol = nvols[i / 2];
        struct series s = series_new(cases[c].type, 1, nvol);
        for (size_t vol = 0; vol < nvol; vol++)
            series_set(&s, vol, 0, vol % 2 ? cases[c].high : cases[c].low);
        struct moments *m = moments_of(&s, 0, nvol, false, 10000);
        double m2;
        moments_plane(m, MOMENTS_M2, 1, 0, 0, 1, &m2);
        /* each is 65535/2 from the mean */
        long double want = (long double)nvol * 65535 * 65535 / 4;
        assert_near(m2, want, want);
        moments_free(m);
        free(s.samples);
    }
}

/* numpy: np.var([1, 2, 3], ddof=3) is inf, np.var([2, 2, 2], ddof=3) is nan, and ddof=4 the same.
 */
static void test_too_few_volumes_for_ddof(void **state)
{
    (void)state;
    double sum[] = {6, 6}, m2[] = {2, 0}, min[] = {1, 2}, max[] = {3, 2}, out[2];
    const struct moments_view m = {.n = 3, .plane = {sum, m2, min, max}};
    moments_variance(&m, 0, 2, 2, out);
    assert_true(out[0] == 2 && out[1] == 0);
    for (double ddof = 3; ddof <= 4; ddof++) {
        moments_variance(&m, 0, 2, ddof, out);
        assert_true(isinf(out[0]) && out[0] > 0 && isnan(out[1]));
        moments_std(&m, 0, 2, ddof, out);
        assert_true(isinf(out[0]) && out[0] > 0 && isnan(out[1]));
    }
}

/* mean/std of 1e6 over 2000 volumes: the standard deviation is right to 1e-6. */
static void test_small_spread_on_large_mean(void **state)
{
    (void)state;
    static const enum sample_type types[] = {SAMPLE_INT32, SAMPLE_FLOAT64};
    for (size_t t = 0; t < 2; t++) {
        struct series s = series_new(types[t], 1, 2000);
        uint64_t seed = 5;
        for (size_t vol = 0; vol < s.nvol; vol++)
            series_set(&s, vol, 0, 100000000 + (long double)(random_bits(&seed) % 346));
        struct moments *m = moments_of(&s, 0, s.nvol, false, 64);
        double m2;
        moments_plane(m, MOMENTS_M2, 1, 0, 0, 1, &m2);
        struct reference r = reference_of(&s, 0, 0, s.nvol, 1, 0);
        assert_true(r.mean / sqrtl(r.m2 / 2000) > 0.9e6L);
        long double ratio = sqrtl(m2 / r.m2);
        assert_true(fabsl(ratio - 1) < 1e-9L);
        moments_free(m);
        free(s.samples);
    }
}

static void assert_same(double got, double want)
{
    if (!(got == want || (isnan(got) && isnan(want))))
        fail_msg("got %g, expected %g", got, want);
}

/* What numpy's mean, min and max give for [1, 2, A, 3, B]; M2 is NaN in all of these. */
static void test_nan_and_inf_as_numpy(void **state)
{
    (void)state;
    static const struct {
        double a, b, slope, mean, low, high;
    } cases[] = {
        {INFINITY, 4, 1, INFINITY, 1, INFINITY},
        {INFINITY, INFINITY, 1, INFINITY, 1, INFINITY},
        {-INFINITY, 4, 1, -INFINITY, -INFINITY, 4},
        {INFINITY, -INFINITY, 1, NAN, -INFINITY, INFINITY},
        {NAN, 4, 1, NAN, NAN, NAN},
        {INFINITY, NAN, 1, NAN, NAN, NAN},
        {NAN, -INFINITY, 1, NAN, NAN, NAN},
        {INFINITY, 4, -1, -INFINITY, -INFINITY, -1},
        {-INFINITY, 4, -1, INFINITY, -4, INFINITY},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int type = SAMPLE_FLOAT32; type <= SAMPLE_FLOAT64; type++) {
            struct series s = series_new((enum sample_type)type, 1, 5);
            const double values[] = {1, 2, cases[c].a, 3, cases[c].b};
            for (size_t vol = 0; vol < 5; vol++)
                series_set(&s, vol, 0, values[vol]);
            struct moments *m = moments_of(&s, 0, 5, false, 1);
            double planes[MOMENTS_NPLANES];
            all_planes(m, cases[c].slope, 0, 1, planes);
            assert_same(planes[MOMENTS_SUM], cases[c].mean);
            assert_true(isnan(planes[MOMENTS_M2]));
            assert_same(planes[MOMENTS_MIN], cases[c].low);
            assert_same(planes[MOMENTS_MAX], cases[c].high);
            moments_free(m);
            free(s.samples);
        }
}

/* A voxel with NaN must not invalidate its neighbours. */
static void test_nonfinite_stays_in_its_voxel(void **state)
{
    (void)state;
    struct series s = random_series(SAMPLE_FLOAT64, 21, 6, 17);
    series_set(&s, 3, 10, NAN);
    series_set(&s, 0, 12, INFINITY);
    struct moments *m = moments_of(&s, 0, 6, false, 0);
    double mean[21];
    moments_plane(m, MOMENTS_SUM, 1, 0, 0, 21, mean);
    for (size_t vox = 0; vox < 21; vox++)
        assert_int_equal(isfinite(mean[vox]) != 0, vox != 10 && vox != 12);
    moments_free(m);
    free(s.samples);
}

/* Moments of three parts, merged in order, are those of the whole. */
static void test_merge_matches_the_whole(void **state)
{
    (void)state;
    enum { NVOX = 33, NVOL = 30, NPLANES = MOMENTS_NPLANES * NVOX };
    static const size_t ends[] = {0, 4, 5, NVOL};
    for (int type = 0; type < NTYPES; type++) {
        struct series s = random_series((enum sample_type)type, NVOX, NVOL, 23);
        double joined[NPLANES], part[NPLANES];
        struct moments_view into = view_of(0, joined, NVOX);
        for (size_t r = 0; r < 3; r++) {
            struct moments *m = moments_of(&s, ends[r], ends[r + 1], false, 0);
            all_planes(m, 0.5, 10, NVOX, part);
            struct moments_view from = view_of((double)(ends[r + 1] - ends[r]), part, NVOX);
            moments_merge(&into, &from, NVOX);
            moments_free(m);
        }
        assert_true(into.n == NVOL);
        assert_planes(&s, 0, NVOL, 0.5, 10, joined);
        free(s.samples);
    }
}

static void test_merge_of_nothing(void **state)
{
    (void)state;
    double a[MOMENTS_NPLANES] = {5, 6, 1, 9}, b[MOMENTS_NPLANES] = {NAN, NAN, NAN, NAN};
    struct moments_view into = view_of(3, a, 1), from = view_of(0, b, 1);
    moments_merge(&into, &from, 1);
    assert_true(into.n == 3 && a[0] == 5 && a[1] == 6 && a[2] == 1 && a[3] == 9);
    moments_merge(&from, &into, 1);
    assert_true(from.n == 3);
    assert_memory_equal(a, b, sizeof a);
}

static void test_merge_with_nan_and_inf(void **state)
{
    (void)state;
    static const struct {
        double sum, low, high; /* of the second run; the first is 1, 2, 3 */
        double want_sum, want_low, want_high;
    } cases[] = {
        {INFINITY, 0, INFINITY, INFINITY, 0, INFINITY},
        {-INFINITY, -INFINITY, 7, -INFINITY, -INFINITY, 7},
        {NAN, -INFINITY, INFINITY, NAN, -INFINITY, INFINITY},
        {NAN, NAN, NAN, NAN, NAN, NAN},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int order = 0; order < 2; order++) {
            double sound[MOMENTS_NPLANES] = {6, 2, 1, 3};
            double odd[MOMENTS_NPLANES] = {cases[c].sum, NAN, cases[c].low, cases[c].high};
            struct moments_view into = view_of(3, order ? odd : sound, 1);
            struct moments_view from = view_of(3, order ? sound : odd, 1);
            moments_merge(&into, &from, 1);
            assert_same(into.plane[MOMENTS_SUM][0], cases[c].want_sum);
            assert_true(isnan(into.plane[MOMENTS_M2][0]));
            assert_same(into.plane[MOMENTS_MIN][0], cases[c].want_low);
            assert_same(into.plane[MOMENTS_MAX][0], cases[c].want_high);
        }
}

/* The mean of whole numbers over joined runs is their exact sum divided once, in every type; so
 * is that of a run alone. */
static void test_mean_of_whole_numbers_is_exact(void **state)
{
    (void)state;
    enum { NVOX = 50, NVOL = 97, NPLANES = MOMENTS_NPLANES * NVOX };
    static const size_t ends[] = {0, 31, 33, NVOL};
    for (int type = 0; type < NTYPES; type++) {
        struct series s = series_new((enum sample_type)type, NVOX, NVOL);
        uint64_t seed = 77;
        double sums[NVOX] = {0};
        for (size_t vol = 0; vol < NVOL; vol++)
            for (size_t vox = 0; vox < NVOX; vox++) {
                series_set(&s, vol, vox, (long double)(random_bits(&seed) % 120));
                sums[vox] += series_at(&s, vol, vox);
            }
        double joined[NPLANES], part[NPLANES], means[NVOX];
        struct moments_view into = view_of(0, joined, NVOX);
        for (size_t r = 0; r < 3; r++) {
            struct moments *m = moments_of(&s, ends[r], ends[r + 1], false, 0);
            all_planes(m, 0.5, 10, NVOX, part);
            struct moments_view from = view_of((double)(ends[r + 1] - ends[r]), part, NVOX);
            moments_merge(&into, &from, NVOX);
            moments_free(m);
        }
        moments_mean(&into, 0, NVOX, means);
        for (size_t vox = 0; vox < NVOX; vox++)
            assert_true(means[vox] == (0.5 * sums[vox] + 10 * NVOL) / NVOL);
        free(s.samples);
    }
}

/* What rounding takes from a running sum is given back. */
static void test_sum_is_compensated(void **state)
{
    (void)state;
    struct series s = series_new(SAMPLE_FLOAT64, 1, 10002);
    for (size_t vol = 0; vol < s.nvol; vol++)
        series_set(&s, vol, 0, 0.25L);
    series_set(&s, 0, 0, 1e16L);
    series_set(&s, s.nvol - 1, 0, -1e16L);
    struct moments *m = moments_of(&s, 0, s.nvol, false, 0);
    double sum;
    moments_plane(m, MOMENTS_SUM, 1, 0, 0, 1, &sum);
    assert_true(sum == 2500);
    moments_free(m);
    free(s.samples);
}

/* Scaling may round the same constant differently in sums over runs of different lengths. */
static void test_scaled_constant_has_no_deviation(void **state)
{
    (void)state;
    for (size_t nvol = 2; nvol < 50; nvol++) {
        double joined[MOMENTS_NPLANES], part[MOMENTS_NPLANES], mean;
        struct moments_view into = view_of(0, joined, 1);
        for (size_t r = 0; r < 2; r++) {
            struct series s = series_new(SAMPLE_INT16, 1, nvol + 5 * r);
            for (size_t vol = 0; vol < s.nvol; vol++)
                series_set(&s, vol, 0, 123);
            struct moments *m = moments_of(&s, 0, s.nvol, false, 0);
            all_planes(m, 0.1, 0.7, 1, part);
            struct moments_view from = view_of((double)s.nvol, part, 1);
            moments_merge(&into, &from, 1);
            moments_free(m);
            free(s.samples);
        }
        moments_mean(&into, 0, 1, &mean);
        assert_true(joined[MOMENTS_M2] == 0);
        assert_true(mean == 0.1 * 123 + 0.7);
    }
}

/* Every type, both byte orders, more than one tile, from an unaligned address. */
static void test_scale(void **state)
{
    (void)state;
    enum { NVOX = 1200 };
    for (int type = 0; type < NTYPES; type++)
        for (int swap = 0; swap < 2; swap++) {
            struct series s = random_series((enum sample_type)type, NVOX, 1, 3 + (uint64_t)type);
            size_t nbytes = type_nbytes[type];
            unsigned char *stored = malloc(NVOX * nbytes);
            double out[NVOX];
            assert_non_null(stored);
            for (size_t i = 0; i < NVOX * nbytes; i++)
                stored[i] =
                    swap ? s.samples[i / nbytes * nbytes + nbytes - 1 - i % nbytes] : s.samples[i];
            kernel_scale(s.type, swap, stored + 7 * nbytes, NVOX - 7, -0.3, 2.5, out);
            for (size_t vox = 7; vox < NVOX; vox++)
                assert_true(out[vox - 7] == -0.3 * series_at(&s, 0, vox) + 2.5);
            free(stored);
            free(s.samples);
        }
}

static void test_impossible_size_is_out_of_memory(void **state)
{
    (void)state;
    assert_null(moments_new(SAMPLE_FLOAT64, false, SIZE_MAX / 16, NULL));
    assert_null(moments_new(SAMPLE_INT16, false, SIZE_MAX / 2, NULL));
    assert_true(moments_nbytes(SAMPLE_INT16, 1000, 0) >= 20 * 1000);
    assert_true(moments_nbytes(SAMPLE_FLOAT32, 1000, 0) >= 48 * 1000);
}

/* Whole volumes while that is no waste of memory, whole samples in any case. */
static void test_what_a_call_brings(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    assert_int_equal(moments_call_nbytes(SAMPLE_INT16, 64 * 64 * 30, SIZE_MAX),
                     4 * 2 * 64 * 64 * 30);
    assert_int_equal(moments_call_nbytes(SAMPLE_INT16, 91 * 109 * 91, SIZE_MAX),
                     4 * 2 * 91 * 109 * 91);
    assert_int_equal(moments_call_nbytes(SAMPLE_UINT8, 1000, SIZE_MAX) % 4000, 0);
    assert_true(moments_call_nbytes(SAMPLE_UINT8, 1000, SIZE_MAX) > MIB - 4000);
    /* where there is less room, some of a volume will do */
    assert_int_equal(moments_call_nbytes(SAMPLE_INT16, 91 * 109 * 91, 8 * 91 * 109 * 91),
                     8 * 91 * 109 * 91);
    assert_int_equal(moments_call_nbytes(SAMPLE_INT16, 91 * 109 * 91, 8 * 91 * 109 * 91 - 1), MIB);
    assert_int_equal(moments_call_nbytes(SAMPLE_FLOAT64, MIB, SIZE_MAX), MIB);
    assert_int_equal(moments_call_nbytes(SAMPLE_FLOAT64, SIZE_MAX / 4, SIZE_MAX), MIB);
}

static void test_every_nan_is_written_alike(void **state)
{
    (void)state;
    static const uint64_t bits[] = {0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001,
                                    0xfff0000000000001, 0x7fffffffffffffff, 0xffffffffffffffff};
    enum { N = sizeof bits / sizeof *bits };
    static const double others[] = {INFINITY, -INFINITY, 0.0, -0.0, 1e300, -1e-300, 1.1};
    enum { NOTHERS = sizeof others / sizeof *others };
    double values[N + NOTHERS], settled[N + NOTHERS];
    float rounded[N + NOTHERS];

    memcpy(values, bits, sizeof bits);
    memcpy(values + N, others, sizeof others);
    kernel_round(values, N + NOTHERS, rounded);
    kernel_settle_nan(values, N + NOTHERS, settled);
    for (size_t i = 0; i < N; i++) {
        uint32_t narrow;
        uint64_t wide;

        memcpy(&narrow, &rounded[i], sizeof narrow);
        memcpy(&wide, &settled[i], sizeof wide);
        assert_int_equal(narrow, 0x7fc00000);
        assert_true(wide == 0x7ff8000000000000);
    }
    assert_memory_equal(settled + N, others, sizeof others);
    for (size_t i = 0; i < NOTHERS; i++) {
        float expected = (float)others[i];
        assert_memory_equal(&rounded[N + i], &expected, sizeof expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_matches_reference),
        cmocka_unit_test(test_cutting_does_not_show),
        cmocka_unit_test(test_part_of_a_plane),
        cmocka_unit_test(test_constant_is_exact),
        cmocka_unit_test(test_many_extreme_volumes),
        cmocka_unit_test(test_many_volumes_far_apart),
        cmocka_unit_test(test_too_few_volumes_for_ddof),
        cmocka_unit_test(test_small_spread_on_large_mean),
        cmocka_unit_test(test_nan_and_inf_as_numpy),
        cmocka_unit_test(test_nonfinite_stays_in_its_voxel),
        cmocka_unit_test(test_merge_matches_the_whole),
        cmocka_unit_test(test_merge_of_nothing),
        cmocka_unit_test(test_merge_with_nan_and_inf),
        cmocka_unit_test(test_mean_of_whole_numbers_is_exact),
        cmocka_unit_test(test_sum_is_compensated),
        cmocka_unit_test(test_scaled_constant_has_no_deviation),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_every_nan_is_written_alike),
        cmocka_unit_test(test_impossible_size_is_out_of_memory),
        cmocka_unit_test(test_what_a_call_brings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
