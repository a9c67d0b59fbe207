/* SPDX-License-Identifier: MIT
 *
 * The rows of expr_ops.h as a table, for lexer, parser, checks and printer.
 */
#include "expr_priv.h"
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

const struct expr_info *expr_info_find(enum expr_form form, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < EXPR_NOPS; i++)
        if (expr_table[i].form == form && text_is(expr_table[i].name, name, nbytes))
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
