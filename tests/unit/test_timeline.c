/* SPDX-License-Identifier: MIT
 *
 * How series lie in time: segments of every series expression, against what Python's lists do with
 * the volumes' numbers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runs.h"
#include "timeline.h"

static struct run *runs[3];

static int setup(void **state)
{
    (void)state;
    runs[0] = runs_make(1, 5);
    runs[1] = runs_make(2, 3);
    runs[2] = runs_make(3, 4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        run_put(runs[i]);
    return 0;
}

/* The segments of `text` over runs of 5, 3 and 4 volumes, as "5 3 4"; or the reason why not. */
static void assert_segments(const char *text, const char *expected)
{
    struct joined_runs bold = {runs, 3};
    struct expr *e = runs_parse(text);
    struct timeline t;
    struct error err;
    char got[sizeof err.text + 1] = "";

    if (timeline_of(e, &bold, &t, &err) < 0) {
        assert_int_equal(err.code, EINVAL);
        snprintf(got, sizeof got, "%s", err.text);
    } else {
        for (size_t i = 0; i < t.n; i++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d", i ? " " : "",
                     (int)t.nvol[i]);
        timeline_free(&t);
        assert_null(t.nvol);
    }
    expr_free(e);
    if (strcmp(got, expected) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", text, got, expected);
}

static void test_segments(void **state)
{
    static const char *const cases[][2] = {
        {"bold", "5 3 4"},
        {"bold[..., 2:]", "3 3 4"},
        {"bold[..., 5:]", "3 4"},
        {"bold[..., 6:-1]", "2 3"},
        {"bold[..., -2:]", "2"},
        {"bold[..., :]", "5 3 4"},
        {"bold[..., :100]", "5 3 4"},
        {"bold[..., -100:1]", "1"},
        {"bold[..., 12:]", "bold[..., 12:] has no volumes here"},
        {"bold[..., 4:2]", "bold[..., 4:2] has no volumes here"},
        {"bold[..., 3:][..., 1:4]", "1 2"},
        {"drop(bold, 0)", "5 3 4"},
        {"drop(bold, 2)", "3 1 2"},
        {"drop(bold, 3)", "2 1"},
        {"drop(bold, 4)", "1"},
        {"drop(bold, 5)", "drop(bold, 5) has no volumes here"},
        {"drop(bold[..., 4:], 1)", "2 3"},
        {"drop(drop(bold, 1), 2)", "2 1"},
        {"concat(bold[..., 10:], bold[..., :1])", "2 1"},
        {"concat(bold, bold)", "5 3 4 5 3 4"},
        {"detrend(drop(bold, 2), 1)", "3 1 2"},
        {"zscore(bold[..., 1:]) + demean(bold[..., 1:])", "4 3 4"},
        {"-bold * mean(bold) + 2", "5 3 4"},
        /* cut wherever either is cut */
        {"bold[..., 1:] - bold[..., :-1]", "4 1 2 1 3"},
        {"where(bold[..., 1:] > 0, bold[..., :-1], concat(bold[..., -2:], bold[..., 3:]))",
         "2 2 1 2 1 3"},
        {"bold[..., 1:] - bold", "series of 11 and 12 volumes cannot be combined"},
        {"where(mean(bold) > 0, bold, drop(bold, 1))",
         "series of 12 and 9 volumes cannot be combined"},
        {"1 + bold[..., 20:] + bold[..., 1:]", "bold[..., 20:] has no volumes here"},
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        assert_segments(cases[c][0], cases[c][1]);
}

/* Every start and stop round the ends, against Python's rule spelt out. */
static void test_slices(void **state)
{
    (void)state;
    for (int64_t nvol = 1; nvol <= 4; nvol++)
        for (int64_t start = -7; start <= 7; start++)
            for (int64_t stop = -7; stop <= 7; stop++) {
                struct expr slice = {.op = EXPR_SLICE,
                                     .has_start = start != 7,
                                     .has_stop = stop != 7,
                                     .start = start,
                                     .stop = stop};
                int64_t from, to, n = 0, first = -1;

                for (int64_t vol = 0; vol < nvol; vol++) {
                    /* volume `vol` is in it when it is neither before the start nor from the stop
                     */
                    int64_t lower = slice.has_start ? (start < 0 ? start + nvol : start) : 0;
                    int64_t upper = slice.has_stop ? (stop < 0 ? stop + nvol : stop) : nvol;

                    if (vol >= lower && vol < upper) {
                        first = n == 0 ? vol : first;
                        n++;
                    }
                }
                timeline_slice(&slice, nvol, &from, &to);
                assert_int_equal(to > from ? to - from : 0, n);
                if (n > 0)
                    assert_int_equal(from, first);
            }
}

static void test_extreme_slices(void **state)
{
    struct expr slice = {.op = EXPR_SLICE,
                         .has_start = true,
                         .has_stop = true,
                         .start = INT64_MIN,
                         .stop = INT64_MAX};
    int64_t from, to;

    (void)state;
    timeline_slice(&slice, 9, &from, &to);
    assert_int_equal(from, 0);
    assert_int_equal(to, 9);
}

static void test_undrop_and_find(void **state)
{
    int64_t nvol[] = {5, 1, 4}, start;
    struct timeline t = {nvol, 3};
    static const int64_t where[] = {2, 3, 4, 8, 9};

    (void)state;
    assert_int_equal(timeline_nvol(&t), 10);
    for (int64_t vol = 0; vol < 5; vol++)
        assert_int_equal(timeline_undrop(&t, 2, vol), where[vol]);
    assert_int_equal(timeline_find(&t, 0, &start), 0);
    assert_int_equal(start, 0);
    assert_int_equal(timeline_find(&t, 4, &start), 0);
    assert_int_equal(timeline_find(&t, 5, &start), 1);
    assert_int_equal(start, 5);
    assert_int_equal(timeline_find(&t, 9, &start), 2);
    assert_int_equal(start, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_extreme_slices),
        cmocka_unit_test(test_undrop_and_find),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
