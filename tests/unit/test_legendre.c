/* SPDX-License-Identifier: MIT
 *
 * Sampled Legendre polynomials and fits by them: closed forms, orthogonality, exact recovery.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "legendre.h"

static struct legendre *make(int64_t nvol, unsigned order)
{
    struct legendre *l;
    struct error err;

    assert_int_equal(legendre_new(nvol, order, &l, &err), 0);
    assert_int_equal(l->nvol, nvol);
    return l;
}

static void assert_near(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("got %.17g, expected %.17g", got, want);
}

static void test_closed_forms(void **state)
{
    struct legendre *l = make(5, 4);
    /* P_0 to P_4 at -1, -1/2, 0, 1/2, 1 */
    static const double expected[5][5] = {
        {1, 1, 1, 1, 1},
        {-1, -0.5, 0, 0.5, 1},
        {1, -0.125, -0.5, -0.125, 1},
        {-1, 0.4375, 0, -0.4375, 1},
        {1, -0.2890625, 0.375, -0.2890625, 1},
    };

    (void)state;
    for (size_t k = 0; k < 5; k++)
        for (size_t t = 0; t < 5; t++)
            assert_near(l->p[k * 5 + t], expected[k][t], 1e-15);
    legendre_free(l);
}

static void test_basis_is_orthonormal(void **state)
{
    static const int64_t lengths[] = {2, 11, 16, 240, 1201};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct legendre *l = make(lengths[i], LEGENDRE_ORDER_MAX);
        int64_t n = l->nvol;

        for (unsigned j = 0; j <= l->order; j++)
            for (unsigned k = 0; k <= l->order; k++) {
                double dot = 0;

                for (int64_t t = 0; t < n; t++)
                    dot += l->q[j * n + t] * l->q[k * n + t];
                assert_near(dot, j == k, 1e-13);
            }
        legendre_free(l);
    }
}

/* Coefficients of a sum of polynomials come out again, whatever the order. */
static void test_solve(void **state)
{
    (void)state;
    for (unsigned order = 0; order <= 10; order++) {
        struct legendre *l = make(60, order);
        double d[LEGENDRE_ORDER_MAX + 1];

        for (unsigned k = 0; k <= order; k++) {
            d[k] = 0;
            for (int64_t t = 0; t < 60; t++) {
                double x = 0;

                for (unsigned j = 0; j <= order; j++)
                    x += (3.0 - j) * l->p[j * 60 + t];
                d[k] += x * l->q[k * 60 + t];
            }
        }
        legendre_solve(l, 1, 1, d);
        for (unsigned k = 0; k <= order; k++)
            assert_near(d[k], 3.0 - k, 1e-11);
        legendre_free(l);
    }
}

/* A worked fit: of 0, 1, 4, 9 by a straight line 3.5 + 4.5 x at x = -1, -1/3, 1/3, 1. */
static void test_worked_fit(void **state)
{
    struct legendre *l = make(4, 1);
    static const double x[] = {0, 1, 4, 9};
    double d[2][3] = {{0}}; /* of x, of 2 x; the third is not asked for */

    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (size_t t = 0; t < 4; t++)
            for (size_t i = 0; i < 2; i++)
                d[k][i] += (double)(i + 1) * x[t] * l->q[k * 4 + t];
    legendre_solve(l, 2, 3, d[0]);
    assert_near(d[0][0], 3.5, 1e-14);
    assert_near(d[1][0], 4.5, 1e-14);
    assert_near(d[0][1], 7, 1e-14);
    assert_near(d[1][1], 9, 1e-14);
    legendre_free(l);
}

/* More polynomials than volumes say nothing more. */
static void test_few_volumes(void **state)
{
    struct legendre *l = make(3, 9);
    double d = 7;

    (void)state;
    assert_int_equal(l->order, 2);
    legendre_free(l);
    l = make(1, 4);
    assert_int_equal(l->order, 0);
    assert_true(l->p[0] == 1 && l->q[0] == 1);
    legendre_solve(l, 1, 1, &d);
    assert_true(d == 7);
    legendre_free(l);
    legendre_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_basis_is_orthonormal),
        cmocka_unit_test(test_solve),        cmocka_unit_test(test_worked_fit),
        cmocka_unit_test(test_few_volumes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
