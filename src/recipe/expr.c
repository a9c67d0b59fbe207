/* SPDX-License-Identifier: MIT
 *
 * The table of expr_ops.h, and properties of a tree: rank, type, limits, canonical text.
 *
 *     text -- expr_lex --> tokens -- expr_parse --> tree -- expr_print: here --> canonical text
 *                                        |
 *                               expr_check_*: here
 *
 * In canonical text, for keys and sidecars, an operator inside another one (or before a subscript) is
 * always in parentheses, so no reader needs the precedences. Equal trees give equal bytes in any
 * locale. Values are float64 even where numpy's are not: sqrt(mask) is not float16.
 */
#include "expr_private.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define COUNT_MAX 2147483647 /* volumes to drop, degrees of freedom */
#define ORDER_MAX 10
#define NODES_MAX EXPR_NODES_MAX

/* The columns of a row. */
#define LEAF .form = FORM_LEAF
#define PREFIX .form = FORM_PREFIX, .level = LEVEL_SIGN, .min_args = 1, .max_args = 1
#define INFIX(name) .form = FORM_INFIX, .level = LEVEL_##name, .min_args = 2, .max_args = 2
#define SUBSCRIPT .form = FORM_SUBSCRIPT, .min_args = 1, .max_args = 1
#define FUNCTION(least, most) .form = FORM_FUNCTION, .min_args = (least), .max_args = (most)
#define NO_NUMBER .param = PARAM_NONE
#define LAST(called, of, most)                                                                     \
    .param = PARAM_LAST, .param_name = (called), .param_of = NUMBER_##of, .param_max = (most)
#define KEYWORD(called, of, most)                                                                  \
    .param = PARAM_KEYWORD, .param_name = (called), .param_of = NUMBER_##of, .param_max = (most)

#define ROW(of_kind, op, text, form_and_args, masks, number)                                       \
    [EXPR_##op] = {                                                                                \
        .name = (text), .kind = EXPR_KIND_##of_kind, form_and_args, .mask = MASK_##masks, number},

const struct expr_info expr_table[EXPR_NOPS] = {EXPR_OPS(ROW)};
#undef ROW

const struct expr_info *expr_info_find(enum expr_form form, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < EXPR_NOPS; i++)
        if (expr_table[i].form == form && text_is(expr_table[i].name, name, nbytes))
            return &expr_table[i];
    return NULL;
}

const struct expr_info *expr_info_within(const struct expr_info *info)
{
    for (size_t i = 0; i < EXPR_NOPS; i++)
        if (expr_table[i].kind == EXPR_KIND_WITHIN && info->kind != EXPR_KIND_WITHIN &&
            strcmp(expr_table[i].name, info->name) == 0)
            return &expr_table[i];
    return NULL;
}

enum expr_op expr_info_op(const struct expr_info *info)
{
    return (enum expr_op)(info - expr_table);
}

const char *expr_op_name(enum expr_op op)
{
    return expr_table[op].name;
}

enum expr_kind expr_op_kind(enum expr_op op)
{
    return expr_table[op].kind;
}

/* The rank of the argument and the result of an operation. */
enum rank_rule {
    RANK_WIDEST, /* that of its widest argument */
    RANK_REDUCE, /* series to image */
    RANK_IMAGE,  /* images to image */
    RANK_NUMBER, /* image and mask to number */
    RANK_SERIES, /* series to series */
};

