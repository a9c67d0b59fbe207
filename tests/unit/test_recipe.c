/* SPDX-License-Identifier: MIT
 *
 * Recipes files: what is read, and for each kind of mistake the sentence, its place, and that the
 * other recipes work.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "recipe.h"

static char dir[256];
static char path[300]; /* the recipes file */

static int make_dir(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/derivfs-recipe-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/recipes.ini", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_bytes(const char *text, size_t nbytes)
{
    unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, nbytes, f), nbytes);
    assert_int_equal(fclose(f), 0);
}

static struct recipe_table *load(const char *text)
{
    write_bytes(text, strlen(text));
    struct recipe_table *t = NULL;
    struct error err;
    int ret = recipe_table_load(path, NULL, &t, &err);
    if (ret != 0)
        fail_msg("%s", err.text);
    return t;
}

static const struct recipe *find(const struct recipe_table *t, const char *name)
{
    return recipe_find(t, name, strlen(name));
}

/* `text` has this one problem ("LINE:COLUMN: REASON", newline, line, newline, caret), and [good],
 * which is appended, works. */
static void check_problem(const char *text, const char *expected)
{
    char whole[4096];
    snprintf(whole, sizeof(whole), "%s\n[good]\nexpr = bold - 1\n", text);
    struct recipe_table *t = load(whole);
    char problem[4096];
    snprintf(problem, sizeof(problem), "%s:%s", path, expected);
    if (t->nproblems != 1 || strcmp(t->problems[0], problem) != 0) {
        for (size_t i = 0; i < t->nproblems; i++)
            print_error("%s\n", t->problems[i]);
        fail_msg("%zu problems, not %s", t->nproblems, problem);
    }
    assert_non_null(find(t, "good"));
    recipe_table_put(t);
}

static void test_builtin(void **state)
{
    (void)state;
    struct recipe_table *t = NULL;
    assert_int_equal(recipe_table_load(NULL, NULL, &t, NULL), 0);
    assert_int_equal(t->nrecipes, 6);
    assert_int_equal(t->nproblems, 0);
    const struct recipe *tsnr = find(t, "tsnr");
    assert_ptr_equal(tsnr, &t->recipes[0]);
    assert_string_equal(tsnr->text, "mean(bold) / std(bold)");
    assert_int_equal(tsnr->expr->op, EXPR_DIV);
    assert_true(tsnr->list);
    assert_int_equal(tsnr->mtime_ns, 0);
    assert_true(find(t, "mean")->list && find(t, "std")->list);
    assert_null(find(t, "tsn"));
    assert_null(find(t, "tsnrx"));
    assert_non_null(recipe_find(t, "tsnr.nii", 4));
    struct recipe_table *same = recipe_table_get(t);
    recipe_table_put(t);
    assert_string_equal(find(same, "std")->name, "std");
    recipe_table_put(same);
    recipe_table_put(NULL);
}

