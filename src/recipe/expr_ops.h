/* SPDX-License-Identifier: MIT
 *
 * The language in one table, a row for each operation. From the rows are made enum expr_op, the
 * lexer's symbols, precedences, argument counts, types and canonical text (expr.c), the
 * arithmetic (eval.c), the statistics (compute_image.c). Where an operation needs code of its own,
 * the row requires a function, or its kind a case in every switch over kinds: without it, the
 * build fails.
 *
 * The columns of X(kind, op, text, form, masks, number):
 *
 *     kind    how it is computed: EXPR_KIND_kind; in the lists of one kind, KIND
 *     op      EXPR_op is the operation
 *     text    how it is written
 *     form    LEAF; PREFIX; INFIX(precedence); SUBSCRIPT; FUNCTION(least, most) arguments
 *     masks   when the result is a mask: MASK_masks (expr_private.h)
 *     number  the number beside its arguments, a WHOLE one or ANY from 0 to `most`:
 *             LAST(name, of, most) as in drop(x, 4), KEYWORD(name, of, most) as in std(x, ddof=1),
 *             or NO_NUMBER
 */
#ifndef DERIVFS_EXPR_OPS_H
#define DERIVFS_EXPR_OPS_H

/* clang-format off */

#define EXPR_LEAVES(X) \
    X(NUMBER,  NUMBER,  "number",     LEAF,             NEVER,  NO_NUMBER) \
    X(BOLD,    BOLD,    "bold",       LEAF,             NEVER,  NO_NUMBER) \
    X(FILE,    FILE,    "file",       LEAF,             NEVER,  NO_NUMBER) \
    EXPR_COORDINATES(X, COORDINATE)

/* The place of a voxel, in the order of axes: its index, and in mm by the affine of the grid. */
#define EXPR_COORDINATES(X, KIND) \
    X(KIND, AT_I,       "i",          LEAF,             NEVER,  NO_NUMBER) \
    X(KIND, AT_J,       "j",          LEAF,             NEVER,  NO_NUMBER) \
    X(KIND, AT_K,       "k",          LEAF,             NEVER,  NO_NUMBER) \
    X(KIND, AT_X,       "x",          LEAF,             NEVER,  NO_NUMBER) \
    X(KIND, AT_Y,       "y",          LEAF,             NEVER,  NO_NUMBER) \
    X(KIND, AT_Z,       "z",          LEAF,             NEVER,  NO_NUMBER)

/* Voxel by voxel, volume by volume: apply_OP() in eval.c. */
#define EXPR_ELEMENTWISE(X, KIND) \
    X(KIND, NEG,        "-",          PREFIX,           REFUSE, NO_NUMBER) \
    X(KIND, ABS,        "abs",        FUNCTION(1, 1),   KEEP,   NO_NUMBER) \
    X(KIND, SQRT,       "sqrt",       FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, EXP,        "exp",        FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, LOG,        "log",        FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, ISFINITE,   "isfinite",   FUNCTION(1, 1),   ALWAYS, NO_NUMBER) \
    X(KIND, NAN_TO_NUM, "nan_to_num", FUNCTION(1, 1),   KEEP,   NO_NUMBER) \
    X(KIND, ADD,        "+",          INFIX(SUM),       REFUSE, NO_NUMBER) \
    X(KIND, SUB,        "-",          INFIX(SUM),       REFUSE, NO_NUMBER) \
    X(KIND, MUL,        "*",          INFIX(PRODUCT),   REFUSE, NO_NUMBER) \
    X(KIND, DIV,        "/",          INFIX(PRODUCT),   REFUSE, NO_NUMBER) \
    X(KIND, POW,        "**",         INFIX(POWER),     REFUSE, NO_NUMBER) \
    X(KIND, LT,         "<",          INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, LE,         "<=",         INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, GT,         ">",          INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, GE,         ">=",         INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, EQ,         "==",         INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, NE,         "!=",         INFIX(COMPARE),   ALWAYS, NO_NUMBER) \
    X(KIND, AND,        "&",          INFIX(AND),       LOGIC,  NO_NUMBER) \
    X(KIND, OR,         "|",          INFIX(OR),        LOGIC,  NO_NUMBER) \
    X(KIND, NOT,        "~",          PREFIX,           LOGIC,  NO_NUMBER) \
    X(KIND, WHERE,      "where",      FUNCTION(3, 3),   CHOICE, NO_NUMBER)

/* Series to image, from moments (kernel.h): take_OP() in compute_image.c. */
#define EXPR_MOMENTS(X, KIND) \
    X(KIND, MEAN,       "mean",       FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, STD,        "std",        FUNCTION(1, 1),   NEVER,  KEYWORD("ddof", WHOLE, COUNT_MAX)) \
    X(KIND, VAR,        "var",        FUNCTION(1, 1),   NEVER,  KEYWORD("ddof", WHOLE, COUNT_MAX)) \
    X(KIND, SUM,        "sum",        FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, MIN,        "min",        FUNCTION(1, 1),   KEEP,   NO_NUMBER) \
    X(KIND, MAX,        "max",        FUNCTION(1, 1),   KEEP,   NO_NUMBER)