static enum rank_rule rank_rule(enum expr_kind kind)
{
#define ROW(name, rank) RANK_##rank,
    static const enum rank_rule rules[] = {EXPR_KINDS(ROW)};
#undef ROW
    return rules[kind];
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

static bool takes_series(enum rank_rule rule)
{
    return rule == RANK_REDUCE || rule == RANK_SERIES;
}

static const char *name_of_rank(const struct expr *e)
{
    return e->rank == EXPR_SERIES ? "a series" : e->rank == EXPR_IMAGE ? "an image" : "a number";
}

int expr_check_arg(const struct expr_info *info, size_t i, const struct expr *arg, size_t column,
                   struct expr_error *err)
{
    enum rank_rule rule = rank_rule(info->kind);
    bool is_within = rule == RANK_NUMBER;
    if (info->kind == EXPR_KIND_FOUND && i == 0 && !arg->input)
        return expr_fail(err, column, EINVAL, "found() takes a file first: found(file(...), x)");
    if (rule == RANK_WIDEST || (takes_series(rule) && arg->rank == EXPR_SERIES) ||
        (!takes_series(rule) && arg->rank == EXPR_IMAGE && (!is_within || i == 0 || arg->mask)))
        return 0;
    if (expr_info_within(info) && arg->rank == EXPR_IMAGE)
        return expr_fail(err, column, EINVAL, "%s() of an image needs to know where: %s(x, brain)",
                         info->name, info->name);
    enum { SHOWN_MAX = 60 };
    char *text = expr_print(arg);
    if (!text)
        return expr_fail(err, column, ENOMEM, "out of memory");
    const char *shown = strlen(text) <= SHOWN_MAX ? text : "its argument";
    int ret =
        is_within && i > 0
            ? expr_fail(err, column, EINVAL, "%s() of an image needs a mask (3-D) but %s is %s%s",
                        info->name, shown, name_of_rank(arg), arg->mask ? " of masks" : "")
            : expr_fail(err, column, EINVAL, "%s%s needs %s but %s is %s", info->name,
                        info->form == FORM_FUNCTION ? "()" : "",
                        is_within            ? "an image (3-D) beside a mask"
                        : takes_series(rule) ? "a series (4-D)"
                                             : "an image (3-D)",
                        shown, name_of_rank(arg));
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

static enum expr_rank leaf_rank(enum expr_op op)
{
    enum expr_kind kind = expr_op_kind(op);
    if (kind == EXPR_KIND_FILE || kind == EXPR_KIND_COORDINATE)
        return EXPR_IMAGE;
    return kind == EXPR_KIND_BOLD ? EXPR_SERIES : EXPR_SCALAR;
}

static enum expr_rank rank_of(const struct expr *e)
{
    switch (rank_rule(expr_op_kind(e->op))) {
    case RANK_REDUCE:
    case RANK_IMAGE:
        return EXPR_IMAGE;
    case RANK_NUMBER:
        return EXPR_SCALAR;
    case RANK_SERIES:
        return EXPR_SERIES;
    case RANK_WIDEST:
        break;
    }
    enum expr_rank widest = leaf_rank(e->op);
    for (size_t i = 0; i < e->nargs; i++)
        if (e->args[i]->rank > widest)
            widest = e->args[i]->rank;
    return widest;
}

static bool is_mask(const struct expr *e)
{
    switch (expr_table[e->op].mask) {
    case MASK_ALWAYS:
    case MASK_LOGIC:
        return true;
    case MASK_KEEP:
        return all_masks(e, 0);
    case MASK_CHOICE:
        return all_masks(e, 1);
    case MASK_NEVER:
    case MASK_REFUSE:
        break;
    }
    return e->input && e->input->kind == INPUT_MASK;
}

/* Arithmetic takes no masks alone, and logic nothing else. */
static int check_masks(const struct expr *e, size_t column, struct expr_error *err)
{
    const struct expr_info *info = &expr_table[e->op];
    if (info->mask == MASK_REFUSE && all_masks(e, 0))
        return expr_fail(err, column, EINVAL,
                         "'%s' is not defined for %s (true and false); 1 * (mask) counts it as "
                         "1 and 0",
                         info->name, e->nargs == 1 ? "a mask" : "two masks");
    if (info->mask == MASK_LOGIC && !all_masks(e, 0))
        return expr_fail(err, column, EINVAL,
                         "'%s' is defined for masks alone (true and false); put comparisons in "
                         "parentheses",
                         info->name);
    return 0;
}

int expr_check_node(struct expr *e, size_t column, struct expr_error *err)
{
    int ret = check_masks(e, column, err);
    if (ret < 0)
        return ret;
    if (depth_of(e) > EXPR_DEPTH_MAX)
        return expr_fail(err, column, EINVAL,
                         "the expression is too deep here (over %d nested operations)",
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
    input_put(e->input);
    free(e);
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
    if (a->op != b->op || a->nargs != b->nargs || a->number != b->number ||
        a->has_start != b->has_start || a->has_stop != b->has_stop || a->start != b->start ||
        a->stop != b->stop || (a->input && !input_equal(a->input, b->input)))
        return false;
    for (size_t i = 0; i < a->nargs; i++)
        if (!expr_equal(a->args[i], b->args[i]))
            return false;
    return true;
}

bool expr_is_reduction(enum expr_op op)
{
    return rank_rule(expr_op_kind(op)) == RANK_REDUCE;
}

struct input *expr_input(const struct expr *e)
{
    return e->op == EXPR_FOUND ? e->args[0]->input : e->input;
}

bool expr_is_computed(const struct expr *e)
{
    bool computed = e->rank != EXPR_SCALAR || expr_op_kind(e->op) == EXPR_KIND_WITHIN;
    for (size_t i = 0; i < e->nargs; i++)
        computed = computed || expr_is_computed(e->args[i]);
    return computed;
}

bool expr_has_coordinate(const struct expr *e)
{
    if (expr_op_kind(e->op) == EXPR_KIND_COORDINATE)
        return true;
    for (size_t i = 0; i < e->nargs; i++)
        if (expr_has_coordinate(e->args[i]))
            return true;
    return false;
}

/* ---- canonical text ---- */

static void print_node(FILE *out, const struct expr *e);

/* Shortest digits that read back as the same number; whole numbers without an exponent. */
static void print_number(FILE *out, double number)
{
    if (number == floor(number) && number < 1e15) {
        fprintf(out, "%.0f", number);
        return;
    }
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    fputs(text, out);
}

static void print_operand(FILE *out, const struct expr *e)
{
    enum expr_form form = expr_table[e->op].form;
    bool enclose = form == FORM_INFIX || form == FORM_PREFIX;
    fputs(enclose ? "(" : "", out);
    print_node(out, e);
    fputs(enclose ? ")" : "", out);
}

static void print_function(FILE *out, const struct expr *e, const struct expr_info *info)
{
    fprintf(out, "%s(", info->name);
    for (size_t i = 0; i < e->nargs; i++) {
        fputs(i > 0 ? ", " : "", out);
        print_node(out, e->args[i]);
    }
    bool unwritten = info->param == PARAM_KEYWORD && e->number == 0;
    if (info->param != PARAM_NONE && !unwritten) {
        fputs(", ", out);
        if (info->param == PARAM_KEYWORD)
            fprintf(out, "%s=", info->param_name);
        print_number(out, e->number);
    }
    fputc(')', out);
}

static void print_subscript(FILE *out, const struct expr *e)
{
    print_operand(out, e->args[0]);
    fputs("[..., ", out);
    if (e->has_start)
        fprintf(out, "%" PRId64, e->start);
    if (e->op == EXPR_SLICE)
        fputc(':', out);
    if (e->has_stop)
        fprintf(out, "%" PRId64, e->stop);
    fputc(']', out);
}

static void print_node(FILE *out, const struct expr *e)
{
    const struct expr_info *info = &expr_table[e->op];
    switch (info->form) {
    case FORM_LEAF:
        if (e->op == EXPR_NUMBER)
            print_number(out, e->number);
        else if (e->input)
            input_print(out, e->input);
        else
            fputs(info->name, out);
        break;
    case FORM_PREFIX:
        fputs(info->name, out);
        print_operand(out, e->args[0]);
        break;
    case FORM_INFIX:
        print_operand(out, e->args[0]);
        fprintf(out, " %s ", info->name);
        print_operand(out, e->args[1]);
        break;
    case FORM_FUNCTION:
        print_function(out, e, info);
        break;
    case FORM_SUBSCRIPT:
        print_subscript(out, e);
        break;
    }
}

char *expr_print(const struct expr *e)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!c_locale)
        return NULL;
    locale_t before = uselocale(c_locale);
    char *text = NULL;
    size_t nbytes = 0;
    FILE *out = open_memstream(&text, &nbytes);
    if (out) {
        print_node(out, e);
        text = text_end(out, &text);
    }
    uselocale(before);
    freelocale(c_locale);
    return text;
}
