/* SPDX-License-Identifier: MIT
 *
 * Expressions: the grammar, what is refused and where, and that printing and parsing are inverse.
 */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expr.h"
#include "named_recipes.h"

static struct expr *parse(const char *text)
{
    struct expr *e = NULL;
    struct expr_error err;
    int ret = expr_parse(text, look_up, (void *)recipes, &e, &err);
    if (ret != 0)
        fail_msg("%s:%zu: %s", text, err.column, err.error.text);
    return e;
}

static void check_print(const char *text, const char *expected)
{
    struct expr *e = parse(text);
    char *printed = expr_print(e);
    assert_string_equal(printed, expected);
    struct expr *again = parse(printed);
    assert_true(expr_equal(e, again));
    free(printed);
    expr_free(e);
    expr_free(again);
}

static void check_error(const char *text, size_t column, const char *reason)
{
    struct expr *e = NULL;
    struct expr_error err = {0};
    int ret = expr_parse(text, look_up, (void *)recipes, &e, &err);
    if (ret == 0)
        fail_msg("accepted: %s", text);
    assert_int_equal(ret, -err.error.code);
    if (!strstr(err.error.text, reason) || err.column != column)
        fail_msg("%s\n  column %zu: %s\n  not %zu: %s", text, err.column, err.error.text, column,
                 reason);
    assert_int_equal(expr_parse(text, look_up, (void *)recipes, &e, NULL), ret);
}

static void test_precedence(void **state)
{
    (void)state;
    check_print("-bold**2", "-(bold ** 2)");
    check_print("bold**-1", "bold ** (-1)");
    check_print("2**3**bold", "2 ** (3 ** bold)");
    check_print("-2**-bold**2", "-(2 ** (-(bold ** 2)))");
    check_print("bold-1-2", "(bold - 1) - 2");
    check_print("bold/2*3", "(bold / 2) * 3");
    check_print("1+bold*2", "1 + (bold * 2)");
    check_print("(1+bold)*2", "(1 + bold) * 2");
    check_print("-bold*2", "(-bold) * 2");
    check_print("bold- -1", "bold - (-1)");
    check_print("bold+1 < bold*2", "(bold + 1) < (bold * 2)");
    check_print("(bold<1) | (bold>2) & ~(bold==3) == (bold>4)",
                "((bold < 1) | ((bold > 2) & (~(bold == 3)))) == (bold > 4)");
    check_print("where(~ ~(bold<1),1,2)", "where(~(~(bold < 1)), 1, 2)");
    check_print("(bold<1)==(bold>2)", "(bold < 1) == (bold > 2)");
    check_print("-bold[...,0]**2", "-(bold[..., 0] ** 2)");
}

static void test_print(void **state)
{
    (void)state;
    check_print(" mean ( bold )\n/\tstd(bold,ddof=0) ", "mean(bold) / std(bold)");
    check_print("std(bold, ddof = 1)", "std(bold, ddof=1)");
    check_print("var(bold,ddof=2)", "var(bold, ddof=2)");
    check_print("bold[..., 4:]", "bold[..., 4:]");
    check_print("bold[...,:-4]", "bold[..., :-4]");
    check_print("bold[...,-8 : -4]", "bold[..., -8:-4]");
    check_print("bold[...,:]", "bold[..., :]");
    check_print("(bold+1)[...,-1]", "(bold + 1)[..., -1]");
    check_print("bold[...,2:][...,0]", "bold[..., 2:][..., 0]");
    check_print("drop(bold,4)", "drop(bold, 4)");
    check_print("detrend(drop(bold,4),2,)", "detrend(drop(bold, 4), 2)");
    check_print("concat(bold)", "concat(bold)");
    check_print("concat(bold,demean(bold),zscore(bold))",
                "concat(bold, demean(bold), zscore(bold))");
    check_print("where(isfinite(tsnr),nan_to_num(tsnr),0)",
                "where(isfinite(mean(bold) / std(bold)), nan_to_num(mean(bold) / std(bold)), 0)");
    check_print("sqrt(exp(log(abs(bold))))", "sqrt(exp(log(abs(bold))))");
    check_print("sum(bold)+min(bold)+max(bold)+median(bold)",
                "((sum(bold) + min(bold)) + max(bold)) + median(bold)");
    check_print("percentile(bold,25)", "percentile(bold, 25)");
    check_print("percentile(bold,97.50,)", "percentile(bold, 97.5)");
    check_print("percentile(drop(bold,1),1e2)", "percentile(drop(bold, 1), 100)");
    check_print("percentile(bold,.1)-percentile(bold,0)",
                "percentile(bold, 0.1) - percentile(bold, 0)");
}

