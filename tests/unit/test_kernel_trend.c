/* SPDX-License-Identifier: MIT
 *
 * Trends against a fit in long double, for every type, both byte orders and many ways of cutting the
 * calls.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel.h"
#include "series.h"

enum { NVOX = 700, NVOL = 23, ORDER_MAX = 3, NPLANES = MOMENTS_NPLANES + ORDER_MAX };

static double planes[NPLANES * NVOX], others[NPLANES * NVOX];

static struct legendre *legendre_of(unsigned order, int64_t nvol)
{
    struct legendre *l;
    struct error err;

    assert_int_equal(legendre_new(nvol, order, &l, &err), 0);
    return l;
}

/* What the fit is at volume t without its mean level. */
static long double fit_at(const struct legendre *l, const double *got, size_t vox, size_t t)
{
    long double sum = 0;

    for (unsigned k = 1; k <= l->order; k++)
        sum += (long double)got[(MOMENTS_NPLANES + k - 1) * NVOX + vox] *
               (long double)l->p[k * NVOL + t];
    return sum;
}

static void assert_trend(const struct series *s, const struct legendre *l, double slope,
                         double inter, const double *got, size_t vox)
{
    struct reference r = reference_of(s, vox, 0, NVOL, slope, inter);
    long double scale = 1 + fabsl(r.low) + fabsl(r.high), fit[NVOL] = {0}, left = 0;
    long double level = (long double)got[MOMENTS_SUM * NVOX + vox] / NVOL;
    double m2 = got[MOMENTS_M2 * NVOX + vox];

    for (unsigned k = 0; k <= l->order; k++) {
        long double along = 0;

        for (size_t t = 0; t < NVOL; t++)
            along += ((long double)series_at(s, t, vox) * slope + inter) * l->q[k * NVOL + t];
        for (size_t t = 0; t < NVOL; t++)
            fit[t] += along * l->q[k * NVOL + t];
    }
    for (size_t t = 0; t < NVOL; t++) {
        long double x = (long double)series_at(s, t, vox) * slope + inter;

        left += (x - fit[t]) * (x - fit[t]);
        assert_near(level + fit_at(l, got, vox, t), fit[t], scale);
    }
    assert_near(m2, left, scale * scale);
    assert_true(got[MOMENTS_MIN * NVOX + vox] == (double)level - sqrt(m2) || m2 > 0);
    assert_true(got[MOMENTS_MAX * NVOX + vox] >= got[MOMENTS_MIN * NVOX + vox]);
}

static void test_every_type_matches_a_fit(void **state)
{
    (void)state;
    for (unsigned order = 1; order <= ORDER_MAX; order++) {
        struct legendre *l = legendre_of(order, NVOL);

        for (int type = 0; type < NTYPES; type++)
            for (int swap = 0; swap < 2; swap++) {
                struct series s = random_series((enum sample_type)type, NVOX, NVOL, 5);
                struct moments *m = moments_of_trend(&s, 0, NVOL, swap, 4 * NVOX + 7, l);

                moments_trend(m, 1, 0, planes);
                moments_trend(m, -0.25, 3, others);
                for (size_t vox = 0; vox < NVOX; vox++) {
                    assert_trend(&s, l, 1, 0, planes, vox);
                    assert_trend(&s, l, -0.25, 3, others, vox);
                }
                moments_free(m);
                free(s.samples);
            }
        legendre_free(l);
    }
}

/* A voxel's products are added in the order of volumes, however many a call brings. */
static void test_cutting_does_not_show(void **state)
{
    static const size_t cuts[] = {0, 1, 64, NVOX - 1, NVOX, NVOX + 1, 4 * NVOX, 5 * NVOX + 300};
    struct legendre *l = legendre_of(2, NVOL);
    size_t nbytes = (MOMENTS_NPLANES + 2) * NVOX * sizeof *planes;

    (void)state;
    for (int type = 0; type < NTYPES; type++) {
        struct series s = random_series((enum sample_type)type, NVOX, NVOL, 7);
        struct moments *m = moments_of_trend(&s, 0, NVOL, false, NVOX * NVOL, l);

        moments_trend(m, 1.5, -2, planes);
        moments_free(m);
        for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
            m = moments_of_trend(&s, 0, NVOL, c % 2, cuts[c], l);
            moments_trend(m, 1.5, -2, others);
            assert_memory_equal(planes, others, nbytes);
            moments_free(m);
        }
        free(s.samples);
    }
    legendre_free(l);
}

static void test_a_constant_has_no_trend(void **state)
{
    struct legendre *l = legendre_of(2, NVOL);
    struct series s = series_new(SAMPLE_FLOAT32, NVOX, NVOL);
    struct moments *m;

    (void)state;
    for (size_t vol = 0; vol < NVOL; vol++)
        for (size_t vox = 0; vox < NVOX; vox++)
            series_set(&s, vol, vox, vox == 1 && vol == 4 ? NAN : vox == 2 ? INFINITY : 0.1L);
    m = moments_of_trend(&s, 0, NVOL, false, 0, l);
    moments_trend(m, 1, 0, planes);
    assert_true(planes[0] == (double)0.1F * NVOL);
    assert_true(planes[MOMENTS_M2 * NVOX] == 0);
    assert_true(planes[MOMENTS_MIN * NVOX] == (double)0.1F);
    assert_true(planes[MOMENTS_NPLANES * NVOX] == 0);
    for (size_t p = 0; p < MOMENTS_NPLANES + 2; p++)
        assert_true(isnan(planes[p * NVOX + 1]) && isnan(planes[p * NVOX + 2]));
    moments_free(m);
    free(s.samples);
    legendre_free(l);
}

/* Of one volume nothing is taken off, be it what it may. */
static void test_one_volume(void **state)
{
    struct legendre *l = legendre_of(2, 1);
    struct series s = series_new(SAMPLE_FLOAT64, 2, 1);
    struct moments *m;

    (void)state;
    series_set(&s, 0, 0, 3);
    series_set(&s, 0, 1, INFINITY);
    m = moments_of_trend(&s, 0, 1, false, 0, l);
    moments_trend(m, 2, 1, planes);
    assert_true(planes[0] == 7 && isinf(planes[1]));
    assert_true(planes[2] == 0 && isnan(planes[3]));
    assert_true(planes[4] == 7 && planes[6] == 7);
    moments_free(m);
    free(s.samples);
    legendre_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_matches_a_fit),
        cmocka_unit_test(test_cutting_does_not_show),
        cmocka_unit_test(test_a_constant_has_no_trend),
        cmocka_unit_test(test_one_volume),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
