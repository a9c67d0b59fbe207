/* SPDX-License-Identifier: MIT
 *
 * Which numbers stand out, by both definitions, and where nothing can be judged.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "outliers.h"

enum { N_MAX = 12 };

static struct spread spread_of(const double *values, size_t n)
{
    double copy[N_MAX];

    memcpy(copy, values, n * sizeof *copy);
    return outliers_spread(copy, n);
}

static void test_spread(void **state)
{
    const double values[] = {30, 47, 51, 49, 48, 50};
    struct spread s = spread_of(values, 6);

    (void)state;
    /* numpy.percentile(values, [25, 50, 75]), and the median of abs(values - 48.5) */
    assert_true(s.n == 6 && s.q1 == 47.25 && s.median == 48.5 && s.q3 == 49.75 && s.mad == 1.5);
    assert_true(s.low == 43.5 && s.high == 53.5);
    assert_true(fabs(outliers_z(&s, 30) - 0.6745 * -18.5 / 1.5) < 1e-12);
    assert_int_equal(outliers_judge(&s, 30), VERDICT_LOW);
    assert_int_equal(outliers_judge(&s, 80), VERDICT_HIGH);
    assert_int_equal(outliers_judge(&s, 47), VERDICT_NO);
    assert_int_equal(outliers_judge(&s, NAN), VERDICT_NONE);
    assert_int_equal(outliers_judge(&s, INFINITY), VERDICT_NONE);
}

/* Only one of the two definitions says so. */
static void test_doubt(void **state)
{
    const double pair[] = {20, 21, 40, 41, 42, 43, 44}, wide[] = {30, 41, 48, 49, 50, 51, 52, 59};
    struct spread s = spread_of(pair, 7);

    (void)state;
    /* two of seven widen the fences, but not the median of the distances */
    assert_true(s.low < 20 && outliers_z(&s, 20) < -3.5);
    assert_int_equal(outliers_judge(&s, 20), VERDICT_DOUBT_LOW);
    s = spread_of(wide, 8);
    assert_true(s.high < 59 && outliers_z(&s, 59) < 3.5);
    assert_int_equal(outliers_judge(&s, 59), VERDICT_DOUBT_HIGH);
}

static void test_few(void **state)
{
    const double values[] = {50, 51, 49, 1};
    struct spread s = spread_of(values, 4);

    (void)state;
    assert_int_equal(outliers_judge(&s, 1), VERDICT_FEW);
    assert_true(isnan(outliers_z(&s, 1)));
    s = spread_of(values, 0);
    assert_int_equal(outliers_judge(&s, 1), VERDICT_FEW);
}

/* Where the numbers hardly differ, none of them is marked; where most are equal, another one is. */
static void test_no_spread(void **state)
{
    const double alike[] = {50, 50.001, 50.002, 50.003, 51}, equal[] = {50, 50, 50, 50, 20};
    struct spread s = spread_of(alike, 5);

    (void)state;
    assert_true(s.high < 51 && outliers_z(&s, 51) > 3.5);
    assert_int_equal(outliers_judge(&s, 51), VERDICT_NO);
    s = spread_of(equal, 5);
    assert_true(outliers_z(&s, 20) == -INFINITY && outliers_z(&s, 50) == 0);
    assert_int_equal(outliers_judge(&s, 20), VERDICT_LOW);
    assert_int_equal(outliers_judge(&s, 50), VERDICT_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_no_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
