/* SPDX-License-Identifier: MIT
 *
 * Expressions: the table of the language, and what follows from a tree alone.
 *
 *     text -- expr_lex --> tokens -- expr_parse --> tree -- expr_print --> canonical text
 *                                        |
 *                          expr_table, expr_check_*: here
 *
 * The lexer takes its operators, the parser its precedences and argument counts, the checks their
 * rules and the printer its spelling from one table: a new function is one row here, one value of
 * enum expr_op and its arithmetic in eval.c.
 *
 * Where numpy's own types would get in the way, values are float64 all the same: sqrt(mask) is not
 * float16, and an image with a series means the image at each volume, which numpy's broadcasting of
 * (x, y, z) with (x, y, z, t) would refuse.
 */
#include "expr_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAF(text)                                                                                 \
    {                                                                                              \
        .name = (text), .form = FORM_LEAF                                                          \
    }
#define PREFIX(text)                                                                               \
    {                                                                                              \
        .name = (text), .form = FORM_PREFIX, .level = LEVEL_SIGN, .min_args = 1, .max_args = 1,    \
        .mask = MASK_REFUSE                                                                        \
    }
#define INFIX(text, lev, mask_rule)                                                                \
    {                                                                                              \
        .name = (text), .form = FORM_INFIX, .level = (lev), .min_args = 2, .max_args = 2,          \
        .mask = (mask_rule)                                                                        \
    }
#define FUNCTION(text, min, max, rank_rule, mask_rule)                                             \
    {                                                                                              \
        .name = (text), .form = FORM_FUNCTION, .min_args = (min), .max_args = (max),               \
        .rank = (rank_rule), .mask = (mask_rule)                                                   \
    }
#define FUNCTION_WITH(text, rank_rule, mask_rule, how, called, most)                               \
    {                                                                                              \
        .name = (text), .form = FORM_FUNCTION, .min_args = 1, .max_args = 1, .rank = (rank_rule),  \
        .mask = (mask_rule), .param = (how), .param_name = (called), .param_max = (most)           \
    }
#define SUBSCRIPT(text, rank_rule)                                                                 \
    {                                                                                              \
        .name = (text), .form = FORM_SUBSCRIPT, .min_args = 1, .max_args = 1, .rank = (rank_rule), \
        .mask = MASK_KEEP                                                                          \
    }

#define COUNT_MAX 2147483647.0 /* volumes to drop, degrees of freedom */
#define ORDER_MAX 10.0

const struct expr_info expr_table[EXPR_CONCAT + 1] = {
    [EXPR_NUMBER] = LEAF("number"),
    [EXPR_BOLD] = LEAF("bold"),
    [EXPR_NEG] = PREFIX("-"),
    [EXPR_ABS] = FUNCTION("abs", 1, 1, RANK_WIDEST, MASK_KEEP),
    [EXPR_SQRT] = FUNCTION("sqrt", 1, 1, RANK_WIDEST, MASK_NUMBER),
    [EXPR_EXP] = FUNCTION("exp", 1, 1, RANK_WIDEST, MASK_NUMBER),
    [EXPR_LOG] = FUNCTION("log", 1, 1, RANK_WIDEST, MASK_NUMBER),
    [EXPR_ISFINITE] = FUNCTION("isfinite", 1, 1, RANK_WIDEST, MASK_TRUTH),
    [EXPR_NAN_TO_NUM] = FUNCTION("nan_to_num", 1, 1, RANK_WIDEST, MASK_KEEP),
    [EXPR_ADD] = INFIX("+", LEVEL_SUM, MASK_REFUSE),
    [EXPR_SUB] = INFIX("-", LEVEL_SUM, MASK_REFUSE),
    [EXPR_MUL] = INFIX("*", LEVEL_PRODUCT, MASK_REFUSE),
    [EXPR_DIV] = INFIX("/", LEVEL_PRODUCT, MASK_REFUSE),
    [EXPR_POW] = INFIX("**", LEVEL_POWER, MASK_REFUSE),
    [EXPR_LT] = INFIX("<", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_LE] = INFIX("<=", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_GT] = INFIX(">", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_GE] = INFIX(">=", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_EQ] = INFIX("==", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_NE] = INFIX("!=", LEVEL_COMPARE, MASK_TRUTH),
    [EXPR_WHERE] = FUNCTION("where", 3, 3, RANK_WIDEST, MASK_CHOICE),
    [EXPR_MEAN] = FUNCTION("mean", 1, 1, RANK_REDUCE, MASK_NUMBER),
    [EXPR_STD] = FUNCTION_WITH("std", RANK_REDUCE, MASK_NUMBER, PARAM_KEYWORD, "ddof", COUNT_MAX),
    [EXPR_VAR] = FUNCTION_WITH("var", RANK_REDUCE, MASK_NUMBER, PARAM_KEYWORD, "ddof", COUNT_MAX),
    [EXPR_SUM] = FUNCTION("sum", 1, 1, RANK_REDUCE, MASK_NUMBER),
    [EXPR_MIN] = FUNCTION("min", 1, 1, RANK_REDUCE, MASK_KEEP),
    [EXPR_MAX] = FUNCTION("max", 1, 1, RANK_REDUCE, MASK_KEEP),
    [EXPR_MEDIAN] = FUNCTION("median", 1, 1, RANK_REDUCE, MASK_NUMBER),
    [EXPR_INDEX] = SUBSCRIPT("[..., i]", RANK_REDUCE),
    [EXPR_SLICE] = SUBSCRIPT("[..., a:b]", RANK_SERIES),
    [EXPR_DROP] = FUNCTION_WITH("drop", RANK_SERIES, MASK_KEEP, PARAM_LAST, "n", COUNT_MAX),
    [EXPR_DETREND] =
        FUNCTION_WITH("detrend", RANK_SERIES, MASK_NUMBER, PARAM_LAST, "order", ORDER_MAX),
    [EXPR_DEMEAN] = FUNCTION("demean", 1, 1, RANK_SERIES, MASK_NUMBER),
    [EXPR_ZSCORE] = FUNCTION("zscore", 1, 1, RANK_SERIES, MASK_NUMBER),
    [EXPR_CONCAT] = FUNCTION("concat", 1, EXPR_NODES_MAX, RANK_SERIES, MASK_KEEP),
};