static void test_numbers(void **state)
{
    (void)state;
    check_print("bold*1.50", "bold * 1.5");
    check_print("bold*.1", "bold * 0.1");
    check_print("bold*5.", "bold * 5");
    check_print("bold*1e3", "bold * 1000");
    check_print("bold*1E-3", "bold * 0.001");
    check_print("bold*1e300", "bold * 1e+300");
    check_print("bold*0.1000000000000000055", "bold * 0.1");
    check_print("bold*0.30000000000000004", "bold * 0.30000000000000004");
    check_print("bold*4.9e-324", "bold * 5e-324");
    check_print("bold*1e-999", "bold * 0");
    check_error("bold * 1e999", 8, "too large");
    check_error("bold * 0x10", 8, "'0x10' is not a number");
    check_error("bold * 1.2.3", 8, "'1.2.3' is not a number");
    check_error("2bold", 1, "'2bold' is not a number");
}

static void test_locale(void **state)
{
    (void)state;
    locale_t comma = newlocale(LC_ALL_MASK, "de_DE.UTF-8", NULL);
    if (!comma)
        skip();
    locale_t before = uselocale(comma);
    check_print("bold*1.5", "bold * 1.5");
    assert_ptr_equal(uselocale(before), comma);
    freelocale(comma);
}

static void test_recipes(void **state)
{
    (void)state;
    check_print("snr2", "(mean(bold) / std(bold)) ** 2");
    check_print("std(clean)", "std(detrend(bold, 2))");
    check_print("bold / mean + mean(bold)", "(bold / mean(bold)) + mean(bold)");
    check_error("1 + worse", 5, "recipe 'worse' is wrong: recipe 'bad' is wrong: unexpected end");
    check_error("bold + loop", 8, "recipes form a cycle: loop -> loop_b -> loop_c -> loop");
    check_error("bold + loop_b + 1", 8, "loop_b -> loop_c -> loop -> loop_b");
    check_error("self", 1, "self -> self");
    check_error("bold * seven", 8,
                "recipe 'seven' is wrong: the result must depend on bold or a file");
    check_error("demean(snr2)", 8,
                "demean() needs a series (4-D) but (mean(bold) / std(bold)) ** 2 is");

    struct expr *e = NULL;
    assert_int_equal(expr_parse("tsnr", NULL, NULL, &e, NULL), -ENOENT);
    struct expr_error err;
    assert_int_equal(expr_parse("loop", look_up, (void *)recipes, &e, &err), -ELOOP);
    assert_int_equal(expr_parse("bold +", look_up, (void *)recipes, &e, &err), -EINVAL);
}

