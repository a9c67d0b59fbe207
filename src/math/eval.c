/* SPDX-License-Identifier: MIT
 *
 * Evaluate an expression over one tile of voxels.
 *
 *     (mean / std) > 2      mean -> out,  std -> b,  out = out / b,  2 -> b,  out = out > b
 *
 * The first argument of a node is computed in place, each further one in a tile on the stack, so
 * that an operator costs one pass over at most 4 KiB that stay in the first-level cache, and a tree
 * of the greatest depth half a megabyte of stack. Each operation is a plain loop over arrays that
 * do not overlap, which the compiler turns into vector code; no order of additions is involved, so
 * a value does not depend on where the tile begins.
 */
#include "eval.h"

#include <float.h>
#include <math.h>

#define EACH(expression)                                                                           \
    for (size_t i = 0; i < n; i++)                                                                 \
    x[i] = (expression)

static double finite_of(double v)
{
    if (isnan(v))
        return 0;
    return v > DBL_MAX ? DBL_MAX : v < -DBL_MAX ? -DBL_MAX : v;
}

/* x = op(x) */
static void apply_one(enum expr_op op, size_t n, double *x)
{
    switch (op) {
    case EXPR_NEG:
        EACH(-x[i]);
        break;
    case EXPR_ABS:
        EACH(fabs(x[i]));
        break;
    case EXPR_SQRT:
        EACH(sqrt(x[i]));
        break;
    case EXPR_EXP:
        EACH(exp(x[i]));
        break;
    case EXPR_LOG:
        EACH(log(x[i]));
        break;
    case EXPR_ISFINITE:
        EACH(fabs(x[i]) <= DBL_MAX);
        break;
    case EXPR_NAN_TO_NUM:
        EACH(finite_of(x[i]));
        break;
    default: /* a leaf that was not given: nothing must look like a result */
        EACH(NAN);
        break;
    }
}

/* numpy takes a shorter way for these exponents where the exponent is one number for an array. It
 * shows: (-inf) ** 0.5 is NaN there, pow(-inf, 0.5) is inf. */
static bool apply_power_by_number(size_t n, double *restrict x, double exponent)
{
    if (exponent == 2) {
        EACH(x[i] * x[i]);
    } else if (exponent == 0.5) {
        EACH(sqrt(x[i]));
    } else if (exponent == -1) {
        EACH(1 / x[i]);
    } else {
        return false;
    }
    return true;
}

/* x = x op y */
static void apply_two(const struct expr *e, size_t n, double *restrict x, const double *restrict y)
{
    switch (e->op) {
    case EXPR_ADD:
        EACH(x[i] + y[i]);
        break;
    case EXPR_SUB:
        EACH(x[i] - y[i]);
        break;
    case EXPR_MUL:
        EACH(x[i] * y[i]);
        break;
    case EXPR_DIV:
        EACH(x[i] / y[i]);
        break;
    case EXPR_POW:
        if (n > 0 && e->args[0]->rank != EXPR_SCALAR && e->args[1]->rank == EXPR_SCALAR &&
            apply_power_by_number(n, x, y[0]))
            break;
        EACH(pow(x[i], y[i]));
        break;
    case EXPR_LT:
        EACH(x[i] < y[i]);
        break;
    case EXPR_LE:
        EACH(x[i] <= y[i]);
        break;
    case EXPR_GT:
        EACH(x[i] > y[i]);
        break;
    case EXPR_GE:
        EACH(x[i] >= y[i]);
        break;
    case EXPR_EQ:
        EACH(x[i] == y[i]);
        break;
    case EXPR_NE:
        EACH(x[i] != y[i]);
        break;
    default:
        EACH(NAN);
        break;
    }
}

/* Functions of their own, so that a node has on the stack only the tiles that it needs. */
static __attribute__((noinline)) void eval_two(const struct expr *e, eval_leaf_fn *leaf, void *ctx,
                                               size_t n, double *x)
{
    double y[EVAL_TILE];
    eval_tile(e->args[0], leaf, ctx, n, x);
    eval_tile(e->args[1], leaf, ctx, n, y);
    apply_two(e, n, x, y);
}

static __attribute__((noinline)) void eval_where(const struct expr *e, eval_leaf_fn *leaf,
                                                 void *ctx, size_t n, double *restrict x)
{
    double a[EVAL_TILE];
    double b[EVAL_TILE];
    eval_tile(e->args[0], leaf, ctx, n, x);
    eval_tile(e->args[1], leaf, ctx, n, a);
    eval_tile(e->args[2], leaf, ctx, n, b);
    EACH(x[i] != 0 ? a[i] : b[i]);
}

void eval_tile(const struct expr *e, eval_leaf_fn *leaf, void *ctx, size_t n, double *out)
{
    if (leaf(ctx, e, n, out))
        return;
    if (e->op == EXPR_NUMBER) {
        for (size_t i = 0; i < n; i++)
            out[i] = e->number;
    } else if (e->op == EXPR_WHERE) {
        eval_where(e, leaf, ctx, n, out);
    } else if (e->nargs == 2) {
        eval_two(e, leaf, ctx, n, out);
    } else {
        if (e->nargs == 1)
            eval_tile(e->args[0], leaf, ctx, n, out);
        apply_one(e->op, n, out);
    }
}
