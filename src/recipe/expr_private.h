/* SPDX-License-Identifier: MIT
 *
 * Shared by expr*.c: the table of the language, tokens, errors. Calls go downwards only:
 *
 *     expr_parse.c     tokens to a checked tree
 *     expr_name.c      the meaning of names
 *     expr_lex.c       text to tokens
 *     expr.c           the table of expr_ops.h; a tree's rank, type, limits, canonical text
 *
 * Thread rule: no shared state; the table is constant.
 */
#ifndef DERIVFS_EXPR_PRIVATE_H
#define DERIVFS_EXPR_PRIVATE_H

#include "expr.h"

enum {
    EXPR_DEPTH_MAX = 64,   /* levels of the tree */
    EXPR_NODES_MAX = 4096, /* nodes of the tree, included recipes counted */
};

/* How an operation is written. */
enum expr_form {
    FORM_LEAF,      /* a number, bold, file("...") */
    FORM_FUNCTION,  /* name(...) */
    FORM_PREFIX,    /* -x */
    FORM_INFIX,     /* a + b */
    FORM_SUBSCRIPT, /* x[..., ...] */
};

/* When is the result a mask? Arithmetic on masks alone is refused: in numpy it is logic or an error,
 * by operator. */
enum mask_rule {
    MASK_NEVER,
    MASK_ALWAYS,
    MASK_KEEP,   /* when every argument is one */
    MASK_CHOICE, /* when every argument after the first is one */
    MASK_REFUSE, /* never, and not every argument may be one */
    MASK_LOGIC,  /* always, and every argument must be one */
};

/* The number of an operation beside its arguments: its place and type. */
enum expr_param_kind { PARAM_NONE, PARAM_LAST, PARAM_KEYWORD };
enum expr_number { NUMBER_WHOLE, NUMBER_ANY };

/* Python's precedences, the loosest first. */
enum { LEVEL_COMPARE = 1, LEVEL_OR, LEVEL_AND, LEVEL_SUM, LEVEL_PRODUCT, LEVEL_SIGN, LEVEL_POWER };

struct expr_info {
    const char *name; /* as it is written */
    enum expr_kind kind;
    enum expr_form form;
    unsigned level; /* of operators */
    size_t min_args, max_args;
    enum mask_rule mask;
    enum expr_param_kind param;
    const char *param_name;
    enum expr_number param_of;
    double param_max;
};

extern const struct expr_info expr_table[EXPR_NOPS];

/* The operation of this form and name, or NULL. Of two, the first. */
const struct expr_info *expr_info_find(enum expr_form form, const char *name, size_t nbytes);
/* The function that is written like `info`, but has one argument more; NULL: there is none. */
const struct expr_info *expr_info_within(const struct expr_info *info);
enum expr_op expr_info_op(const struct expr_info *info);

/* Report an error at `column`. Returns -code. */
int expr_fail(struct expr_error *err, size_t column, int code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Check that the operation takes `arg`, which starts at `column`, as its argument number `i`. */
int expr_check_arg(const struct expr_info *info, size_t i, const struct expr *arg, size_t column,
                   struct expr_error *err) NODISCARD;
/* Set rank and type of `e`, whose arguments are complete, and check masks and depth. `column` is the
 * place of its operator or function. */
int expr_check_node(struct expr *e, size_t column, struct expr_error *err) NODISCARD;

enum token_kind { TOKEN_END, TOKEN_NUMBER, TOKEN_NAME, TOKEN_STRING, TOKEN_SYMBOL };

struct token {
    enum token_kind kind;
    const char *text; /* [nbytes] in the expression's text */
    size_t nbytes;
    size_t column; /* 1-based */
    double number; /* TOKEN_NUMBER */
    bool whole;    /* TOKEN_NUMBER: of digits alone, and exact in a double; of a parameter, which
                    * may be negative: the value is whole */
};

struct lexer {
    const char *text;
    size_t pos;
};

/* The next token. Numbers are read in the locale of the calling thread, which must be C. */
int lexer_next(struct lexer *lex, struct token *out, struct expr_error *err) NODISCARD;
/* Does "=" come next (and not "==")? */
bool lexer_before_equals(const struct lexer *lex);
/* May the number be a count, without fraction and exact in a double? */
bool lexer_is_whole(double number);
bool lexer_before_call(const struct lexer *lex); /* "("? */
bool token_is(const struct token *t, const char *symbol);

/* Bytes of a token that messages show: a precision for %.*s. */
enum { TOKEN_SHOWN_MAX = 64 };
int token_shown(const struct token *t);

/* The recipes that are being included, innermost first. */
struct inclusion {
    const struct inclusion *outer;
    const char *name;
    size_t nbytes;
};

/* The parser of one text; those of included recipes share the pointers. */
struct parser {
    struct lexer lex;
    struct token token; /* the next one */
    const struct expr_names *names;
    struct expr_params params; /* of this text */
    const struct inclusion *inclusion;
    size_t *nest;
    size_t *nnodes;
    struct expr_error *err;
};

/* The text of this recipe, or NULL. */
const char *parser_recipe(const struct parser *p, const char *name, size_t nbytes);
/* The parameter of this name, or NULL. */
const struct expr_param *parser_param(const struct parser *p, const char *name, size_t nbytes);
/* Report an unknown name (of a function where `call`), with a suggestion. */
int parser_unknown(struct parser *p, const struct token *t, bool call) NODISCARD;
/* ELOOP when the recipe at `t` is being included already. */
int parser_check_cycle(struct parser *p, const struct token *t) NODISCARD;

#endif