static void test_rank_and_mask(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum expr_rank rank;
        bool mask;
    } cases[] = {
        {"bold", EXPR_SERIES, false},
        {"mean(bold)", EXPR_IMAGE, false},
        {"bold[..., 0]", EXPR_IMAGE, false},
        {"bold[..., 0:1]", EXPR_SERIES, false},
        {"bold - mean(bold)", EXPR_SERIES, false},
        {"1 + mean(bold)", EXPR_IMAGE, false},
        {"where(mean(bold) > 1, bold, 0)", EXPR_SERIES, false},
        {"bold > 1", EXPR_SERIES, true},
        {"(bold > 1)[..., 0]", EXPR_IMAGE, true},
        {"max(bold > 1)", EXPR_IMAGE, true},
        {"percentile(bold, 25)", EXPR_IMAGE, false},
        {"percentile(bold > 1, 25)", EXPR_IMAGE, false},
        {"mean(bold > 1)", EXPR_IMAGE, false},
        {"abs(bold > 1)", EXPR_SERIES, true},
        {"sqrt(bold > 1)", EXPR_SERIES, false},
        {"(bold > 1) * 2", EXPR_SERIES, false},
        {"where(bold > 1, bold > 2, bold > 3)", EXPR_SERIES, true},
        {"where(bold, bold > 2, bold > 3)", EXPR_SERIES, true},
        {"where(bold > 1, bold > 2, 1)", EXPR_SERIES, false},
        {"concat(bold > 1, bold > 2)", EXPR_SERIES, true},
        {"concat(bold > 1, bold)", EXPR_SERIES, false},
        {"isfinite(tsnr)", EXPR_IMAGE, true},
        {"demean(bold > 1)", EXPR_SERIES, false},
        {"~(bold > 1)", EXPR_SERIES, true},
        {"file(\"mask.nii\") | (bold > 1)", EXPR_SERIES, true},
        {"file(\"mask.nii\", kind=image)", EXPR_IMAGE, false},
        {"x * y + k", EXPR_IMAGE, false},
        {"mean(tsnr, tsnr > 1)", EXPR_SCALAR, false},
        {"otsu(tsnr)", EXPR_IMAGE, true},
        {"found(file(\"mask.nii\"), otsu(tsnr))", EXPR_IMAGE, true},
        {"found(file(\"mask.nii\"), tsnr)", EXPR_IMAGE, false},
        {"1 + std(x, file(\"mask.nii\"), ddof=1) ** 2", EXPR_SCALAR, false},
        {"bold - median(mean(bold), tsnr > 1)", EXPR_SERIES, false},
        {"mean(tsnr, tsnr > 1) > 2", EXPR_SCALAR, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct expr *e = parse(cases[i].text);
        if (e->rank != cases[i].rank || e->mask != cases[i].mask)
            fail_msg("%s: rank %d, mask %d", cases[i].text, (int)e->rank, e->mask);
        expr_free(e);
    }
    check_error("(bold > 1) + (bold > 2)", 12, "'+' is not defined for two masks");
    check_error("(bold > 1) * (bold > 2)", 12, "two masks");
    check_error("(bold > 1) ** (bold > 2)", 12, "two masks");
    check_error("(bold > 1) & bold", 12, "'&' is defined for masks alone");
    check_error("bold > 1 & bold > 2", 10, "put comparisons in parentheses");
    check_error("~mean(bold)", 1, "'~' is defined for masks alone");
    check_error("-file(\"mask.nii\")", 1, "'-' is not defined for a mask");
    check_error("1 - -(bold > 1)", 5, "'-' is not defined for a mask");
}

