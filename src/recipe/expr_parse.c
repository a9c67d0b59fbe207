/* SPDX-License-Identifier: MIT
 *
 * Tokens to a checked tree, by recursive descent with one token of look-ahead and precedence
 * climbing for binary operators. The grammar is the part of Python's that the language has:
 *
 *     binary    unary { operator binary }         for operators of this level or a tighter one
 *     unary     "-" unary | power
 *     power     postfix [ "**" unary ]            -2**2 is -(2**2); 2**-1 needs no parentheses
 *     postfix   primary { "[" "..." "," index "]" }
 *     primary   number | "(" binary ")" | function "(" arguments ")" | bold | recipe | coordinate
 *               | file "(" string { "," string | "," key "=" word } ")"
 *
 * A recipe's name parses the recipe's text at this place. Depth and number of nodes are checked
 * while the tree grows: no chain of recipes costs more than the largest tree allowed.
 */
#include "expr_private.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>

#include "grow.h"
#include "text.h"

/* Levels of the descent: a level of a printed tree takes two (a parenthesis and a sign). */
enum { NEST_MAX = 4 * EXPR_DEPTH_MAX };

/* For all parse_ functions with `out`, *out is NULL before, and after a failure. */
static int parse_binary(struct parser *p, unsigned level, struct expr **out) NODISCARD;
static int parse_text(struct parser *p, const char *text, struct expr **out) NODISCARD;

/* A parameter becomes its number here, so that it may stand wherever a number may. */
static int advance(struct parser *p)
{
    int ret = lexer_next(&p->lex, &p->token, p->err);
    struct token *t = &p->token;
    if (ret < 0 || t->kind != TOKEN_NAME || p->params.n == 0)
        return ret;
    const struct expr_param *param = parser_param(p, t->text, t->nbytes);
    if (param && !lexer_before_call(&p->lex) && !lexer_before_equals(&p->lex)) {
        t->kind = TOKEN_NUMBER;
        t->number = param->value;
        t->whole = lexer_is_whole(param->value);
    }
    return 0;
}

static int unexpected(struct parser *p, const char *wanted)
{
    if (p->token.kind == TOKEN_END)
        return expr_fail(p->err, p->token.column, EINVAL, "unexpected end, %s is missing", wanted);
    return expr_fail(p->err, p->token.column, EINVAL, "unexpected '%.*s' where %s should be",
                     token_shown(&p->token), p->token.text, wanted);
}

static int expect(struct parser *p, const char *symbol, const char *wanted)
{
    if (!token_is(&p->token, symbol))
        return unexpected(p, wanted);
    return advance(p);
}

static int no_memory(struct parser *p)
{
    return expr_fail(p->err, p->token.column, ENOMEM, "out of memory");
}

static int node_new(struct parser *p, enum expr_op op, struct expr **out)
{
    if (*p->nnodes == EXPR_NODES_MAX)
        return expr_fail(
            p->err, p->token.column, EINVAL,
            "the expression is too large (over %d parts, those of included recipes counted)",
            EXPR_NODES_MAX);
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return no_memory(p);
    ++*p->nnodes;
    (*out)->op = op;
    return 0;
}

/* Takes `arg` over in any case; where `ret` is an error, returns it. */
static int node_add(struct parser *p, int ret, struct expr *e, struct expr *arg)
{
    if (ret == 0 && GROW(e->args, e->nargs) < 0)
        ret = no_memory(p);
    if (ret < 0)
        expr_free(arg);
    else
        e->args[e->nargs++] = arg;
    return ret;
}

/* Check a node that is complete and hand it out, or release it when `ret` or its check is an error
 * (it may be NULL then). */
static int node_finish(struct parser *p, int ret, struct expr *e, size_t column, struct expr **out)
{
    if (ret == 0)
        ret = expr_check_node(e, column, p->err);
    if (ret < 0) {
        expr_free(e);
        return ret;
    }
    *out = e;
    return 0;
}

/* A node of one or two arguments (else `b` is NULL), which it takes over in any case; where `ret` is
 * an error, returns it. */
static int node_of(struct parser *p, int ret, enum expr_op op, size_t column, struct expr *a,
                   struct expr *b, struct expr **out)
{
    struct expr *e = NULL;
    *out = NULL;
    if (ret == 0)
        ret = node_new(p, op, &e);
    ret = node_add(p, ret, e, a);
    if (b)
        ret = node_add(p, ret, e, b);
    return node_finish(p, ret, e, column, out);
}

