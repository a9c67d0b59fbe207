/* SPDX-License-Identifier: MIT
 *
 * Random expressions: trees made by the rules of the header alone, printed and parsed again, are
 * equal and of the same rank and type; random text is refused or understood, never worse. The seeds
 * are fixed.
 */
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

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % sides;
}

/* The operations of a kind, in the order of the table. */
#define OP(kind, op, text, form, masks, number) EXPR_##op,
static const enum expr_op statistics[] = {EXPR_MOMENTS(OP, ) EXPR_PERCENTILES(OP, )};

static struct expr *tree(enum expr_op op, enum expr_rank rank, bool mask, size_t nargs, ...)
{
    struct expr *e = calloc(1, sizeof(*e));
    *e = (struct expr){.op = op, .rank = rank, .mask = mask, .nargs = nargs};
    e->args = calloc(nargs + 1, sizeof(struct expr *));
    va_list args;
    va_start(args, nargs);
    for (size_t i = 0; i < nargs; i++)
        e->args[i] = va_arg(args, struct expr *);
    va_end(args);
    return e;
}

static struct expr *random_tree(enum expr_rank rank, bool mask, unsigned depth);

static struct expr *random_number(void)
{
    static const double numbers[] = {0, 1, 0.1, 2.5, 1e-300, 123456789012.5, 1e22, 1 / 3.0};
    struct expr *e = tree(EXPR_NUMBER, EXPR_SCALAR, false, 0);
    e->number = dice(2) ? numbers[dice(8)] : (double)dice(1000000) / (1 + (double)dice(1000));
    return e;
}

static enum expr_rank random_rank(enum expr_rank most)
{
    static const enum expr_rank ranks[] = {EXPR_SCALAR, EXPR_IMAGE, EXPR_SERIES};
    return ranks[dice(most == EXPR_SERIES ? 3 : most == EXPR_IMAGE ? 2 : 1)];
}

static struct expr *random_reduction(bool mask, unsigned depth)
{
    struct expr *x = random_tree(EXPR_SERIES, mask, depth);
    enum expr_op op =
        mask ? EXPR_MIN + dice(2) : statistics[dice(sizeof statistics / sizeof *statistics)];
    if (dice(3) == 0) {
        struct expr *e = tree(EXPR_INDEX, EXPR_IMAGE, mask, 1, x);
        e->has_start = true;
        e->start = (int64_t)dice(20) - 10;
        return e;
    }
    struct expr *e = tree(op, EXPR_IMAGE, mask, 1, x);
    if (op == EXPR_STD || op == EXPR_VAR)
        e->number = dice(3);
    else if (op == EXPR_PERCENTILE)
        e->number = dice(2) ? dice(101) : dice(100001) / 1000.0;
    return e;
}

static struct expr *random_series(bool mask, unsigned depth)
{
    struct expr *x = random_tree(EXPR_SERIES, mask, depth);
    if (dice(3) == 0)
        return tree(EXPR_CONCAT, EXPR_SERIES, mask, 2, x, random_tree(EXPR_SERIES, mask, depth));
    enum expr_op op = mask ? EXPR_SLICE + dice(2) : EXPR_SLICE + dice(5);
    struct expr *e = tree(op, EXPR_SERIES, mask, 1, x);
    if (op == EXPR_DROP || op == EXPR_DETREND)
        e->number = dice(11);
    if (op != EXPR_SLICE)
        return e;
    e->has_start = dice(2);
    e->has_stop = dice(2);
    e->start = e->has_start ? (int64_t)dice(20) - 10 : 0;
    e->stop = e->has_stop ? (int64_t)dice(20) - 10 : 0;
    return e;
}

static struct expr *random_elementwise(enum expr_rank rank, bool mask, unsigned depth)
{
    struct expr *x = random_tree(rank, mask, depth);
    struct expr *y = random_tree(random_rank(rank), mask, depth);
    switch (dice(4)) {
    case 0:
        return tree(EXPR_WHERE, rank, mask, 3, random_tree(random_rank(rank), dice(2), depth), x,
                    y);
    case 1:
        expr_free(y);
        if (mask)
            return tree(dice(2) ? EXPR_ISFINITE : EXPR_NOT, rank, true, 1, x);
        return tree(EXPR_NEG + dice(5), rank, false, 1, x);
    case 2: /* a mask with a number, in either order */
        if (!mask) {
            struct expr *m = random_tree(random_rank(rank), true, depth);
            expr_free(y);
            return tree(EXPR_ADD + dice(5), rank, false, 2, m, x);
        } /* fallthrough */
    default:
        return tree(mask ? EXPR_LT + dice(8) : EXPR_ADD + dice(5), rank, mask, 2, x, y);
    }
}

