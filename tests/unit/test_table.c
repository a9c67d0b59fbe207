/* SPDX-License-Identifier: MIT
 *
 * Tables as texts: which columns, in which order, and what cannot be in a cell.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peers.h"
#include "table.h"

/* A recipe of an image, and one of a number. */
static struct expr of_image = {.rank = EXPR_IMAGE}, of_number = {.rank = EXPR_SCALAR};
static const struct recipe image = {.name = (char *)"r", .expr = &of_image};
static const struct recipe number = {.name = (char *)"r", .expr = &of_number};

static void assert_table(const struct table_row *rows, size_t nrows, const char *expected)
{
    struct error err;
    char *text;

    assert_int_equal(table_text(&image, rows, nrows, NULL, &text, &err), 0);
    assert_string_equal(text, expected);
    free(text);
}

#define NAMES                                                                                      \
    "size_t\tr\tr_mean\tr_p05\tr_p95\tr_n\tr_peers\tr_z\tr_outlier\tmask\tfilename\treason\n"

static void test_number(void **state)
{
    const struct table_row rows[] = {
        {.path = "sub-1_bold.nii", .nvol = 3, .has_numbers = true, .numbers = {.median = 0.125}},
        {.path = "sub-2_bold.nii", .reason = "lost"},
    };
    struct error err;
    char *text;

    (void)state;
    assert_int_equal(table_text(&number, rows, 2, NULL, &text, &err), 0);
    assert_string_equal(text,
                        "bids_name\tsub\tsize_t\tr\tr_peers\tr_z\tr_outlier\tfilename\treason\n"
                        "sub-1_bold\tsub-1\t3\t0.125\t1\tn/a\ttoo few\tsub-1_bold.nii\tn/a\n"
                        "sub-2_bold\tsub-2\tn/a\tn/a\t1\tn/a\tn/a\tsub-2_bold.nii\tlost\n");
    free(text);
}

static void test_columns(void **state)
{
    const struct table_row rows[] = {
        {"a/sub-1_run-1_bold.nii.gz",
         12,
         true,
         {123456, 1.53333, 12345.6, -2, INFINITY},
         "a/sub-1_mask.nii",
         NULL,
         false},
        {"sub-1_ses-b_task-x_bold.nii", 0, false, {.nvox = 0}, "otsu", "bad", false},
        {"sub-1_task-y_run-02_bold.nii", 7, true, {0, NAN, NAN, NAN, NAN}, "otsu", NULL, false},
        {"x/sub-01", 0, false, {.nvox = 0}, NULL, "a link", true},
    };

    (void)state;
    assert_table(rows, 0, "bids_name\t" NAMES);
    assert_table(rows, 4,
                 "bids_name\tsub\tses\ttask\trun\t" NAMES
                 "sub-1_run-1_bold\tsub-1\tn/a\tn/a\t1\t12\t1.533\t12346\t-2\tinf\t123456\t"
                 "1\tn/a\ttoo few\ta/sub-1_mask.nii\ta/sub-1_run-1_bold.nii.gz\tn/a\n"
                 "sub-1_ses-b_task-x_bold\tsub-1\tses-b\tx\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\t"
                 "0\tn/a\tn/a\tn/a\tsub-1_ses-b_task-x_bold.nii\tbad\n"
                 "sub-1_task-y_run-02_bold\tsub-1\tn/a\ty\t02\t7\tn/a\tn/a\tn/a\tn/a\t0\t"
                 "0\tn/a\tn/a\totsu\tsub-1_task-y_run-02_bold.nii\tn/a\n"
                 "sub-01\tsub-01\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\t"
                 "x/sub-01\ta link\n");
}

/* The group of each row, by name; "-" of a file that is no run. */
static void assert_groups(const char *const *paths, size_t n, const char *expected)
{
    struct table_row rows[16] = {{.path = NULL}};
    char text[1000] = "";
    struct peers peers;
    struct error err;

    for (size_t i = 0; i < n; i++)
        rows[i] = (struct table_row){.path = paths[i], .omitted = strchr(paths[i], '!') != NULL};
    assert_int_equal(peers_form(rows, n, &peers, &err), 0);
    for (size_t i = 0; i < n; i++) {
        strcat(text, peers.of[i] == SIZE_MAX ? "-" : peers.groups[peers.of[i]].name);
        strcat(text, "\n");
    }
    assert_string_equal(text, expected);
    peers_clear(&peers);
}

static void test_equals(void **state)
{
    static const char *const bids[] = {
        "sub-1/sub-1_ses-1_task-a_dir-AP_run-1_echo-1_bold.nii",
        "sub-2/sub-2_task-a_run-2_echo-01_bold.nii.gz",
        "sub-2_task-a_echo-2_bold.nii",
        "sub-2_task-a_echo-2_cbv.nii",
        "sub-2_task-a_acq-hi_space-T1w_res-2_desc-preproc_bold.nii",
        "sub-2_task-a_wrong_bold.nii",
        "sub-3!",
    };
    static const char *const others[] = {"s1/epi_run1.nii", "s2/epi_run02.nii",
                                         "s2/epi_run1_e2.nii", "s2/rest.nii"};

    (void)state;
    assert_groups(bids, 7,
                  "task-a echo-1 bold\ntask-a echo-1 bold\ntask-a echo-2 bold\ntask-a echo-2 cbv\n"
                  "task-a acq-hi space-T1w res-2 desc-preproc bold\ntask-a bold (wrong)\n-\n");
    assert_groups(others, 4, "epi_run#\nepi_run#\necho-2 epi_run#\nrest\n");
}

/* Each run is judged among its equals alone. */
static void test_verdicts(void **state)
{
    static const double medians[] = {50, 51, 52, 53, 20, 20, 21, 22, 23, 24};
    static const char verdicts[] = "no no no no low no no no no no ";
    struct table_row rows[10];
    char paths[10][40], found[200] = "";
    struct error err;
    char *text, *line, *rest;

    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(paths[i], sizeof paths[i], "sub-%d_task-%c_bold.nii", i % 5, 'a' + i / 5);
        rows[i] = (struct table_row){.path = paths[i], .nvol = 9, .has_numbers = true};
        rows[i].numbers = (struct numbers){1, medians[i], medians[i], medians[i], medians[i]};
    }
    assert_int_equal(table_text(&image, rows, 10, NULL, &text, &err), 0);
    rest = strchr(text, '\n') + 1;
    while ((line = strsep(&rest, "\n")) && *line) {
        for (int column = 0; column < 11; column++)
            (void)strsep(&line, "\t");
        strcat(strcat(found, strsep(&line, "\t")), " ");
    }
    assert_string_equal(found, verdicts);
    free(text);
}

static void test_hostile(void **state)
{
    const struct table_row row = {"x\ty\n\xff.nii", 2,    false, {.nvox = 0}, NULL,
                                  "line\r\nbreak",  false};

    (void)state;
    assert_table(&row, 1,
                 "bids_name\t" NAMES
                 "x?y??\t2\tn/a\tn/a\tn/a\tn/a\tn/a\t0\tn/a\tn/a\tn/a\tx?y??.nii\t"
                 "line??break\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),  cmocka_unit_test(test_columns),
        cmocka_unit_test(test_equals),  cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