static int parse_number(struct parser *p, struct expr **out)
{
    struct expr *e = NULL;
    size_t column = p->token.column;
    int ret = node_new(p, EXPR_NUMBER, &e);
    if (ret < 0)
        return ret;
    bool negative = p->token.number < 0; /* a parameter; the tree has a sign then, as its text */
    e->number = negative ? -p->token.number : p->token.number;
    ret = node_finish(p, advance(p), e, column, out);
    return negative ? node_of(p, ret, EXPR_NEG, column, *out, NULL, out) : ret;
}

/* The number of `info`, as drop(x, n) has it. */
static int parse_param(struct parser *p, const struct expr_info *info, double *out)
{
    bool whole = info->param_of == NUMBER_WHOLE;
    if (p->token.kind != TOKEN_NUMBER || (whole && !p->token.whole) || p->token.number < 0 ||
        p->token.number > info->param_max)
        return expr_fail(p->err, p->token.column, EINVAL,
                         "%s of %s() must be written as a %snumber from 0 to %.0f",
                         info->param_name, info->name, whole ? "whole " : "", info->param_max);
    *out = p->token.number;
    return advance(p);
}

static int parse_keyword(struct parser *p, const struct expr_info *info, struct expr *e)
{
    const struct token name = p->token;
    if (info->param != PARAM_KEYWORD || !text_is(info->param_name, name.text, name.nbytes))
        return expr_fail(p->err, name.column, EINVAL, "%s() has no argument called '%.*s'",
                         info->name, token_shown(&name), name.text);
    int ret = advance(p);
    if (ret == 0)
        ret = advance(p); /* over the "=" */
    if (ret == 0)
        ret = parse_param(p, info, &e->number);
    if (ret == 0 && !token_is(&p->token, ")"))
        ret = unexpected(p, "')' (an argument given by name is the last)");
    return ret;
}

static int check_count(struct parser *p, const struct expr_info *info, size_t given, size_t column)
{
    size_t extra = info->param == PARAM_LAST;
    bool within = expr_info_within(info);
    if (given >= info->min_args + extra && given <= info->max_args + extra + within)
        return 0;
    if (within)
        return expr_fail(p->err, column, EINVAL, "%s() takes 1 or 2 arguments but %zu are given",
                         info->name, given);
    return expr_fail(p->err, column, EINVAL, "%s() takes %s%zu argument%s but %zu %s given",
                     info->name, info->max_args > info->min_args ? "at least " : "",
                     info->min_args + extra, info->min_args + extra == 1 ? "" : "s", given,
                     given == 1 ? "is" : "are");
}

/* std(x, 1): no mask, but perhaps a number that has a name. */
static int check_keyword(struct parser *p, const struct expr_info *info, const struct expr *arg,
                         size_t column)
{
    if (info->param != PARAM_KEYWORD || expr_is_computed(arg))
        return 0;
    return expr_fail(p->err, column, EINVAL, "%s() takes a number by its name (write %s=...)",
                     info->name, info->param_name);
}

/* With one argument more than over time, it is the statistic of an image within a mask. */
static int choose_within(struct parser *p, const struct expr_info **info, struct expr *e,
                         const size_t starts[2])
{
    const struct expr_info *within = expr_info_within(*info);
    int ret = 0;
    if (!within)
        return 0;
    if (e->nargs == 2) {
        *info = within;
        e->op = expr_info_op(within);
        ret = check_keyword(p, within, e->args[1], starts[1]);
    }
    for (size_t i = 0; ret == 0 && i < e->nargs; i++)
        ret = expr_check_arg(*info, i, e->args[i], starts[i], p->err);
    return ret;
}

/* The arguments, and the closing parenthesis. */
static int parse_arguments(struct parser *p, const struct expr_info *info, size_t column,
                           struct expr *e)
{
    size_t given = 0, starts[2] = {0}, most = info->max_args + (expr_info_within(info) != NULL);
    while (!token_is(&p->token, ")")) {
        int ret;
        if (p->token.kind == TOKEN_NAME && lexer_before_equals(&p->lex)) {
            ret = parse_keyword(p, info, e);
        } else {
            size_t start = p->token.column;
            struct expr *arg = NULL;
            if (info->param == PARAM_LAST && given == info->max_args) {
                ret = parse_param(p, info, &e->number);
            } else {
                ret = parse_binary(p, LEVEL_COMPARE, &arg);
                if (ret == 0 && e->nargs < info->max_args && most == info->max_args)
                    ret = expr_check_arg(info, e->nargs, arg, start, p->err);
                if (e->nargs < 2)
                    starts[e->nargs] = start;
                ret = node_add(p, ret, e, arg);
            }
            given++;
        }
        if (ret < 0)
            return ret;
        if (token_is(&p->token, ")"))
            break;
        ret = expect(p, ",", "',' or ')'");
        if (ret < 0)
            return ret;
    }
    int ret = check_count(p, info, given, column);
    if (ret == 0)
        ret = choose_within(p, &info, e, starts);
    return ret < 0 ? ret : advance(p);
}