static void test_arguments(void **state)
{
    (void)state;
    check_error("mean(bold, 1)", 6,
                "mean() needs an image (3-D) beside a mask but bold is a series");
    check_error("mean(tsnr, 1)", 12, "mean() of an image needs a mask (3-D) but 1 is a number");
    check_error("mean(tsnr, tsnr)", 12,
                "needs a mask (3-D) but mean(bold) / std(bold) is an image");
    check_error("mean(tsnr, bold > 1)", 12, "needs a mask (3-D) but bold > 1 is a series of masks");
    check_error("mean(1, tsnr > 1)", 6,
                "mean() needs an image (3-D) beside a mask but 1 is a number");
    check_error("mean(tsnr, tsnr > 1, 1)", 1, "mean() takes 1 or 2 arguments but 3 are given");
    check_error("1 + mean()", 5, "mean() takes 1 or 2 arguments but 0 are given");
    check_error("otsu(bold)", 6, "otsu() needs an image (3-D) but bold is a series");
    check_error("otsu(2)", 6, "otsu() needs an image (3-D) but 2 is a number");
    check_error("found(tsnr, tsnr)", 7, "found() takes a file first: found(file(...), x)");
    check_error("found(file(\"a.nii\"), bold)", 22, "found() needs an image (3-D) but bold is");
    check_error("median(tsnr)", 8, "median() of an image needs to know where: median(x, brain)");
    check_error("where(bold)", 1, "where() takes 3 arguments but 1 is given");
    check_error("drop(bold)", 1, "drop() takes 2 arguments but 1 is given");
    check_error("drop(bold, 1, 2)", 1, "drop() takes 2 arguments but 3 are given");
    check_error("concat()", 1, "concat() takes at least 1 argument but 0 are given");
    check_error("std(bold, 1)", 11, "std() takes a number by its name (write ddof=...)");
    check_error("std(mean(bold))", 5, "std() of an image needs to know where: std(x, brain)");
    check_error("mean(3)", 6, "mean() needs a series (4-D) but 3 is a number");
    check_error("concat(bold, 1)", 14, "concat() needs a series (4-D) but 1 is a number");
    check_error("mean(bold)[..., 0]", 1, "needs a series (4-D) but mean(bold) is an image");
    check_error("std(bold, ddof=-1)", 16, "ddof of std() must be written as a whole number");
    check_error("std(bold, ddof=1.5)", 16, "ddof of std() must be written as a whole number");
    check_error("std(bold, axis=1)", 11, "std() has no argument called 'axis'");
    check_error("mean(bold, ddof=1)", 12, "mean() has no argument called 'ddof'");
    check_error("std(bold, ddof=1, ddof=1)", 17, "an argument given by name is the last");
    check_error("drop(bold, -1)", 12, "n of drop() must be written as a whole number from 0");
    check_error("drop(bold, 1.0)", 12, "n of drop()");
    check_error("drop(bold, 99999999999)", 12, "n of drop()");
    check_error("detrend(bold, 11)", 15,
                "order of detrend() must be written as a whole number "
                "from 0 to 10");
    check_error("detrend(bold, bold)", 15, "order of detrend()");
    check_error("percentile(bold, -1)", 18,
                "q of percentile() must be written as a number from 0 to 100");
    check_error("percentile(bold, 101)", 18, "q of percentile() must be written as a number");
    check_error("percentile(bold, 100.01)", 18, "q of percentile() must be written as a number");
    check_error("percentile(bold, nan)", 18, "q of percentile() must be written as a number");
    check_error("percentile(bold, mean(bold))", 18, "q of percentile() must be written as");
    check_error("percentile(bold, 50 + 1)", 21, "unexpected '+' where ',' or ')' should be");
    check_error("1 + percentile(bold)", 5, "percentile() takes 2 arguments but 1 is given");
    check_error("percentile(bold, 1, 2)", 1, "percentile() takes 2 arguments but 3 are given");
    check_error("percentile(bold, q=1)", 18, "percentile() has no argument called 'q'");
    check_error("percentile(mean(bold), 1)", 12, "percentile() needs a series (4-D)");
}

static void test_files(void **state)
{
    (void)state;
    check_print(" file ( \"desc-brain_mask.nii.gz\" ) ",
                "file(\"desc-brain_mask.nii.gz\", kind=mask)");
    check_print("file(\"dseg.nii\", \"anat/label-a+b_dseg.nii.zst\")",
                "file(\"dseg.nii\", \"anat/label-a+b_dseg.nii.zst\", kind=labels)");
    check_print("file(\"T1w.nii\",join=any,kind=mask)", "file(\"T1w.nii\", kind=mask, join=any)");
    check_print("file(\"T1w.nii\", join=all)", "file(\"T1w.nii\", kind=image)");
    check_error("file()", 6, "unexpected ')' where the name of a file");
    check_error("file(mask.nii)", 6, "unexpected 'mask' where the name of a file");
    check_error("file(\"mask.nii\"", 16, "unexpected end");
    check_error("file(\"mask.nii)", 6, "this text has no end");
    check_error("file(\"mask\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"_mask.nii\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"a-_mask.nii\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"a-1_a-2_mask.nii\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"/mask.nii\")", 6, "an input is [DATATYPE/]");
    check_error("file(\"../mask.nii\")", 6, "the directory of an input is a datatype");
    check_error("file(\"mask.txt\")", 6, "an input ends with .nii");
    check_error("file(\"mask.nii\", kind=bold)", 23,
                "unexpected 'bold' where image, mask or labels");
    check_error("file(\"mask.nii\", join=1)", 23, "unexpected '1' where all or any");
    check_error("file(\"mask.nii\", ddof=1)", 18, "file() has no argument called 'ddof'");
    check_error("file(\"dseg.nii\", join=any)", 26, "only masks are joined");
    check_error("file + bold", 1, "'file' is a function: write file(...)");
    check_error("bold \"x\"", 6, "unexpected 'x' where an operator");
}