/* Series to image, from all values of a voxel in their order: percent_OP() in plan_stream.c. */
#define EXPR_PERCENTILES(X, KIND) \
    X(KIND, MEDIAN,     "median",     FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(KIND, PERCENTILE, "percentile", FUNCTION(1, 1),   NEVER,  LAST("q", ANY, 100))

/* An image to a number, over its finite voxels in a mask: within_OP() in compute_image.c. Each is
 * written like the statistic over time, which has one argument less. */
#define EXPR_WITHIN(X, KIND) \
    X(KIND, MEAN_IN,    "mean",       FUNCTION(2, 2),   NEVER,  NO_NUMBER) \
    X(KIND, STD_IN,     "std",        FUNCTION(2, 2),   NEVER,  KEYWORD("ddof", WHOLE, COUNT_MAX)) \
    X(KIND, VAR_IN,     "var",        FUNCTION(2, 2),   NEVER,  KEYWORD("ddof", WHOLE, COUNT_MAX)) \
    X(KIND, SUM_IN,     "sum",        FUNCTION(2, 2),   NEVER,  NO_NUMBER) \
    X(KIND, MIN_IN,     "min",        FUNCTION(2, 2),   NEVER,  NO_NUMBER) \
    X(KIND, MAX_IN,     "max",        FUNCTION(2, 2),   NEVER,  NO_NUMBER) \
    X(KIND, MEDIAN_IN,  "median",     FUNCTION(2, 2),   NEVER,  NO_NUMBER)

/* A volume, and series to series: each is a kind of its own, for timeline.c and plan_stream.c. */
#define EXPR_VOLUMES(X) \
    X(INDEX,   INDEX,   "[..., i]",   SUBSCRIPT,        KEEP,   NO_NUMBER) \
    X(SLICE,   SLICE,   "[..., a:b]", SUBSCRIPT,        KEEP,   NO_NUMBER) \
    X(DROP,    DROP,    "drop",       FUNCTION(1, 1),   KEEP,   LAST("n", WHOLE, COUNT_MAX)) \
    X(DETREND, DETREND, "detrend",    FUNCTION(1, 1),   NEVER,  LAST("order", WHOLE, ORDER_MAX)) \
    X(DEMEAN,  DEMEAN,  "demean",     FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(ZSCORE,  ZSCORE,  "zscore",     FUNCTION(1, 1),   NEVER,  NO_NUMBER) \
    X(CONCAT,  CONCAT,  "concat",     FUNCTION(1, NODES_MAX), KEEP,   NO_NUMBER)

/* An image as a whole, and one of two: each is a kind of its own, for plan.c. */
#define EXPR_IMAGES(X) \
    X(OTSU,    OTSU,    "otsu",       FUNCTION(1, 1),   ALWAYS, NO_NUMBER) \
    X(FOUND,   FOUND,   "found",      FUNCTION(2, 2),   KEEP,   NO_NUMBER)

#define EXPR_OPS(X) \
    EXPR_LEAVES(X) \
    EXPR_ELEMENTWISE(X, ELEMENTWISE) \
    EXPR_MOMENTS(X, MOMENTS) \
    EXPR_PERCENTILES(X, PERCENTILES) \
    EXPR_WITHIN(X, WITHIN) \
    EXPR_IMAGES(X) \
    EXPR_VOLUMES(X)

/* clang-format on */

/* Operations of one kind are computed in the same way. The second column is the rank of the result:
 * that of the widest argument; REDUCE, an image of a series; IMAGE, an image of images; NUMBER, a number of an image and a mask;
 * SERIES, a series of a series. */
#define EXPR_KINDS(X)                                                                              \
    X(NUMBER, WIDEST)                                                                              \
    X(BOLD, WIDEST)                                                                                \
    X(FILE, WIDEST)                                                                                \
    X(COORDINATE, WIDEST)                                                                          \
    X(ELEMENTWISE, WIDEST)                                                                         \
    X(MOMENTS, REDUCE)                                                                             \
    X(PERCENTILES, REDUCE)                                                                         \
    X(WITHIN, NUMBER)                                                                              \
    X(OTSU, IMAGE)                                                                                 \
    X(FOUND, IMAGE)                                                                                \
    X(INDEX, REDUCE)                                                                               \
    X(SLICE, SERIES)                                                                               \
    X(DROP, SERIES)                                                                                \
    X(DETREND, SERIES)                                                                             \
    X(DEMEAN, SERIES)                                                                              \
    X(ZSCORE, SERIES)                                                                              \
    X(CONCAT, SERIES)

#define EXPR_KIND(name, rank) EXPR_KIND_##name,
enum expr_kind { EXPR_KINDS(EXPR_KIND) };

#define EXPR_ENUMERATOR(kind, op, text, form, masks, number) EXPR_##op,
enum expr_op { EXPR_OPS(EXPR_ENUMERATOR) };

#define EXPR_ONE(kind, op, text, form, masks, number) +1
enum { EXPR_NOPS = EXPR_OPS(EXPR_ONE) };

#endif