static void test_file(void **state)
{
    (void)state;
    struct recipe_table *t =
        load("# a comment\n[a-b]\nexpr = late * 2 ; names a later one\n"
             "[late]\r\nexpr = mean(bold) / std(detrend(bold, 2))   ; so\r\n"
             "description = tSNR; cleaned: yes = no\r\nlist = Yes\r\n"
             "[Range]\ndescription : max less\n   min ; really\nexpr =\n\tbold  ; one\n   ; two\n"
             "\t[..., 0:]\n  - min(bold)\nlist = 0");
    if (t->nproblems > 0)
        fail_msg("%s", t->problems[0]);
    assert_int_equal(t->nrecipes, 9);
    assert_string_equal(t->recipes[6].name, "a-b");
    assert_string_equal(t->recipes[7].name, "late");
    assert_string_equal(t->recipes[8].name, "Range");
    assert_false(find(t, "a-b")->list);
    assert_string_equal(find(t, "a-b")->description, "");
    assert_true(find(t, "late")->list);
    assert_string_equal(find(t, "late")->text, "mean(bold) / std(detrend(bold, 2))");
    assert_string_equal(find(t, "late")->description, "tSNR; cleaned: yes = no");
    assert_string_equal(find(t, "Range")->description, "max less min");
    assert_string_equal(find(t, "Range")->text, "bold [..., 0:] - min(bold)");
    assert_int_equal(find(t, "Range")->expr->op, EXPR_SUB);
    char *printed = expr_print(find(t, "a-b")->expr);
    assert_string_equal(printed, "(mean(bold) / std(detrend(bold, 2))) * 2");
    free(printed);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(find(t, "late")->mtime_ns ==
                (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    recipe_table_put(t);
}

/* head and brain may be replaced; the mask of numbers is brain, if that is a mask. */
static void test_brain(void **state)
{
    (void)state;
    static const struct {
        const char *file, *brain;
    } cases[] = {
        {"", "found(file(\"desc-brain_mask.nii.gz\", \"label-brain_mask.nii.gz\", kind=mask), "
             "otsu(mean(bold)))"},
        {"[brain]\nexpr = head\n", "otsu(mean(bold))"},
        {"[brain]\nexpr = head & (x > 0)\n[head]\nexpr = mean(bold) > 9\n",
         "(mean(bold) > 9) & (x > 0)"},
        {"[head]\nfile = desc-head_mask.nii\n",
         "found(file(\"desc-brain_mask.nii.gz\", \"label-brain_mask.nii.gz\", kind=mask), "
         "otsu(mean(bold)))"},
        {"[brain]\nexpr = where(head, tsnr, 0)\n",
         "found(file(\"desc-brain_mask.nii.gz\", \"label-brain_mask.nii.gz\", kind=mask), "
         "otsu(mean(bold)))"},
        {"[brain]\nexpr = heads\n", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recipe_table *t = load(cases[i].file);
        const struct expr *brain = recipe_brain(t);
        if (!cases[i].brain) {
            assert_null(brain);
            assert_int_equal(t->nproblems, 1);
        } else {
            char *text = expr_print(brain);
            assert_string_equal(text, cases[i].brain);
            free(text);
        }
        recipe_table_put(t);
    }
}

static void test_odd_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n",
                                        "; nothing",
                                        "\xEF\xBB\xBF[a]\nexpr = bold\n",
                                        "[a]\nlist=true\nexpr=bold",
                                        "  [a]  junk\n  expr = bold"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct recipe_table *t = load(texts[i]);
        assert_int_equal(t->nproblems, 0);
        assert_int_equal(t->nrecipes, i < 3 ? 6 : 7);
        recipe_table_put(t);
    }
}

static void test_expression_mistakes(void **state)
{
    (void)state;
    check_problem("[x]\nexpr = mean(bold) / tnsr ; hm",
                  "2:21: unknown name 'tnsr' (did you mean 'tsnr'?)\n"
                  "expr = mean(bold) / tnsr ; hm\n"
                  "                    ^");
    check_problem("[x]\n\texpr\t=\tmean(bold", "2:18: unexpected end, ',' or ')' is missing\n"
                                               "\texpr\t=\tmean(bold\n"
                                               "\t    \t \t         ^");
    check_problem("\xEF\xBB\xBF[x]\r\nexpr=std(mean(bold))\r\n",
                  "2:10: std() of an image needs to know where: std(x, brain)\n"
                  "expr=std(mean(bold))\n"
                  "         ^");
    check_problem("[x]\nexpr = 1 + percentile(bold, 101)\n",
                  "2:29: q of percentile() must be written as a number from 0 to 100\n"
                  "expr = 1 + percentile(bold, 101)\n"
                  "                            ^");
    check_problem("[x]\nexpr = 1 + percentile(bold)\n",
                  "2:12: percentile() takes 2 arguments but 1 is given\n"
                  "expr = 1 + percentile(bold)\n"
                  "           ^");
    check_problem("[x]\nexpr = bold +\n"
                  "; in between\n"
                  "  2 * elephant +\n"
                  "  1",
                  "4:7: unknown name 'elephant'\n"
                  "  2 * elephant +\n"
                  "      ^");
    check_problem("[x]\nexpr =\n  bold +\n  1 +", "4:6: unexpected end, a value is missing\n"
                                                  "  1 +\n"
                                                  "     ^");
    check_problem("[x]\nexpr =", "2:7: unexpected end, a value is missing\n"
                                 "expr =\n"
                                 "      ^");
    check_problem("[x]\nexpr = 1 + 1", "2:8: the result must depend on bold or a file\n"
                                       "expr = 1 + 1\n"
                                       "       ^");
    check_problem("[x]\nexpr = bold \xe2\x88\x92 \xe2\x88\x92",
                  "2:13: unexpected character (byte 0xE2)\n"
                  "expr = bold \xe2\x88\x92 \xe2\x88\x92\n"
                  "            ^");
}

static void test_key_mistakes(void **state)
{
    (void)state;
    check_problem("[x]\nexpr = bold\nexp = bold", "3:1: unknown key 'exp'\nexp = bold\n^");
    check_problem("[x]\nexpr = bold\n  expr = bold\nexpr = bold",
                  "4:1: this key is there already: 'expr'\nexpr = bold\n^");
    check_problem("[x]\nexpr = bold\nlist = maybe\n",
                  "3:8: list is yes or no, not 'maybe'\nlist = maybe\n       ^");
    check_problem("[x]\nexpr = bold\nnonsense", "3:1: this is neither [name] nor key = value\n"
                                                "nonsense\n^");
    check_problem("expr = bold", "1:1: this is before the first [name]\nexpr = bold\n^");
    check_problem("  nonsense", "1:3: this is neither [name] nor key = value\n  nonsense\n  ^");
    check_problem("[x]\nexpr = bold\nscope = run\n",
                  "3:1: only a section named like a file, as [x.txt], has the key 'scope'\n"
                  "scope = run\n^");
    check_problem(
        "[x]\nexpr = bold\nparam drop = four\n",
        "3:14: a parameter is a number, unlike 'four'\nparam drop = four\n             ^");
    check_problem(
        "[x]\nexpr = bold\nparam bold = 4\n",
        "3:1: a parameter's name has letters, digits and \"_\", starts with no digit and is "
        "not bold, unlike 'bold'\nparam bold = 4\n^");
    check_problem(
        "[x]\nexpr = bold\nparam a = 1\n  param a = 2\n",
        "3:11: a parameter is a number, unlike '1 param a = 2'\nparam a = 1\n          ^");
    check_problem("[x]\nexpr = bold\nparam a = 1\nlist = no\nparam a = 2\n",
                  "5:1: this key is there already: 'param a'\nparam a = 2\n^");
}

static void test_command_mistakes(void **state)
{
    (void)state;
    check_problem("[a.txt]\nscope = run", "1:2: 'a.txt' has no command = ...\n[a.txt]\n ^");
    check_problem("[a.txt]\ncommand = ls\nexpr = bold",
                  "3:1: a section named like a file has no 'expr'\nexpr = bold\n^");
    check_problem("[a.txt]\ncommand = ls\nparam n = 1",
                  "3:1: a section named like a file has no 'param n'\nparam n = 1\n^");
    check_problem("[a.txt]\ncommand = ls\nscope = all",
                  "3:9: scope is group or run, not 'all'\nscope = all\n        ^");
    check_problem("[a.txt]\ncommand = ls\nshell = sure",
                  "3:9: shell is yes or no, not 'sure'\nshell = sure\n        ^");
    check_problem("[a.txt]\ncommand = ls\ntimeout = 0",
                  "3:11: timeout is a number of seconds, not '0'\ntimeout = 0\n          ^");
    check_problem("[a.txt]\ncommand = ls\nmemory = lots",
                  "3:10: memory is a size like 4G, not 'lots'\nmemory = lots\n         ^");
    check_problem("[a.txt]\ncommand = ls\n  | wc",
                  "3:3: '|' needs shell = yes, or single quotes to be taken literally\n  | wc\n"
                  "  ^");
    check_problem("[tsnr.nii]\ncommand = ls",
                  "1:2: 'tsnr.nii' is the name of another recipe's file\n[tsnr.nii]\n ^");
    check_problem("[good.nii.gz]\ncommand = ls",
                  "1:2: 'good.nii.gz' is the name of another recipe's file\n[good.nii.gz]\n ^");
    check_problem("[a.txt]\ncommand = cat {a.txt}",
                  "2:15: making this file would wait for itself, through 'a.txt'\n"
                  "command = cat {a.txt}\n              ^");
}

static void test_commands_refer_to_each_other(void **state)
{
    struct recipe_table *table;
    const struct recipe *r;

    (void)state;
    table = load("[a.txt]\ncommand = cat {b.txt}\n[b.txt]\ncommand = cat {c.txt}\n"
                 "[c.txt]\ncommand = cat {a.txt}\n[each.txt]\ncommand = cat {ok.txt}\n"
                 "scope = run\n[ok.txt]\ncommand = wc '{x}' {runs} {tsnr.nii}\n    {2nd.tsv}\n"
                 "timeout = 5\nmemory = 2g\nlist = yes\n[2nd.tsv]\ncommand = ls -l\n");
    assert_int_equal(table->nproblems, 4);
    assert_non_null(strstr(table->problems[0], ".ini:2:15: making this file would wait"));
    assert_non_null(strstr(table->problems[2], ".ini:8:15: this one is made for each run"));
    assert_null(recipe_find(table, "a.txt", 5));
    assert_null(recipe_find(table, "b.txt", 5));
    assert_null(recipe_find(table, "c.txt", 5));
    assert_null(recipe_find(table, "each.txt", 8));
    r = recipe_find(table, "ok.txt", 6);
    assert_non_null(r);
    assert_null(r->expr);
    assert_true(r->list);
    assert_string_equal(r->text, "wc '{x}' {runs} {tsnr.nii} {2nd.tsv}");
    assert_int_equal(r->command->timeout_s, 5);
    assert_int_equal(r->command->memory_nbytes, INT64_C(2) << 30);
    assert_int_equal(r->command->nfiles, 2);
    assert_non_null(strstr(r->command->files[1].place, ".ini:12:5"));
    assert_non_null(recipe_find(table, "2nd.tsv", 7));
    recipe_table_put(table);
}

static void test_heading_mistakes(void **state)
{
    (void)state;
    check_problem("[x]\ndescription = no formula", "1:2: 'x' has no expr = ...\n[x]\n ^");
    check_problem("[x]", "1:2: 'x' has no expr = ...\n[x]\n ^");
    check_problem("[good]\nexpr = bold\n",
                  "4:2: there is already a section called 'good'\n[good]\n ^");
    check_problem("[tsnr]\nexpr = bold",
                  "1:2: there is a built-in recipe called 'tsnr'\n[tsnr]\n ^");
    check_problem("[bold]\nexpr = bold",
                  "1:2: a recipe cannot have the name of the data, 'bold'\n[bold]\n ^");
    check_problem("[x\nexpr = bold", "1:1: this heading has no ']'\n[x\n^");

    static const char *const names[] = {"", "1x", "a b", "-x", "_x", "x/y", "\xc3\xa9", "a@b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[64];
        char expected[256];
        snprintf(text, sizeof(text), "[%s]\nexpr = bold", names[i]);
        snprintf(expected, sizeof(expected),
                 "1:2: a recipe's name has letters, digits, \"_\" and \"-\", starts with a letter "
                 "and is at most 64 long, unlike '%s'\n[%s]\n ^",
                 names[i], names[i]);
        check_problem(text, expected);
    }
}

/* inih itself would cut names at 49 bytes and lines at 199. */
static void test_long(void **state)
{
    (void)state;
    char name[66];
    memset(name, 'n', 65);
    name[64] = '\0';
    char text[2048];
    snprintf(text, sizeof(text), "[%s]\nexpr = bold\n[%sx]\nexpr = bold", name, name);
    struct recipe_table *t = load(text);
    assert_int_equal(t->nproblems, 1);
    assert_non_null(find(t, name));
    recipe_table_put(t);

    char ones[400] = "";
    for (size_t i = 0; i < 47; i++)
        strcat(ones, " + 1");
    snprintf(text, sizeof(text), "; %0300d\n[x]\nexpr = bold%s", 1, ones);
    assert_int_equal(strlen(strstr(text, "expr")), 199);
    t = load(text);
    assert_int_equal(t->nproblems, 1);
    assert_non_null(strstr(t->problems[0], ":3:1: this line is too long: go on in the next one"));
    assert_null(find(t, "x"));
    recipe_table_put(t);

    snprintf(text, sizeof(text), "; %0300d\n[x]\nexpr=bold%s\n   +1", 1, ones);
    t = load(text);
    assert_int_equal(t->nproblems, 0);
    assert_int_equal(strlen(find(t, "x")->text), 4 + strlen(ones) + 3);
    recipe_table_put(t);
}

static void check_dependents(const char *text, const char *const *problems, size_t n)
{
    struct recipe_table *t = load(text);
    for (size_t i = 0; i < n && i < t->nproblems; i++)
        if (!strstr(t->problems[i], problems[i]))
            fail_msg("%s\nnot %s", t->problems[i], problems[i]);
    assert_int_equal(t->nproblems, n);
    assert_int_equal(t->nrecipes, 7);
    assert_non_null(find(t, "good"));
    recipe_table_put(t);
}

static void test_dependents(void **state)
{
    (void)state;
    static const char *const cycle[] = {
        ":2:15: recipes form a cycle: b -> c -> a -> b\nexpr = bold + b\n",
        ":4:8: recipes form a cycle: c -> a -> b -> c\n",
        ":6:12: recipes form a cycle: a -> b -> c -> a\n",
        ":8:8: recipes form a cycle: self -> self\n",
        ":10:8: recipes form a cycle: self -> self\n",
    };
    check_dependents("[a]\nexpr = bold + b\n[b]\nexpr = c\n[c]\nexpr = 1 + a\n"
                     "[self]\nexpr = self\n[user]\nexpr = self\n[good]\nexpr = tsnr",
                     cycle, 5);
    static const char *const broken[] = {
        ":2:8: recipe 'b' is wrong: unknown name 'elephant'\nexpr = b\n       ^",
        ":4:8: unknown name 'elephant'\n",
    };
    check_dependents("[a]\nexpr = b\n[b]\nexpr = elephant\n[good]\nexpr = mean", broken, 2);
    static const char *const listed[] = {
        ":5:1: unknown key 'lits'\n",
        ":2:12: it needs recipe 'b', which is wrong\nexpr = 1 + b\n           ^",
        ":7:8: it needs recipe 'b', which is wrong\nexpr = a\n",
    };
    check_dependents("[a]\nexpr = 1 + b\n[b]\nexpr = bold\nlits = no\n[c]\nexpr = a\n"
                     "[good]\nexpr = std",
                     listed, 3);
    static const char *const duplicate[] = {":3:2: there is already a section called 'good'"};
    check_dependents("[good]\nexpr = bold\n[good]\nexpr = elephant\n", duplicate, 1);
}

/* Nothing but mistakes: the report ends somewhere. */
static void test_many_mistakes(void **state)
{
    (void)state;
    size_t nbytes = 200000;
    char *text = malloc(nbytes + 1);
    memset(text, '\n', nbytes);
    for (size_t i = 0; i < nbytes; i += 2)
        text[i] = 'x';
    text[nbytes] = '\0';
    struct recipe_table *t = load(text);
    assert_int_equal(t->nproblems, 101);
    assert_non_null(strstr(t->problems[100], "there are more mistakes"));
    assert_int_equal(t->nrecipes, 6);
    recipe_table_put(t);
    free(text);
}

static void test_refused(void **state)
{
    (void)state;
    struct recipe_table *t = NULL;
    struct error err;
    unlink(path);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(recipe_table_load(dir, NULL, &t, &err), -EISDIR);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EINVAL);

    write_bytes("[a]\nexpr = bold\n\0", 17);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EINVAL);
    write_bytes("[a]\nexpr = bold\n", 16);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EPERM);
    assert_non_null(strstr(err.text, "everybody may write"));
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), 0);
    recipe_table_put(t);
    write_bytes("[a]\nexpr = bold\n[a.txt]\ncommand = ls\n", 37);
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EPERM);
    assert_non_null(strstr(err.text, "its group may write the file, which has commands ([a.txt])"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), 0);
    recipe_table_put(t);
    assert_int_equal(truncate(path, (256 << 10) + 1), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EFBIG);
}