/* kind=KIND or join=JOIN. */
static int parse_input_key(struct parser *p, struct input *in, bool *has_kind)
{
    const struct token key = p->token;
    bool is_kind = text_is("kind", key.text, key.nbytes);
    if (!is_kind && !text_is("join", key.text, key.nbytes))
        return expr_fail(p->err, key.column, EINVAL, "file() has no argument called '%.*s'",
                         token_shown(&key), key.text);
    int ret = advance(p);
    if (ret == 0)
        ret = advance(p); /* over the "=" */
    if (ret < 0)
        return ret;
    const struct token value = p->token;
    if (is_kind) {
        in->kind = input_kind_find(value.text, value.nbytes);
        if (in->kind == INPUT_NKINDS)
            return unexpected(p, "image, mask or labels");
    } else {
        in->join = input_join_find(value.text, value.nbytes);
        if (in->join == INPUT_NJOINS)
            return unexpected(p, "all or any");
    }
    *has_kind = *has_kind || is_kind;
    return advance(p);
}

static int parse_pattern(struct parser *p, struct input *in)
{
    const struct token text = p->token;
    struct error why;
    if (text.kind != TOKEN_STRING)
        return unexpected(p, "the name of a file, such as \"desc-brain_mask.nii.gz\",");
    int ret = input_add_pattern(in, text.text, text.nbytes, &why);
    if (ret < 0)
        return expr_fail(p->err, text.column, -ret, "%s", why.text);
    return advance(p);
}

/* The arguments of file(), and the closing parenthesis. */
static int parse_input(struct parser *p, struct input *in)
{
    bool has_kind = false;
    int ret = parse_pattern(p, in);
    while (ret == 0 && token_is(&p->token, ",")) {
        ret = advance(p);
        if (ret == 0 && p->token.kind == TOKEN_NAME && lexer_before_equals(&p->lex))
            ret = parse_input_key(p, in, &has_kind);
        else if (ret == 0)
            ret = parse_pattern(p, in);
    }
    if (ret < 0)
        return ret;
    if (!has_kind)
        in->kind = input_default_kind(in);
    if (in->join != INPUT_ALL && in->kind != INPUT_MASK)
        return expr_fail(p->err, p->token.column, EINVAL,
                         "only masks are joined: join needs kind=mask");
    return expect(p, ")", "',' or ')'");
}

static int parse_file(struct parser *p, size_t column, struct expr **out)
{
    struct expr *e = NULL;
    int ret = advance(p); /* over the "(" */
    if (ret == 0)
        ret = node_new(p, EXPR_FILE, &e);
    if (ret < 0 || !e)
        return ret;
    e->input = input_new();
    ret = e->input ? parse_input(p, e->input) : no_memory(p);
    return node_finish(p, ret, e, column, out);
}

static int parse_call(struct parser *p, const struct token *name, struct expr **out)
{
    if (text_is(expr_table[EXPR_FILE].name, name->text, name->nbytes))
        return parse_file(p, name->column, out);
    const struct expr_info *info = expr_info_find(FORM_FUNCTION, name->text, name->nbytes);
    if (!info)
        return parser_unknown(p, name, true);
    struct expr *e = NULL;
    int ret = advance(p); /* over the "(" */
    if (ret == 0)
        ret = node_new(p, expr_info_op(info), &e);
    if (ret == 0)
        ret = parse_arguments(p, info, name->column, e);
    return node_finish(p, ret, e, name->column, out);
}

/* A recipe that is nothing but an input gives it its name. */
static int name_input(struct parser *p, const struct token *name, struct expr **out)
{
    struct input *in = expr_input(*out);
    if (!in || in->name)
        return 0;
    in->name = strndup(name->text, name->nbytes);
    if (in->name)
        return 0;
    expr_free(*out);
    *out = NULL;
    return no_memory(p);
}

