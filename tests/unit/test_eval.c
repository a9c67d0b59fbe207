/* SPDX-License-Identifier: MIT
 *
 * Evaluation of one tile against what numpy 1.24 gives for the same expressions over infinities,
 * NaN, both zeros and large numbers; and that tiles, leaves and depth do not matter to a value.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval.h"

enum { N = 10 };

static const double bold[N] = {-INFINITY, -8, -1, -0.0, 0, 0.5, 3, 1e308, INFINITY, NAN};
static const double means[N] = {2, 1 / 3.0, -0.0, 0, 0, -INFINITY, NAN, 10, INFINITY, NAN};

static const struct {
    const char *text;
    bool exact; /* to the bit; else to 1e-15, as libraries differ in the last place */
    double expected[N];
} cases[] = {
    {"bold + mean(bold)",
     true,
     {-INFINITY, -7.666666666666667, -1, 0, 0, -INFINITY, NAN, 1e+308, INFINITY, NAN}},
    {"bold - mean(bold)",
     true,
     {-INFINITY, -8.333333333333334, -1, -0.0, 0, INFINITY, NAN, 1e+308, NAN, NAN}},
    {"bold * mean(bold)",
     true,
     {-INFINITY, -2.6666666666666665, 0, -0.0, 0, -INFINITY, NAN, INFINITY, INFINITY, NAN}},
    {"bold / mean(bold)", true, {-INFINITY, -24, INFINITY, NAN, NAN, -0.0, NAN, 1e+307, NAN, NAN}},
    {"mean(bold) / 0",
     true,
     {INFINITY, INFINITY, NAN, NAN, NAN, -INFINITY, NAN, INFINITY, INFINITY, NAN}},
    {"-bold", true, {INFINITY, 8, 1, 0, -0.0, -0.5, -3, -1e+308, -INFINITY, NAN}},
    {"abs(bold)", true, {INFINITY, 8, 1, 0, 0, 0.5, 3, 1e+308, INFINITY, NAN}},
    {"sqrt(bold)",
     true,
     {NAN, NAN, NAN, -0.0, 0, 0.7071067811865476, 1.7320508075688772, 1e+154, INFINITY, NAN}},
    {"isfinite(bold)", true, {0, 1, 1, 1, 1, 1, 1, 1, 0, 0}},
    {"nan_to_num(bold)", true, {-DBL_MAX, -8, -1, -0.0, 0, 0.5, 3, 1e+308, DBL_MAX, 0}},
    {"bold < mean(bold)", true, {1, 1, 1, 0, 0, 0, 0, 0, 0, 0}},
    {"bold <= mean(bold)", true, {1, 1, 1, 1, 1, 0, 0, 0, 1, 0}},
    {"bold > mean(bold)", true, {0, 0, 0, 0, 0, 1, 0, 1, 0, 0}},
    {"bold >= mean(bold)", true, {0, 0, 0, 1, 1, 1, 0, 1, 1, 0}},
    {"bold == mean(bold)", true, {0, 0, 0, 1, 1, 0, 0, 0, 1, 0}},
    {"bold != mean(bold)", true, {1, 1, 1, 0, 0, 1, 1, 1, 0, 1}},
    {"where(bold, 1, mean(bold))", true, {1, 1, 1, 0, 0, 1, 1, 1, 1, 1}},
    {"where(mean(bold) > 0, bold / mean(bold), 0)",
     true,
     {-INFINITY, -24, 0, 0, 0, 0, 0, 1e+307, NAN, 0}},
    {"where(isfinite(bold), 1, bold > 0)", true, {0, 1, 1, 1, 1, 1, 1, 1, 1, 0}},
    {"bold ** 2", true, {INFINITY, 64, 1, 0, 0, 0.25, 9, INFINITY, INFINITY, NAN}},
    {"bold ** 0.5",
     true,
     {NAN, NAN, NAN, -0.0, 0, 0.7071067811865476, 1.7320508075688772, 1e+154, INFINITY, NAN}},
    {"bold ** -1",
     true,
     {-0.0, -0.125, -1, -INFINITY, INFINITY, 2, 0.3333333333333333, 1e-308, 0, NAN}},
    {"bold ** 0", true, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"bold ** 1", true, {-INFINITY, -8, -1, -0.0, 0, 0.5, 3, 1e+308, INFINITY, NAN}},
    {"bold ** (1 / 2)",
     true,
     {NAN, NAN, NAN, -0.0, 0, 0.7071067811865476, 1.7320508075688772, 1e+154, INFINITY, NAN}},
    {"(bold > 0) * 3", true, {0, 0, 0, 0, 0, 3, 3, 3, 3, 0}},
    {"(bold > 0) / 0",
     true,
     {NAN, NAN, NAN, NAN, NAN, INFINITY, INFINITY, INFINITY, INFINITY, NAN}},
    {"1 - (bold > 0)", true, {1, 1, 1, 1, 1, 0, 0, 0, 0, 1}},
    {"-2**2 + bold", true, {-INFINITY, -12, -5, -4, -4, -3.5, -1, 1e+308, INFINITY, NAN}},
    {"2**-1 * bold", true, {-INFINITY, -4, -0.5, -0.0, 0, 0.25, 1.5, 5e+307, INFINITY, NAN}},
    {"bold - 1 - 2", true, {-INFINITY, -11, -4, -3, -3, -2.5, 0, 1e+308, INFINITY, NAN}},
    {"abs(bold > 0) * 1", true, {0, 0, 0, 0, 0, 1, 1, 1, 1, 0}},
    {"exp(bold)",
     false,
     {0, 0.0003354626279025118, 0.3678794411714424, 1, 1, 1.6487212707001282, 20.085536923187668,
      INFINITY, INFINITY, NAN}},
    {"log(bold)",
     false,
     {NAN, NAN, NAN, -INFINITY, -INFINITY, -0.6931471805599453, 1.0986122886681096,
      709.1962086421661, INFINITY, NAN}},
    {"bold ** 3", false, {-INFINITY, -512, -1, -0.0, 0, 0.125, 27, INFINITY, INFINITY, NAN}},
    {"bold ** mean(bold)", false, {INFINITY, NAN, 1, 1, 1, INFINITY, NAN, INFINITY, INFINITY, NAN}},
    {"bold ** -0.5",
     false,
     {0, NAN, NAN, INFINITY, INFINITY, 1.4142135623730951, 0.5773502691896257, 1e-154, 0, NAN}},
    {"2 ** bold",
     false,
     {0, 0.00390625, 0.5, 1, 1, 1.4142135623730951, 8, INFINITY, INFINITY, NAN}},
    {"0 ** mean(bold)", false, {0, 0, 1, 1, 1, INFINITY, NAN, 0, 0, NAN}},
    {"mean(bold) ** (bold > 0)", false, {1, 1, 1, 1, 1, -INFINITY, NAN, 10, INFINITY, 1}},
    {"(bold > 0) ** 0.5", false, {0, 0, 0, 0, 0, 1, 1, 1, 1, 0}},
};

