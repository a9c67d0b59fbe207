/* SPDX-License-Identifier: MIT
 *
 * The head mask: two classes told apart, outliers and hostile values borne.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "headmask.h"

enum { NVOX = 1000 };

static size_t mask_of(const double *mean, size_t nvox, uint8_t *mask)
{
    struct error err;
    size_t nhead;

    assert_int_equal(headmask_otsu(mean, nvox, mask, &nhead, &err), 0);
    return nhead;
}

/* Air of 20 to 60, and from voxel 600 on a head of 400 to 900. */
static void fill(double *mean)
{
    for (size_t i = 0; i < NVOX; i++)
        mean[i] = i < 600 ? 20 + (double)(i * 7 % 41) : 400 + (double)(i * 13 % 501);
}

static void test_head_and_air(void **state)
{
    double mean[NVOX], scale[] = {1, 1e-300, 1e300};
    uint8_t mask[NVOX];

    (void)state;
    for (size_t s = 0; s < 3; s++) {
        fill(mean);
        for (size_t i = 0; i < NVOX; i++)
            mean[i] *= scale[s];
        assert_int_equal(mask_of(mean, NVOX, mask), 400);
        for (size_t i = 0; i < NVOX; i++)
            assert_int_equal(mask[i], i >= 600);
    }
}

static void test_a_few_spikes_make_no_class(void **state)
{
    double mean[NVOX];
    uint8_t mask[NVOX];

    (void)state;
    fill(mean);
    for (size_t i = 600; i < 610; i++)
        mean[i] = 1e9;
    assert_int_equal(mask_of(mean, NVOX, mask), 400);
}

static void test_what_is_not_finite_is_not_head(void **state)
{
    double mean[NVOX];
    uint8_t mask[NVOX];

    (void)state;
    fill(mean);
    mean[0] = INFINITY;
    mean[1] = -INFINITY;
    mean[999] = NAN;
    assert_int_equal(mask_of(mean, NVOX, mask), 399);
    assert_int_equal(mask[0], 0);
    assert_int_equal(mask[999], 0);
}

static void test_one_class_or_none(void **state)
{
    double mean[] = {4, 4, NAN, 4}, nothing[] = {NAN, INFINITY}, two[] = {-1e308, 1e308};
    double few[NVOX] = {0};
    uint8_t mask[NVOX];

    (void)state;
    assert_int_equal(mask_of(mean, 4, mask), 3);
    assert_int_equal(mask[2], 0);
    assert_int_equal(mask_of(mean, 1, mask), 1);
    assert_int_equal(mask_of(nothing, 2, mask), 0);
    assert_int_equal(mask_of(two, 2, mask), 1);
    assert_int_equal(mask[1], 1);
    few[17] = 3; /* less than the spikes that are cut off: but there is nothing else */
    assert_int_equal(mask_of(few, NVOX, mask), 1);
    assert_int_equal(mask[17], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_and_air),
        cmocka_unit_test(test_a_few_spikes_make_no_class),
        cmocka_unit_test(test_what_is_not_finite_is_not_head),
        cmocka_unit_test(test_one_class_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