/* A tree of this rank and type, by the rules of the header alone. */
static struct expr *random_tree(enum expr_rank rank, bool mask, unsigned depth)
{
    if (depth == 0 && mask)
        return tree(EXPR_GT, rank, true, 2, random_tree(rank, false, 0), random_number());
    if (rank == EXPR_SCALAR && (depth == 0 || dice(2)) && !mask)
        return random_number();
    if (depth == 0)
        return rank == EXPR_SERIES
                   ? tree(EXPR_BOLD, EXPR_SERIES, false, 0)
                   : tree(EXPR_MEAN, EXPR_IMAGE, false, 1, tree(EXPR_BOLD, EXPR_SERIES, false, 0));
    unsigned kind = dice(3);
    if (kind == 0 && rank == EXPR_IMAGE)
        return random_reduction(mask, depth - 1);
    if (kind == 0 && rank == EXPR_SERIES)
        return random_series(mask, depth - 1);
    return random_elementwise(rank, mask, depth - 1);
}

static bool same_types(const struct expr *a, const struct expr *b)
{
    bool same = a->rank == b->rank && a->mask == b->mask;
    for (size_t i = 0; i < a->nargs; i++)
        same = same && same_types(a->args[i], b->args[i]);
    return same;
}

static void test_random_trees(void **state)
{
    (void)state;
    seed = 1;
    for (unsigned i = 0; i < 3000; i++) {
        struct expr *e = random_tree(dice(2) ? EXPR_IMAGE : EXPR_SERIES, dice(2), 1 + i % 6);
        char *text = expr_print(e);
        struct expr_error err = {0};
        struct expr *again = NULL;
        if (expr_parse(text, NULL, NULL, &again, &err) != 0)
            fail_msg("%s\n%zu: %s", text, err.column, err.error.text);
        assert_true(expr_equal(e, again));
        assert_true(same_types(e, again));
        char *text_again = expr_print(again);
        assert_string_equal(text, text_again);
        free(text_again);
        free(text);
        expr_free(again);
        expr_free(e);
    }
}

static const char *const words[] = {
    "bold", "mean(", "std(",  "where(", "concat(", "drop(", "(",    ")",    "[..., ", "]",
    ",",    ":",     "ddof=", "-",      "**",      "+",     "<",    "1",    "2.5",    "1e9",
    "tsnr", "loop",  "worse", "==",     " ",       "...",   "\xff", "snr2", "0",      "isfinite(",
};

static void mutate(char *text, size_t room)
{
    size_t n = strlen(text);
    size_t at = dice((uint32_t)n + 1);
    const char *word = words[dice(sizeof(words) / sizeof(words[0]))];
    switch (dice(3)) {
    case 0:
        if (n + strlen(word) < room) {
            memmove(text + at + strlen(word), text + at, n - at + 1);
            memcpy(text + at, word, strlen(word));
        }
        break;
    case 1:
        if (at < n)
            memmove(text + at, text + at + 1, n - at);
        break;
    default:
        if (at < n)
            text[at] = (char)(1 + dice(255));
    }
}

static void test_random_text(void **state)
{
    (void)state;
    seed = 2;
    size_t naccepted = 0;
    for (unsigned i = 0; i < 20000; i++) {
        char text[256] = "where(mean(bold[..., 4:]) > 1, tsnr, std(bold, ddof=1) ** -2)";
        if (i % 2)
            text[0] = '\0';
        for (unsigned n = 1 + dice(i % 2 ? 12 : 3); n > 0; n--)
            mutate(text, sizeof(text));
        struct expr *e = NULL;
        struct expr_error err = {0};
        int ret = expr_parse(text, look_up, (void *)recipes, &e, &err);
        if (ret < 0) {
            assert_uint_in_range(err.column, 1, strlen(text) + 1);
            assert_int_not_equal(err.error.text[0], '\0');
            continue;
        }
        naccepted++;
        char *printed = expr_print(e);
        struct expr *again = NULL;
        if (expr_parse(printed, NULL, NULL, &again, &err) != 0)
            fail_msg("%s printed as %s: %s", text, printed, err.error.text);
        assert_true(expr_equal(e, again));
        free(printed);
        expr_free(again);
        expr_free(e);
    }
    assert_uint_in_range(naccepted, 100, 19000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_trees),
        cmocka_unit_test(test_random_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
