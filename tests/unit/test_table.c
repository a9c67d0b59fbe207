/* SPDX-License-Identifier: MIT
 *
 * Tables as texts: which columns, in which order, and what cannot be in a cell.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "table.h"

static void assert_table(const struct table_row *rows, size_t nrows, const char *expected)
{
    char *text = table_text("r", rows, nrows);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

#define NAMES "size_t\tr\tr_mean\tr_p05\tr_p95\tr_n\tfilename\treason\n"

static void test_columns(void **state)
{
    const struct table_row rows[] = {
        {"a/sub-1_run-1_bold.nii.gz", 12, {3, 1.5, 0.1, -2, INFINITY}, NULL},
        {"sub-1_ses-b_task-x_bold.nii", 0, {.nvox = 0}, "bad"},
        {"sub-1_task-y_run-2_bold.nii", 7, {0, NAN, NAN, NAN, NAN}, NULL},
    };

    (void)state;
    assert_table(rows, 0, "bids_name\t" NAMES);
    assert_table(rows, 3,
                 "bids_name\tsub\tses\ttask\trun\t" NAMES
                 "sub-1_run-1_bold\t1\tn/a\tn/a\t1\t12\t1.5\t0.1\t-2\tinf\t3\t"
                 "a/sub-1_run-1_bold.nii.gz\tn/a\n"
                 "sub-1_ses-b_task-x_bold\t1\tb\tx\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\t"
                 "sub-1_ses-b_task-x_bold.nii\tbad\n"
                 "sub-1_task-y_run-2_bold\t1\tn/a\ty\t2\t7\tn/a\tn/a\tn/a\tn/a\t0\t"
                 "sub-1_task-y_run-2_bold.nii\tn/a\n");
}

static void test_hostile(void **state)
{
    const struct table_row row = {"x\ty\n\xff.nii", 2, {.nvox = 0}, "line\r\nbreak"};

    (void)state;
    assert_table(&row, 1,
                 "bids_name\t" NAMES "x?y??\t2\tn/a\tn/a\tn/a\tn/a\tn/a\tx?y??.nii\tline??break\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