/* The recipe's tree, at this place. Errors inside are reported at its name. */
static int parse_recipe(struct parser *p, const struct token *name, const char *text,
                        struct expr **out)
{
    int ret = parser_check_cycle(p, name);
    if (ret < 0)
        return ret;
    struct inclusion inclusion = {p->inclusion, name->text, name->nbytes};
    struct parser inner = *p;
    inner.inclusion = &inclusion;
    inner.params = (struct expr_params){NULL, 0};
    if (p->names->params_of)
        inner.params = p->names->params_of(p->names->ctx, name->text, name->nbytes);
    ret = parse_text(&inner, text, out);
    if (ret == 0)
        return name_input(p, name, out);
    p->err->column = name->column;
    if (ret == -ENOMEM || ret == -ELOOP)
        return ret;
    return error_wrap(&p->err->error, ret, "recipe '%.*s' is wrong", token_shown(name), name->text);
}

static int parse_name(struct parser *p, struct expr **out)
{
    const struct token name = p->token;
    int ret = advance(p);
    if (ret < 0)
        return ret;
    if (token_is(&p->token, "("))
        return parse_call(p, &name, out);
    if (expr_info_find(FORM_LEAF, name.text, name.nbytes) == &expr_table[EXPR_BOLD]) {
        struct expr *e = NULL;
        ret = node_new(p, EXPR_BOLD, &e);
        return ret < 0 ? ret : node_finish(p, 0, e, name.column, out);
    }
    const char *text = parser_recipe(p, name.text, name.nbytes);
    if (text)
        return parse_recipe(p, &name, text, out);
    if (!expr_is_coordinate(name.text, name.nbytes))
        return parser_unknown(p, &name, false);
    struct expr *e = NULL;
    ret = node_new(p, expr_info_op(expr_info_find(FORM_LEAF, name.text, name.nbytes)), &e);
    return ret < 0 ? ret : node_finish(p, 0, e, name.column, out);
}

static int parse_primary(struct parser *p, struct expr **out)
{
    if (p->token.kind == TOKEN_NUMBER)
        return parse_number(p, out);
    if (p->token.kind == TOKEN_NAME)
        return parse_name(p, out);
    if (!token_is(&p->token, "("))
        return unexpected(p, "a value");
    int ret = advance(p);
    if (ret == 0)
        ret = parse_binary(p, LEVEL_COMPARE, out);
    if (ret < 0)
        return ret;
    ret = expect(p, ")", "')'");
    if (ret < 0) {
        expr_free(*out);
        *out = NULL;
    }
    return ret;
}

/* A whole number with a sign, where there is one. */
static int parse_position(struct parser *p, bool *has, int64_t *value)
{
    bool negative = token_is(&p->token, "-");
    int ret = negative ? advance(p) : 0;
    if (ret < 0)
        return ret;
    *has = p->token.kind == TOKEN_NUMBER && p->token.whole;
    if (!*has)
        return negative || p->token.kind == TOKEN_NUMBER ? unexpected(p, "a whole number") : 0;
    *value = (int64_t)p->token.number * (negative ? -1 : 1);
    return advance(p);
}

/* Between "[" and "]". */
static int parse_positions(struct parser *p, struct expr *e)
{
    if (!token_is(&p->token, "..."))
        return unexpected(p, "'...' (only the last axis has subscripts: [..., 4:] or [..., 0])");
    int ret = advance(p);
    if (ret == 0)
        ret = expect(p, ",", "','");
    if (ret == 0)
        ret = parse_position(p, &e->has_start, &e->start);
    if (ret < 0)
        return ret;
    e->op = EXPR_INDEX;
    if (token_is(&p->token, ":")) {
        e->op = EXPR_SLICE;
        ret = advance(p);
        if (ret == 0)
            ret = parse_position(p, &e->has_stop, &e->stop);
    } else if (!e->has_start) {
        return unexpected(p, "a whole number or ':'");
    }
    if (ret == 0 && token_is(&p->token, ":"))
        return unexpected(p, "']' (a slice takes no step)");
    return ret < 0 ? ret : expect(p, "]", "']'");
}

