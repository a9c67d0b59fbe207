/* SPDX-License-Identifier: MIT
 *
 * Percentiles as numpy has them, and what is gathered.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stats.h"

static void test_gather(void **state)
{
    const float image[] = {3, NAN, INFINITY, -1, -INFINITY, 2};
    const uint8_t mask[] = {1, 1, 1, 0, 1, 1};
    double out[6];

    (void)state;
    assert_int_equal(stats_gather(image, NULL, 6, out), 3);
    assert_true(out[0] == 3 && out[1] == -1 && out[2] == 2);
    assert_int_equal(stats_gather(image, mask, 6, out), 2);
    assert_true(out[0] == 3 && out[1] == 2);
}

static void test_percentile(void **state)
{
    double values[] = {7, -2, 10, 4};

    (void)state;
    stats_sort(values, 4);
    /* numpy.percentile([7, -2, 10, 4], [0, 2, 50, 95, 100]) */
    assert_true(stats_percentile(values, 4, 0) == -2);
    assert_true(fabs(stats_percentile(values, 4, 2) - -1.64) < 1e-12);
    assert_true(stats_percentile(values, 4, 50) == 5.5);
    assert_true(fabs(stats_percentile(values, 4, 95) - 9.55) < 1e-12);
    assert_true(stats_percentile(values, 4, 100) == 10);
    assert_true(stats_mean(values, 4) == 4.75);
}

static void test_few_and_extreme(void **state)
{
    double one[] = {5}, huge[] = {-1.7e308, 1.7e308};

    (void)state;
    assert_true(isnan(stats_percentile(one, 0, 50)));
    assert_true(isnan(stats_mean(one, 0)));
    assert_true(stats_percentile(one, 1, 98) == 5);
    assert_true(stats_percentile(huge, 2, 50) == 0);
    assert_true(stats_mean(huge, 2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_percentile),
        cmocka_unit_test(test_few_and_extreme),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
