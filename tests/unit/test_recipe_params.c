/* SPDX-License-Identifier: MIT
 *
 * Parameters of recipes: what they stand for in an expression, what names with values give, and
 * what a user is told of wrong ones. And files that are read again: what stays in force.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe.h"
#include "scratch.h"

static struct scratch scratch;

static int make_scratch(void **state)
{
    (void)state;
    scratch_make(&scratch);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static struct recipe_table *reload(const struct recipe_table *before, const char *text)
{
    struct recipe_table *t = NULL;
    struct error err;
    scratch_text(&scratch, "recipes.ini", text);
    if (recipe_table_load(scratch_at(&scratch, "recipes.ini"), before, &t, &err) != 0)
        fail_msg("%s", err.text);
    return t;
}

/* A table of a file without mistakes. */
static struct recipe_table *load(const char *text)
{
    struct recipe_table *t = reload(NULL, text);
    for (size_t i = 0; i < t->nproblems; i++)
        fail_msg("%s", t->problems[i]);
    return t;
}

/* The recipe called so is this expression. */
static void check(struct recipe_table *t, const char *name, const char *canonical)
{
    struct recipe_table *owner;
    const struct recipe *r;
    struct error err;
    if (recipe_resolve(t, name, strlen(name), &owner, &r, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    if (r->wrong)
        fail_msg("%s: %s", name, r->wrong);
    assert_string_equal(r->name, name);
    char *printed = expr_print(r->expr);
    assert_string_equal(printed, canonical);
    assert_string_equal(r->canonical, canonical);
    free(printed);
    recipe_table_put(owner);
}

/* The name is that of a recipe, but says what cannot be. */
static void check_wrong(struct recipe_table *t, const char *name, const char *sentence)
{
    struct recipe_table *owner;
    const struct recipe *r;
    assert_int_equal(recipe_resolve(t, name, strlen(name), &owner, &r, NULL), 0);
    assert_non_null(r->wrong);
    assert_string_equal(r->wrong, sentence);
    assert_non_null(r->expr);
    recipe_table_put(owner);
}

static void check_none(struct recipe_table *t, const char *name)
{
    struct recipe_table *owner;
    const struct recipe *r;
    assert_int_equal(recipe_resolve(t, name, strlen(name), &owner, &r, NULL), -ENOENT);
}

static void test_everywhere(void **state)
{
    (void)state;
    struct recipe_table *t = load("[r]\nparam n = 4\nparam order = 2\nparam ddof = 1\n"
                                  "param x = -1.5\nparam  drop = 3\nparam neg = -2\n"
                                  "expr = std(detrend(drop(bold, n), order), ddof=ddof) ** x\n"
                                  "  + x * mean(drop(bold, drop)[..., n:neg]) - x ** 2\n"
                                  "  + bold[..., neg] + bold[..., -n]\n");
    check(t, "r",
          "((((std(detrend(drop(bold, 4), 2), ddof=1) ** (-1.5)) + ((-1.5) * mean(drop(bold, "
          "3)[..., 4:-2]))) - ((-1.5) ** 2)) + bold[..., -2]) + bold[..., -4]");
    /* prints back to an equal tree */
    struct expr *again = NULL;
    assert_int_equal(expr_parse(t->recipes[3].canonical, NULL, NULL, &again, NULL), 0);
    assert_true(expr_equal(again, t->recipes[3].expr));
    expr_free(again);
    recipe_table_put(t);
}

static void test_values(void **state)
{
    (void)state;
    struct recipe_table *t =
        load("[r]\nexpr = a * mean(drop(bold, n))\nparam n = 0\nparam a = 1\n");
    check(t, "r", "1 * mean(drop(bold, 0))");
    check(t, "r@n=4", "1 * mean(drop(bold, 4))");
    check(t, "r@a=-2.5,n=4", "(-2.5) * mean(drop(bold, 4))");
    check(t, "r@n=4.0,a=+0.5e1", "5 * mean(drop(bold, 4))");
    check(t, "r@a=-0", "0 * mean(drop(bold, 0))");
    check(t, "r@n=-0", "1 * mean(drop(bold, 0))");
    check(t, "r@a=.5", "0.5 * mean(drop(bold, 0))");
    check_none(t, "s@n=4");
    check_none(t, "@n=4");
    check_none(t, "r.n=4");
    recipe_table_put(t);
}

static void test_values_with_a_fraction(void **state)
{
    (void)state;
    struct recipe_table *t = load("[iqr]\nexpr = percentile(bold, high) - percentile(bold, 25)\n"
                                  "param high = 75\n");
    static const char wrong[] = "q of percentile() must be written as a number from 0 to 100 "
                                "(the parameters of recipe 'iqr' are high=75)";
    check(t, "iqr", "percentile(bold, 75) - percentile(bold, 25)");
    check(t, "iqr@high=97.50", "percentile(bold, 97.5) - percentile(bold, 25)");
    check(t, "iqr@high=-0", "percentile(bold, 0) - percentile(bold, 25)");
    check_wrong(t, "iqr@high=101", wrong);
    check_wrong(t, "iqr@high=-1", wrong);
    recipe_table_put(t);
}

static void test_wrong_values(void **state)
{
    (void)state;
    struct recipe_table *t =
        load("[r]\nexpr = mean(drop(bold, n)) + a\nparam n = 0\nparam a = 1.5\n");
    static const char there_are[] = " (the parameters of recipe 'r' are n=0,a=1.5)";
    static const char *const cases[][2] = {
        {"r@b=1", "there is no parameter 'b'"},
        {"r@n=1,N=1", "there is no parameter 'N'"},
        {"r@=1", "there is no parameter ''"},
        {"r@n=x", "'x' is not a number"},
        {"r@n=", "'' is not a number"},
        {"r@n=1x", "'1x' is not a number"},
        {"r@n=inf", "'inf' is not a number"},
        {"r@n=0x10", "'0x10' is not a number"},
        {"r@n=1e999", "'1e999' is not a number"},
        {"r@n=1=2", "'1=2' is not a number"},
        {"r@n=--1", "'--1' is not a number"},
        {"r@n", "'n' is not NAME=NUMBER"},
        {"r@", "'' is not NAME=NUMBER"},
        {"r@n=1,", "'' is not NAME=NUMBER"},
        {"r@n=1,n=1", "'n' is given twice"},
        {"r@n=-1", "n of drop() must be written as a whole number from 0 to 2147483647"},
        {"r@n=1.5", "n of drop() must be written as a whole number from 0 to 2147483647"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char sentence[512];
        snprintf(sentence, sizeof(sentence), "%s%s", cases[i][1], there_are);
        check_wrong(t, cases[i][0], sentence);
    }
    check_wrong(t, "tsnr@n=1", "there is no parameter 'n': recipe 'tsnr' has no parameters");
    recipe_table_put(t);
}

/* A parameter belongs to its recipe alone. */
static void test_scope(void **state)
{
    (void)state;
    struct recipe_table *t = load("[inner]\nparam n = 1\nexpr = drop(bold, n)\n"
                                  "[outer]\nparam n = 7\nexpr = mean(inner) + n\n"
                                  "[mean2]\nparam tsnr = 3\nexpr = mean(bold) + tsnr\n");
    check(t, "outer", "mean(drop(bold, 1)) + 7");
    check(t, "outer@n=8", "mean(drop(bold, 1)) + 8");
    check(t, "inner@n=2", "drop(bold, 2)");
    check(t, "mean2", "mean(bold) + 3");
    recipe_table_put(t);

    t = reload(NULL, "[inner]\nparam n = 1\nexpr = drop(bold, n)\n[outer]\nexpr = inner + n\n");
    assert_int_equal(t->nproblems, 1);
    assert_non_null(strstr(t->problems[0], ":5:16: unknown name 'n'"));
    recipe_table_put(t);
}

/* An instance outlives the table that it was made of. */
static void test_owner(void **state)
{
    (void)state;
    struct recipe_table *t = load("[r]\nexpr = drop(bold, n)\nparam n = 0\nlist = yes\n"), *owner;
    const struct recipe *r;
    assert_int_equal(recipe_resolve(t, "r@n=3x", 5, &owner, &r, NULL), 0);
    int64_t mtime_ns = recipe_find(t, "r", 1)->mtime_ns;
    recipe_table_put(t);
    assert_string_equal(r->name, "r@n=3");
    assert_string_equal(r->text, "drop(bold, 3)");
    assert_false(r->list);
    assert_true(r->mtime_ns == mtime_ns && mtime_ns != 0);
    char *params = recipe_params_text(r);
    assert_string_equal(params, "n=3");
    free(params);
    recipe_table_put(owner);
}

static void check_problems(const struct recipe_table *t, size_t n, const char *const *parts)
{
    if (t->nproblems != n)
        for (size_t i = 0; i < t->nproblems; i++)
            print_error("%s\n", t->problems[i]);
    assert_int_equal(t->nproblems, n);
    for (size_t i = 0; i < n; i++)
        if (!strstr(t->problems[i], parts[i]))
            fail_msg("%s\nhas no %s", t->problems[i], parts[i]);
}

static void test_reload(void **state)
{
    (void)state;
    struct recipe_table *a = load("[r]\nexpr = mean(bold) + n\nparam n = 1\n"
                                  "[s]\nexpr = r * 2\n[gone]\nexpr = bold\n");
    /* r breaks, and s that names it; gone goes, new comes */
    struct recipe_table *b = reload(a, "[r]\nexpr = mean(bold) +\n[s]\nexpr = r * 3\n"
                                       "[new]\nexpr = bold + 1\n");
    recipe_table_put(a);
    check(b, "r", "mean(bold) + 1");
    check(b, "r@n=5", "mean(bold) + 5");
    check(b, "s", "(mean(bold) + 1) * 2");
    check(b, "new", "bold + 1");
    check_none(b, "gone");
    check_problems(b, 4,
                   (const char *const[]){":2:20: unexpected end", ":4:8: recipe 'r' is wrong",
                                         ":1:2: recipe 'r' keeps its last valid definition",
                                         ":3:2: recipe 's' keeps its last valid definition"});
    /* still wrong, in another way: a bad value, no expression */
    struct recipe_table *c = reload(b, "[r]\nexpr = mean(bold)\nparam n = ?\n[s]\nlist = yes\n");
    recipe_table_put(b);
    check(c, "r@n=5", "mean(bold) + 5");
    check(c, "s", "(mean(bold) + 1) * 2");
    assert_false(recipe_find(c, "s", 1)->list);
    check_none(c, "new");
    /* mended */
    struct recipe_table *d = reload(c, "[r]\nexpr = mean(bold) - n\nparam n = 2\n");
    recipe_table_put(c);
    check(d, "r", "mean(bold) - 2");
    check_none(d, "s");
    assert_int_equal(d->nproblems, 0);
    recipe_table_put(d);
}

/* A heading without its bracket may have been anybody's: nobody goes. */
static void test_reload_stray(void **state)
{
    (void)state;
    struct recipe_table *a = load("[r]\nexpr = bold\n[s]\nexpr = bold * 2\n");
    struct recipe_table *b = reload(a, "[r\nexpr = bold\n[s]\nexpr = bold * 3\n");
    recipe_table_put(a);
    check(b, "r", "bold");
    check(b, "s", "bold * 3");
    assert_int_equal(b->nrecipes, 8);
    recipe_table_put(b);
}

/* A file that cannot be read gives no table; the caller keeps his. */
static void test_reload_unreadable(void **state)
{
    (void)state;
    struct recipe_table *a = load("[r]\nexpr = bold\n"), *b;
    struct error err;
    scratch_unlink(&scratch, "recipes.ini");
    assert_int_equal(recipe_table_load(scratch_at(&scratch, "recipes.ini"), a, &b, &err), -ENOENT);
    check(a, "r", "bold");
    recipe_table_put(a);
}

/* A command that is wrong now stays with all that it had; one that is gone goes. */
static void test_changed_commands(void **state)
{
    (void)state;
    struct recipe_table *a =
        reload(NULL, "[each.tsv]\ncommand = \"cat\" {b.tsv}\nscope = run\ntimeout = 7\n"
                     "memory = 2K\nlist = yes\n[b.tsv]\ncommand = ls\nscope = run\n"
                     "[gone.txt]\ncommand = ls\n");
    struct recipe_table *b = reload(a, "[each.tsv]\ncommand = cat |\n[b.tsv]\ncommand = ls -l\n"
                                       "scope = run\n");
    recipe_table_put(a);
    const struct recipe *r = recipe_find(b, "each.tsv", strlen("each.tsv"));
    assert_non_null(r);
    assert_string_equal(r->text, "\"cat\" {b.tsv}");
    assert_true(r->list);
    assert_null(r->expr);
    assert_true(r->command->per_run);
    assert_int_equal(r->command->timeout_s, 7);
    assert_int_equal(r->command->memory_nbytes, 2048);
    assert_int_equal(r->command->nfiles, 1);
    assert_non_null(strstr(r->command->files[0].place, ":2:17"));
    assert_string_equal(recipe_find(b, "b.tsv", strlen("b.tsv"))->text, "ls -l");
    check_none(b, "gone.txt");
    check_none(b, "b.tsv@n=1");
    recipe_table_put(b);
}

/* [a.nii] and recipe a have a file of the same name: there is room for one of them. */
static void test_what_is_kept_takes_no_name(void **state)
{
    (void)state;
    struct recipe_table *a = load("[a.nii]\ncommand = ls\n[b]\nexpr = bold\n");
    struct recipe_table *b = reload(a, "[a.nii]\ncommand = ls |\n[a]\nexpr = mean(bold)\n"
                                       "[b.nii]\ncommand = ls\n[b]\nexpr = bold +\n");
    recipe_table_put(a);
    check(b, "a", "mean(bold)");
    check_none(b, "a.nii");
    check(b, "b", "bold");
    check_none(b, "b.nii");
    recipe_table_put(b);
    /* a heading that cannot be read may have been that of [a.nii] or [b] */
    a = load("[a.nii]\ncommand = ls\n[b]\nexpr = bold\n[c]\nexpr = bold\n");
    b = reload(a, "[a.nii\n[a]\nexpr = mean(bold)\n[b.nii.gz]\ncommand = ls\n");
    recipe_table_put(a);
    check_none(b, "a.nii");
    check_none(b, "b");
    check(b, "c", "bold");
    assert_non_null(recipe_find(b, "b.nii.gz", 8));
    recipe_table_put(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_values_with_a_fraction),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_what_is_kept_takes_no_name),
        cmocka_unit_test(test_reload_stray),
        cmocka_unit_test(test_reload_unreadable),
        cmocka_unit_test(test_changed_commands),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