static struct expr *parse(const char *text)
{
    struct expr *e = NULL;
    struct expr_error err;
    if (expr_parse(text, NULL, NULL, &e, &err) != 0)
        fail_msg("%s:%zu: %s", text, err.column, err.error.text);
    return e;
}

static bool leaf(void *ctx, const struct expr *e, size_t n, double *out)
{
    (void)ctx;
    if (e->op != EXPR_BOLD && e->op != EXPR_MEAN)
        return false;
    memcpy(out, e->op == EXPR_BOLD ? bold : means, n * sizeof(*out));
    return true;
}

static bool agrees(double value, double expected, bool exact)
{
    if (isnan(expected))
        return isnan(value);
    if (exact || !isfinite(expected) || expected == 0)
        return value == expected && signbit(value) == signbit(expected);
    return fabs(value - expected) <= 1e-15 * fabs(expected);
}

static void test_numpy(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct expr *e = parse(cases[c].text);
        double out[N];
        eval_tile(e, leaf, NULL, N, out);
        for (size_t i = 0; i < N; i++)
            if (!agrees(out[i], cases[c].expected[i], cases[c].exact))
                fail_msg("%s at %zu: %.17g, not %.17g", cases[c].text, i, out[i],
                         cases[c].expected[i]);
        expr_free(e);
    }
}