/* A recipe or a parameter has the name first. */
static void test_coordinates(void **state)
{
    (void)state;
    static const char *const named[] = {"y=std(bold)", NULL};
    static const struct expr_param x = {"x", 3};
    struct expr_names names = {.lookup = look_up, .ctx = (void *)named, .params = {&x, 1}};
    struct expr *e;
    assert_int_equal(expr_parse_with("x * y + z - i", &names, &e, NULL), 0);
    char *text = expr_print(e);
    assert_string_equal(text, "((3 * std(bold)) + z) - i");
    assert_true(expr_has_coordinate(e));
    assert_false(expr_has_coordinate(e->args[0]->args[0]));
    free(text);
    expr_free(e);
}

static void test_syntax(void **state)
{
    (void)state;
    check_error("", 1, "unexpected end");
    check_error("  ", 3, "unexpected end");
    check_error("mean(bold", 10, "unexpected end, ',' or ')' is missing");
    check_error("(bold", 6, "unexpected end, ')' is missing");
    check_error("bold +", 7, "unexpected end");
    check_error("bold + * 2", 8, "unexpected '*' where a value should be");
    check_error("bold bold", 6, "unexpected 'bold' where an operator or the end should be");
    check_error("bold)", 5, "unexpected ')'");
    check_error("+bold", 1, "unexpected '+'");
    check_error("bold // 2", 7, "unexpected '/'");
    check_error("bold ^ 2", 6, "a power is written **");
    check_error("bold & 1", 6, "'&' is defined for masks alone (true and false)");
    check_error("bold \xe2\x88\x92 1", 6, "unexpected character (byte 0xE2)");
    check_error("bold = 1", 6, "unexpected '='");
    check_error("bold ! 1", 6, "unexpected '!'");
    check_error("1 < bold < 2", 10, "comparisons cannot be chained");
    check_error("bold == 1 != 2", 11, "comparisons cannot be chained");
    check_error("bold[4:]", 6, "only the last axis has subscripts");
    check_error("bold[...]", 9, "unexpected ']' where ',' should be");
    check_error("bold[..., ]", 11, "a whole number or ':'");
    check_error("bold[..., 1.5]", 11, "a whole number");
    check_error("bold[..., -:]", 12, "a whole number");
    check_error("bold[..., bold]", 11, "a whole number or ':'");
    check_error("bold[..., ::2]", 12, "a slice takes no step");
    check_error("bold[..., 99999999999999999999]", 11, "a whole number");
    check_error("mean(,bold)", 6, "unexpected ','");
    check_error("1 + 1", 1, "the result must depend on bold or a file");
    check_error(" 42", 2, "the result must depend on bold or a file");
}

static void test_names(void **state)
{
    (void)state;
    check_error("1 / tnsr", 5, "unknown name 'tnsr' (did you mean 'tsnr'?)");
    check_error("blod", 1, "(did you mean 'bold'?)");
    check_error("bol", 1, "(did you mean 'bold'?)");
    check_error("boldd", 1, "(did you mean 'bold'?)");
    check_error("percentil(bold, 5)", 1, "(did you mean 'percentile'?)");
    check_error("meam(bold)", 1, "unknown function 'meam' (did you mean 'mean'?)");
    check_error("wher(bold)", 1, "(did you mean 'where'?)");
    check_error("cleam", 1, "(did you mean 'clean'?)");
    check_error("elephant", 1, "unknown name 'elephant'");
    check_error("std + bold", 1, "'std' is a function: write std(...)");
    check_error("tsnr(bold)", 1, "'tsnr' is not a function: write it without ()");
    check_error("bold(1)", 1, "'bold' is not a function");
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    check_error(longest, 1, "unknown name 'xxx");
}

static char *repeated(const char *before, size_t n, const char *middle, const char *after)
{
    char *text = malloc(n * (strlen(before) + strlen(after)) + strlen(middle) + 1);
    char *end = text;
    for (size_t i = 0; i < n; i++)
        end = stpcpy(end, before);
    end = stpcpy(end, middle);
    for (size_t i = 0; i < n; i++)
        end = stpcpy(end, after);
    return text;
}

