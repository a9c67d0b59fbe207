/* SPDX-License-Identifier: MIT
 *
 * Evaluate an expression over one tile of voxels.
 *
 *     (mean / std) > 2      mean -> out,  std -> b,  out = out / b,  2 -> b,  out = out > b
 *
 * The first argument of a node is computed in place, each other in a tile on the stack: an operator
 * costs one pass over at most 4 KiB in the first-level cache, and the deepest tree half a megabyte
 * of stack. Each operation is a loop over arrays that do not overlap, which the compiler vectorizes;
 * a value does not depend on where its tile begins.
 */
#include "eval.h"

#include <float.h>
#include <math.h>

/* The arithmetic of an operation of expr_ops.h: the new x[i], from x[i], its first argument, and the
 * others, y[i] and z[i]. */
#define OPERATION(op, value)                                                                       \
    static void apply_##op(const struct expr *e, size_t n, double *restrict x,                     \
                           const double *restrict y, const double *restrict z)                     \
    {                                                                                              \
        (void)e, (void)y, (void)z;                                                                 \
        for (size_t i = 0; i < n; i++)                                                             \
            x[i] = (value);                                                                        \
    }

typedef void apply_fn(const struct expr *e, size_t n, double *restrict x, const double *restrict y,
                      const double *restrict z);

static double finite_of(double v)
{
    if (isnan(v))
        return 0;
    return v > DBL_MAX ? DBL_MAX : v < -DBL_MAX ? -DBL_MAX : v;
}

OPERATION(NEG, -x[i])
OPERATION(NOT, x[i] == 0)
OPERATION(ABS, fabs(x[i]))
OPERATION(SQRT, sqrt(x[i]))
OPERATION(EXP, exp(x[i]))
OPERATION(LOG, log(x[i]))
OPERATION(ISFINITE, fabs(x[i]) <= DBL_MAX)
OPERATION(NAN_TO_NUM, finite_of(x[i]))
OPERATION(ADD, x[i] + y[i])
OPERATION(SUB, x[i] - y[i])
OPERATION(MUL, x[i] * y[i])
OPERATION(DIV, x[i] / y[i])
OPERATION(LT, x[i] < y[i])
OPERATION(LE, x[i] <= y[i])
OPERATION(GT, x[i] > y[i])
OPERATION(GE, x[i] >= y[i])
OPERATION(EQ, x[i] == y[i])
OPERATION(NE, x[i] != y[i])
OPERATION(AND, x[i] != 0 && y[i] != 0)
OPERATION(OR, x[i] != 0 || y[i] != 0)
OPERATION(WHERE, x[i] != 0 ? y[i] : z[i])

OPERATION(SQUARE, x[i] * x[i])
OPERATION(RECIPROCAL, 1 / x[i])
OPERATION(ANY_POWER, pow(x[i], y[i]))

/* numpy computes some powers by another function where the exponent is one number for an array, with
 * other results: (-inf) ** 0.5 is NaN, pow(-inf, 0.5) is inf. */
static void apply_POW(const struct expr *e, size_t n, double *restrict x, const double *restrict y,
                      const double *restrict z)
{
    bool by_number = e->args[0]->rank != EXPR_SCALAR && e->args[1]->rank == EXPR_SCALAR;

    if (n > 0 && by_number && y[0] == 2)
        apply_SQUARE(e, n, x, y, z);
    else if (n > 0 && by_number && y[0] == 0.5)
        apply_SQRT(e, n, x, y, z);
    else if (n > 0 && by_number && y[0] == -1)
        apply_RECIPROCAL(e, n, x, y, z);
    else
        apply_ANY_POWER(e, n, x, y, z);
}

#define ROW(kind, op, text, form, masks, number) [EXPR_##op] = apply_##op,

static apply_fn *const operations[EXPR_NOPS] = {EXPR_ELEMENTWISE(ROW, )};

/* Separate functions: a node needs only the stack of its own tiles. */
static __attribute__((noinline)) void eval_two(const struct expr *e, eval_leaf_fn *leaf, void *ctx,
                                               size_t n, double *x)
{
    double y[EVAL_TILE];
    eval_tile(e->args[0], leaf, ctx, n, x);
    eval_tile(e->args[1], leaf, ctx, n, y);
    operations[e->op](e, n, x, y, NULL);
}

static __attribute__((noinline)) void eval_three(const struct expr *e, eval_leaf_fn *leaf,
                                                 void *ctx, size_t n, double *x)
{
    double y[EVAL_TILE];
    double z[EVAL_TILE];
    eval_tile(e->args[0], leaf, ctx, n, x);
    eval_tile(e->args[1], leaf, ctx, n, y);
    eval_tile(e->args[2], leaf, ctx, n, z);
    operations[e->op](e, n, x, y, z);
}

static void fill(size_t n, double *out, double number)
{
    for (size_t i = 0; i < n; i++)
        out[i] = number;
}

void eval_tile(const struct expr *e, eval_leaf_fn *leaf, void *ctx, size_t n, double *out)
{
    if (leaf(ctx, e, n, out))
        return;
    switch (expr_op_kind(e->op)) {
    case EXPR_KIND_NUMBER:
        fill(n, out, e->number);
        return;
    case EXPR_KIND_ELEMENTWISE:
        if (e->nargs == 3) {
            eval_three(e, leaf, ctx, n, out);
        } else if (e->nargs == 2) {
            eval_two(e, leaf, ctx, n, out);
        } else {
            eval_tile(e->args[0], leaf, ctx, n, out);
            operations[e->op](e, n, out, NULL, NULL);
        }
        return;
    case EXPR_KIND_BOLD: /* a leaf of the caller, by contract */
    case EXPR_KIND_FILE:
    case EXPR_KIND_WITHIN:
    case EXPR_KIND_OTSU:
    case EXPR_KIND_FOUND:
    case EXPR_KIND_COORDINATE:
    case EXPR_KIND_MOMENTS:
    case EXPR_KIND_PERCENTILES:
    case EXPR_KIND_INDEX:
    case EXPR_KIND_SLICE:
    case EXPR_KIND_DROP:
    case EXPR_KIND_DETREND:
    case EXPR_KIND_DEMEAN:
    case EXPR_KIND_ZSCORE:
    case EXPR_KIND_CONCAT:
        fill(n, out, NAN);
        return;
    }
}
