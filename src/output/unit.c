/* SPDX-License-Identifier: MIT
 *
 * Dimensional analysis: the power of the samples' unit in the value. A number next to a plus or a
 * comparison has the unit of the other side.
 */
#include "unit.h"

#include <math.h>

/* The power of a number that stands by itself. */
static const double ANY = INFINITY;

static double common(double a, double b)
{
    return isinf(a) ? b : isinf(b) || a == b ? a : NAN;
}

/* Does the value have the unit of its first argument? */
static bool keeps_unit(enum expr_op op)
{
    static const enum expr_op keeping[] = {
        EXPR_NEG,   EXPR_ABS,   EXPR_NAN_TO_NUM, EXPR_MEAN,    EXPR_STD,
        EXPR_SUM,   EXPR_MIN,   EXPR_MAX,        EXPR_MEDIAN,  EXPR_PERCENTILE,
        EXPR_INDEX, EXPR_SLICE, EXPR_DROP,       EXPR_DETREND, EXPR_DEMEAN,
    };

    for (size_t i = 0; i < sizeof keeping / sizeof *keeping; i++)
        if (keeping[i] == op)
            return true;
    return false;
}

static double power_of(const struct expr *e);

/* Of a value that combines two; NaN: not known. */
static double power_of_two(const struct expr *e)
{
    double a = power_of(e->args[0]), b = power_of(e->args[1]);

    if (e->op == EXPR_ADD || e->op == EXPR_SUB)
        return common(a, b);
    if (e->op == EXPR_POW && e->args[1]->op == EXPR_NUMBER)
        return isinf(a) ? a : a * e->args[1]->number;
    if (e->op != EXPR_MUL && e->op != EXPR_DIV)
        return NAN;
    if (isinf(a) && isinf(b))
        return ANY;
    a = isinf(a) ? 0 : a;
    b = isinf(b) ? 0 : b;
    return e->op == EXPR_MUL ? a + b : a - b;
}

static double power_of_many(const struct expr *e, size_t first)
{
    double power = ANY;

    for (size_t i = first; i < e->nargs; i++)
        power = common(power, power_of(e->args[i]));
    return power;
}

static double power_of(const struct expr *e)
{
    if (e->mask || e->op == EXPR_ZSCORE)
        return 0;
    if (e->op == EXPR_NUMBER)
        return ANY;
    if (e->op == EXPR_BOLD)
        return 1;
    if (keeps_unit(e->op))
        return power_of(e->args[0]);
    if (e->op == EXPR_VAR)
        return 2 * power_of(e->args[0]);
    if (e->op == EXPR_SQRT)
        return power_of(e->args[0]) / 2;
    if (e->op == EXPR_WHERE || e->op == EXPR_CONCAT)
        return power_of_many(e, e->op == EXPR_WHERE);
    if (e->op == EXPR_EXP || e->op == EXPR_LOG)
        return power_of(e->args[0]) == 0 ? 0 : NAN;
    return e->nargs == 2 ? power_of_two(e) : NAN;
}

const char *unit_of(const struct expr *e)
{
    double power = power_of(e);

    return power == 0 ? "no unit" : power == 1 ? "a.u." : power == 2 ? "a.u.\u00b2" : "";
}