const struct expr_info *expr_info_find(enum expr_form form, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < sizeof(expr_table) / sizeof(expr_table[0]); i++)
        if (expr_table[i].form == form && strlen(expr_table[i].name) == nbytes &&
            memcmp(expr_table[i].name, name, nbytes) == 0)
            return &expr_table[i];
    return NULL;
}

enum expr_op expr_info_op(const struct expr_info *info)
{
    return (enum expr_op)(info - expr_table);
}

int expr_fail(struct expr_error *err, size_t column, int code, const char *fmt, ...)
{
    char text[2 * ERROR_TEXT_MAX]; /* longer than an error, which marks its cut */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    err->column = column;
    return error_set(&err->error, code, "%s", text);
}

int expr_check_arg(const struct expr_info *info, const struct expr *arg, size_t column,
                   struct expr_error *err)
{
    if (info->rank == RANK_WIDEST || arg->rank == EXPR_SERIES)
        return 0;
    enum { SHOWN_MAX = 60 };
    char *text = expr_print(arg);
    if (!text)
        return expr_fail(err, column, ENOMEM, "out of memory");
    int ret = expr_fail(err, column, EINVAL, "%s%s needs a series (4-D) but %s is %s", info->name,
                        info->form == FORM_FUNCTION ? "()" : "",
                        strlen(text) <= SHOWN_MAX ? text : "what it is given",
                        arg->rank == EXPR_IMAGE ? "an image" : "a number");
    free(text);
    return ret;
}

static size_t depth_of(const struct expr *e)
{
    size_t depth = 0;
    for (size_t i = 0; i < e->nargs; i++) {
        size_t arg = depth_of(e->args[i]);
        depth = arg > depth ? arg : depth;
    }
    return depth + 1;
}

static bool all_masks(const struct expr *e, size_t first)
{
    bool all = e->nargs > first;
    for (size_t i = first; i < e->nargs; i++)
        all = all && e->args[i]->mask;
    return all;
}

static enum expr_rank rank_of(const struct expr *e)
{
    switch (expr_table[e->op].rank) {
    case RANK_REDUCE:
        return EXPR_IMAGE;
    case RANK_SERIES:
        return EXPR_SERIES;
    case RANK_WIDEST:
        break;
    }
    enum expr_rank widest = e->op == EXPR_BOLD ? EXPR_SERIES : EXPR_SCALAR;
    for (size_t i = 0; i < e->nargs; i++)
        if (e->args[i]->rank > widest)
            widest = e->args[i]->rank;
    return widest;
}

static bool is_mask(const struct expr *e)
{
    switch (expr_table[e->op].mask) {
    case MASK_TRUTH:
        return true;
    case MASK_KEEP:
        return all_masks(e, 0);
    case MASK_CHOICE:
        return all_masks(e, 1);
    case MASK_NUMBER:
    case MASK_REFUSE:
        break;
    }
    return false;
}

int expr_check_node(struct expr *e, size_t column, struct expr_error *err)
{
    const struct expr_info *info = &expr_table[e->op];
    if (info->mask == MASK_REFUSE && all_masks(e, 0))
        return expr_fail(err, column, EINVAL,
                         "'%s' is not defined for %s (true and false); 1 * (mask) counts it as "
                         "1 and 0",
                         info->name, e->nargs == 1 ? "a mask" : "two masks");
    if (depth_of(e) > EXPR_DEPTH_MAX)
        return expr_fail(err, column, EINVAL,
                         "the expression is too deep here (over %d operations inside one another)",
                         EXPR_DEPTH_MAX);
    e->rank = rank_of(e);
    e->mask = is_mask(e);
    return 0;
}

void expr_free(struct expr *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->nargs; i++)
        expr_free(e->args[i]);
    free(e->args);
    free(e);
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
    if (a->op != b->op || a->nargs != b->nargs || a->number != b->number ||
        a->has_start != b->has_start || a->has_stop != b->has_stop || a->start != b->start ||
        a->stop != b->stop)
        return false;
    for (size_t i = 0; i < a->nargs; i++)
        if (!expr_equal(a->args[i], b->args[i]))
            return false;
    return true;
}

bool expr_is_reduction(enum expr_op op)
{
    return op >= EXPR_MEAN && op <= EXPR_INDEX;
}

const char *expr_op_name(enum expr_op op)
{
    return expr_table[op].name;
}