/* Only what `n` asks for is written, and nothing else is read. */
static void test_short_tiles(void **state)
{
    (void)state;
    struct expr *e = parse("where(bold > 0, bold ** 2, mean(bold) / bold)");
    double whole[N];
    eval_tile(e, leaf, NULL, N, whole);
    for (size_t n = 0; n <= N; n++) {
        double out[N];
        memset(out, 0x5a, sizeof(out));
        eval_tile(e, leaf, NULL, n, out);
        assert_memory_equal(out, whole, n * sizeof(*out));
        for (size_t i = n * sizeof(*out); i < sizeof(out); i++)
            assert_int_equal(((unsigned char *)out)[i], 0x5a);
    }
    expr_free(e);
}

/* The whole node is given, although it could be computed from its arguments. */
static bool leaf_sum(void *ctx, const struct expr *e, size_t n, double *out)
{
    size_t *calls = ctx;
    ++*calls;
    for (size_t i = 0; e->op == EXPR_ADD && i < n; i++)
        out[i] = (double)i;
    return e->op == EXPR_ADD;
}

static void test_leaf_comes_first(void **state)
{
    (void)state;
    struct expr *e = parse("-(bold + 1)");
    size_t calls = 0;
    double out[EVAL_TILE];
    eval_tile(e, leaf_sum, &calls, EVAL_TILE, out);
    assert_int_equal(calls, 2);
    for (size_t i = 0; i < EVAL_TILE; i++)
        assert_true(out[i] == -(double)i);
    expr_free(e);
}

static bool leaf_index(void *ctx, const struct expr *e, size_t n, double *out)
{
    const double *start = ctx;
    for (size_t i = 0; e->op == EXPR_BOLD && i < n; i++)
        out[i] = *start + (double)i;
    return e->op == EXPR_BOLD;
}

/* As deep as trees may be, with full tiles: the stack must do. */
static void test_deepest(void **state)
{
    (void)state;
    char text[2048] = "bold";
    for (size_t i = 0; i < 63; i++) {
        char inner[sizeof(text)];
        strcpy(inner, text);
        snprintf(text, sizeof(text), i % 2 ? "where(1, %.1900s, 0)" : "1 + (%.1900s)", inner);
    }
    struct expr *e = parse(text);
    double out[EVAL_TILE];
    double start = 100;
    eval_tile(e, leaf_index, &start, EVAL_TILE, out);
    for (size_t i = 0; i < EVAL_TILE; i++)
        assert_true(out[i] == 132 + (double)i);
    expr_free(e);
}

/* A voxel has the same bits wherever in a tile it stands. */
static void test_place_in_tile(void **state)
{
    (void)state;
    struct expr *e = parse("sqrt(bold / 7) ** 1.7 + log(bold) * exp(1 / bold) - bold ** -3");
    double whole[EVAL_TILE];
    double start = 1;
    eval_tile(e, leaf_index, &start, EVAL_TILE, whole);
    for (size_t from = 0; from < EVAL_TILE; from += 37) {
        double out[EVAL_TILE];
        start = 1 + (double)from;
        eval_tile(e, leaf_index, &start, EVAL_TILE - from, out);
        assert_memory_equal(out, whole + from, (EVAL_TILE - from) * sizeof(*out));
    }
    expr_free(e);
}

static bool no_leaf(void *ctx, const struct expr *e, size_t n, double *out)
{
    (void)ctx;
    (void)e;
    (void)n;
    (void)out;
    return false;
}

/* What the caller should have given is NaN, never a number that looks like a result. */
static void test_missing_leaf(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "bold",         "mean(bold)",   "concat(bold, bold, bold)", "concat(bold, bold)",
        "zscore(bold)", "bold[..., 1:]"};
    for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
        struct expr *e = parse(texts[t]);
        double out[3] = {1, 2, 3};
        eval_tile(e, no_leaf, NULL, 3, out);
        for (size_t i = 0; i < 3; i++)
            assert_true(isnan(out[i]));
        expr_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numpy),
        cmocka_unit_test(test_short_tiles),
        cmocka_unit_test(test_leaf_comes_first),
        cmocka_unit_test(test_deepest),
        cmocka_unit_test(test_place_in_tile),
        cmocka_unit_test(test_missing_leaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
