/* SPDX-License-Identifier: MIT
 *
 * Titles from the names of runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "caption.h"
#include "runs.h"
#include "unit.h"

/* What is said of runs at these paths. */
static void assert_title(const char *title, const char *extent, size_t nruns,
                         const char *const *paths)
{
    struct recipe recipe = {.name = "tsnr", .description = "a\nb\xff", .canonical = "mean(bold)"};
    struct run *runs[10];
    struct caption *c;
    struct error err;

    for (size_t i = 0; i < nruns; i++) {
        runs[i] = runs_make((unsigned)i, 10);
        free(runs[i]->path);
        runs[i]->path = strdup(paths[i]);
    }
    assert_int_equal(expr_parse(recipe.canonical, NULL, NULL, &recipe.expr, NULL), 0);
    assert_int_equal(caption_new(&recipe, runs, nruns, NULL, &c, &err), 0);
    assert_string_equal(c->title, title);
    assert_string_equal(c->extent, extent);
    assert_string_equal(c->description, "a?b?");
    assert_string_equal(c->unit, "a.u.");
    caption_free(c);
    expr_free(recipe.expr);
    for (size_t i = 0; i < nruns; i++)
        run_put(runs[i]);
}

static void test_titles(void **state)
{
    (void)state;
    assert_title("sub-01 task-rest run-1", "1 run, 10 volumes", 1,
                 (const char *[]){"sub-01/func/sub-01_task-rest_run-1_bold.nii.gz"});
    assert_title("sub-01 task-a+b run-1+2", "3 runs, 30 volumes", 3,
                 (const char *[]){"sub-01_task-a_run-1_bold.nii", "sub-01_task-a_run-2_bold.nii",
                                  "sub-01_task-b_run-1_bold.nii"});
    assert_title("sub-01 task-x run-1+2+3+4+5+6+7+8+...", "9 runs, 90 volumes", 9,
                 (const char *[]){"sub-01_task-x_run-1_bold.nii", "sub-01_task-x_run-2_bold.nii",
                                  "sub-01_task-x_run-3_bold.nii", "sub-01_task-x_run-4_bold.nii",
                                  "sub-01_task-x_run-5_bold.nii", "sub-01_task-x_run-6_bold.nii",
                                  "sub-01_task-x_run-7_bold.nii", "sub-01_task-x_run-8_bold.nii",
                                  "sub-01_task-x_run-9_bold.nii"});
    assert_title("my ?scan", "1 run, 10 volumes", 1, (const char *[]){"a/my \nscan.nii"});
    assert_title("study", "2 runs, 20 volumes", 2,
                 (const char *[]){"x/study/a.nii", "x/study/b.nii"});
    assert_title("a", "2 runs, 20 volumes", 2, (const char *[]){"a.nii", "b.nii"});
}

static void test_units(void **state)
{
    static const char *const units[][2] = {
        {"mean(bold)", "a.u."},
        {"mean(bold) / std(bold)", "no unit"},
        {"where(std(bold, ddof=1) > 0, abs(mean(bold)) / std(bold), 0)", "no unit"},
        {"var(bold)", "a.u.\u00b2"},
        {"sqrt(var(demean(drop(bold, 2)))) * 100", "a.u."},
        {"std(bold) / mean(bold) * 100", "no unit"},
        {"mean(bold) ** 2 + var(bold)", "a.u.\u00b2"},
        {"mean(bold) > 100", "no unit"},
        {"mean(bold) + 5", "a.u."},
        {"mean(concat(bold[..., :2], bold[..., 3:]))", "a.u."},
        {"mean(zscore(bold))", "no unit"},
        {"log(mean(bold) / 100)", ""},
        {"log(mean(bold) / std(bold))", "no unit"},
        {"mean(bold) + var(bold)", ""},
        {"mean(bold) * x", ""},
        {"mean(bold) ** 3", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct expr *e;

        assert_int_equal(expr_parse(units[i][0], NULL, NULL, &e, NULL), 0);
        assert_string_equal(unit_of(e), units[i][1]);
        expr_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_titles), cmocka_unit_test(test_units)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