/* Replaces *x, which starts at `start` and which it takes over. */
static int parse_subscript(struct parser *p, size_t start, struct expr **x)
{
    size_t column = p->token.column;
    struct expr *e = NULL;
    int ret = advance(p); /* over the "[" */
    if (ret == 0)
        ret = expr_check_arg(&expr_table[EXPR_SLICE], 0, *x, start, p->err);
    ret = node_of(p, ret, EXPR_SLICE, column, *x, NULL, &e);
    *x = NULL;
    if (ret == 0)
        ret = parse_positions(p, e);
    return node_finish(p, ret, e, column, x);
}

/* An operator and its right operand, with operators of `level` or tighter. Replaces *left, which it
 * takes over. */
static int parse_right(struct parser *p, enum expr_op op, unsigned level, struct expr **left);

static int parse_unary(struct parser *p, struct expr **out)
{
    if (*p->nest == NEST_MAX)
        return expr_fail(p->err, p->token.column, EINVAL,
                         "the expression is nested too deeply here");
    ++*p->nest;
    size_t column = p->token.column;
    int ret;
    const struct expr_info *sign = NULL;
    if (p->token.kind == TOKEN_SYMBOL)
        sign = expr_info_find(FORM_PREFIX, p->token.text, p->token.nbytes);
    if (sign) {
        ret = advance(p);
        if (ret == 0)
            ret = parse_unary(p, out);
        ret = node_of(p, ret, expr_info_op(sign), column, *out, NULL, out);
    } else {
        ret = parse_primary(p, out);
        while (ret == 0 && token_is(&p->token, "["))
            ret = parse_subscript(p, column, out);
        if (ret == 0 && token_is(&p->token, expr_table[EXPR_POW].name))
            ret = parse_right(p, EXPR_POW, LEVEL_SIGN, out);
    }
    --*p->nest;
    return ret;
}

static int parse_right(struct parser *p, enum expr_op op, unsigned level, struct expr **left)
{
    size_t column = p->token.column;
    struct expr *b = NULL;
    int ret = advance(p);
    if (ret == 0)
        ret = parse_binary(p, level, &b);
    return node_of(p, ret, op, column, *left, b, left);
}

static const struct expr_info *infix_at(const struct token *t)
{
    return t->kind == TOKEN_SYMBOL ? expr_info_find(FORM_INFIX, t->text, t->nbytes) : NULL;
}

static int parse_binary(struct parser *p, unsigned level, struct expr **out)
{
    int ret = parse_unary(p, out);
    while (ret == 0) {
        const struct expr_info *op = infix_at(&p->token);
        if (!op || op->level < level)
            break;
        ret = parse_right(p, expr_info_op(op), op->level + 1, out);
        const struct expr_info *next = infix_at(&p->token);
        if (ret == 0 && op->level == LEVEL_COMPARE && next && next->level == LEVEL_COMPARE) {
            expr_free(*out);
            *out = NULL;
            return expr_fail(p->err, p->token.column, EINVAL,
                             "comparisons cannot be chained (put one in parentheses)");
        }
    }
    return ret;
}

static int parse_text(struct parser *p, const char *text, struct expr **out)
{
    struct expr *e = NULL;
    p->lex = (struct lexer){.text = text};
    int ret = advance(p);
    size_t column = p->token.column;
    if (ret == 0)
        ret = parse_binary(p, LEVEL_COMPARE, &e);
    if (ret != 0)
        return ret;
    if (p->token.kind != TOKEN_END)
        ret = unexpected(p, "an operator or the end");
    else if (!expr_is_computed(e))
        ret = expr_fail(p->err, column, EINVAL, "the result must depend on bold or a file");
    if (ret < 0)
        expr_free(e);
    else
        *out = e;
    return ret;
}

int expr_parse(const char *text, expr_lookup_fn *lookup, void *ctx, struct expr **out,
               struct expr_error *err)
{
    return expr_parse_with(text, &(struct expr_names){.lookup = lookup, .ctx = ctx}, out, err);
}

int expr_parse_with(const char *text, const struct expr_names *names, struct expr **out,
                    struct expr_error *err)
{
    struct expr_error ignored;
    size_t nest = 0;
    size_t nnodes = 0;
    struct parser p = {
        .names = names,
        .params = names->params,
        .nest = &nest,
        .nnodes = &nnodes,
        .err = err ? err : &ignored,
    };
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", NULL); /* for the decimal point */
    if (!c_locale)
        return expr_fail(p.err, 1, ENOMEM, "out of memory");
    locale_t before = uselocale(c_locale);
    int ret = parse_text(&p, text, out);
    uselocale(before);
    freelocale(c_locale);
    return ret;
}