static void test_owner(void **state)
{
    (void)state;
    struct recipe_table *t = NULL;
    struct error err;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    write_bytes("[a]\nexpr = bold\n", 16);
    assert_int_equal(chown(path, 12345, -1), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), -EPERM);
    assert_non_null(strstr(err.text, "belongs to another user"));
    assert_int_equal(chown(path, 0, -1), 0);
    assert_int_equal(recipe_table_load(path, NULL, &t, &err), 0);
    recipe_table_put(t);
}

/* Whatever a file holds, loading comes to an end with the built-in recipes and a good one intact.
 */
static void test_random_files(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "[a]",      "[b]",       "[c",   "  [d]", "expr = bold", "expr = a + b",  "expr=",
        "  + 1",    "list = no", "list", "= 5",   "; note",      "  # note",      "",
        "x.y = 1",  "[e.txt]",   "[]",   "]",     "[ab ; c]",    "expr ; = bold", "\t",
        "\xff\xfe", "expr : c",  " = ",  "[[a]]", "[a] [b]",     "command = ls",  ":",
    };
    uint32_t seed = 3;
    for (unsigned i = 0; i < 400; i++) {
        char text[2048] = "";
        for (unsigned n = 0; n < i % 20; n++) {
            seed = seed * 1664525u + 1013904223u;
            strcat(text, lines[(seed >> 8) % (sizeof(lines) / sizeof(lines[0]))]);
            strcat(text, (seed >> 20) % 5 ? "\n" : "\r\n");
        }
        strcat(text, "[good]\nexpr = tsnr");
        struct recipe_table *t = load(text);
        assert_non_null(find(t, "good"));
        assert_non_null(find(t, "tsnr"));
        for (size_t p = 0; p < t->nproblems; p++)
            assert_memory_equal(t->problems[p], path, strlen(path));
        recipe_table_put(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_brain),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_expression_mistakes),
        cmocka_unit_test(test_command_mistakes),
        cmocka_unit_test(test_commands_refer_to_each_other),
        cmocka_unit_test(test_key_mistakes),
        cmocka_unit_test(test_heading_mistakes),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_dependents),
        cmocka_unit_test(test_many_mistakes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_random_files),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