static int parse_repeated(const char *before, size_t n, const char *middle, const char *after,
                          struct expr **out)
{
    char *text = repeated(before, n, middle, after);
    int ret = expr_parse(text, NULL, NULL, out, NULL);
    free(text);
    return ret;
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *before, *middle, *after;
    } shapes[] = {
        {"", "bold", " + 1"},    {"-", "bold", ""},
        {"1 ** ", "bold", ""},   {"abs(", "bold", ")"},
        {"-(", "bold", ")"},     {"", "bold", "[..., 1:]"},
        {"2 ** (", "bold", ")"}, {"where(1, -(", "bold", "), 0)"},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct expr *e = NULL;
        size_t n = strstr(shapes[i].before, "where") ? 31 : 63;
        assert_int_equal(parse_repeated(shapes[i].before, n, shapes[i].middle, shapes[i].after, &e),
                         0);
        char *printed = expr_print(e);
        struct expr *again = parse(printed);
        assert_true(expr_equal(e, again));
        expr_free(again);
        expr_free(e);
        free(printed);
        for (n = n + 1; n < 20000; n *= 4)
            assert_int_equal(
                parse_repeated(shapes[i].before, n, shapes[i].middle, shapes[i].after, &e),
                -EINVAL);
    }
    struct expr *e = NULL;
    assert_int_equal(parse_repeated("(", 200, "bold", ")", &e), 0);
    assert_int_equal(e->op, EXPR_BOLD);
    expr_free(e);
    assert_int_equal(parse_repeated("(", 100000, "bold", ")", &e), -EINVAL);
    assert_int_equal(parse_repeated("(", 100000, "", "", &e), -EINVAL);
    assert_int_equal(parse_repeated("", 4094, "concat(bold", ",bold", &e), -EINVAL);
}

/* 4096 nodes: concat of 4095 series. Beyond: refused, also when recipes double at each step. */
static void test_size(void **state)
{
    (void)state;
    struct expr *e = NULL;
    for (size_t n = 4094; n <= 4095; n++) {
        char *list = repeated("", n, "bold", ",bold");
        char *text = malloc(strlen(list) + sizeof("concat()"));
        sprintf(text, "concat(%s)", list);
        assert_int_equal(expr_parse(text, NULL, NULL, &e, NULL), n == 4094 ? 0 : -EINVAL);
        free(text);
        free(list);
    }
    assert_int_equal(e->nargs, 4095);
    expr_free(e);

    static const char *const doubling[] = {
        "a=bold+bold", "b=a+a", "c=b+b", "d=c+c", "e=d+d", "f=e+e", "g=f+f",
        "h=g+g",       "i=h+h", "j=i+i", "k=j+j", "l=k+k", "m=l+l", NULL,
    };
    struct expr_error err;
    assert_int_equal(expr_parse("k", look_up, (void *)doubling, &e, &err), 0);
    expr_free(e);
    assert_int_equal(expr_parse("m", look_up, (void *)doubling, &e, &err), -EINVAL);
    assert_non_null(strstr(err.error.text, "too large (over 4096 parts"));
}

static void test_equal(void **state)
{
    (void)state;
    static const char *const different[] = {
        "bold",
        "bold + 1",
        "1 + bold",
        "bold + 2",
        "std(bold)",
        "std(bold, ddof=1)",
        "bold[..., 1]",
        "bold[..., 1:]",
        "bold[..., :1]",
        "bold[..., 0:1]",
        "bold[..., :]",
        "drop(bold, 1)",
        "drop(bold, 2)",
        "concat(bold)",
        "concat(bold, bold)",
        "bold < 1",
        "bold <= 1",
        "file(\"mask.nii\")",
        "file(\"mask.nii\", kind=image)",
        "file(\"mask.nii\", join=any)",
        "file(\"mask.nii\", \"mask.nii\")",
        "file(\"mask.nii.gz\")",
        "x",
        "y",
        "median(bold)",
        "percentile(bold, 50)",
        "percentile(bold, 50.5)",
    };
    size_t n = sizeof(different) / sizeof(different[0]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            struct expr *a = parse(different[i]);
            struct expr *b = parse(different[j]);
            assert_int_equal(expr_equal(a, b), i == j);
            expr_free(a);
            expr_free(b);
        }
    assert_true(expr_is_reduction(EXPR_MEAN));
    assert_true(expr_is_reduction(EXPR_INDEX));
    assert_false(expr_is_reduction(EXPR_WHERE));
    assert_false(expr_is_reduction(EXPR_SLICE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence), cmocka_unit_test(test_print),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_locale),
        cmocka_unit_test(test_recipes),    cmocka_unit_test(test_rank_and_mask),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_coordinates),
        cmocka_unit_test(test_arguments),  cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_size),       cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
