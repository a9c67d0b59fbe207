/* SPDX-License-Identifier: MIT
 *
 * Two sorts for each group: of the numbers, and of their distances to the median.
 */
#include "outliers.h"

#include <math.h>
#include <stdbool.h>

#include "stats.h"

static const double FENCE = 1.5, TO_Z = 0.6745, Z_MAX = 3.5, TOLERANCE = 0.1;

const char *verdict_name(enum verdict v)
{
    switch (v) {
    case VERDICT_NONE:
        return "n/a";
    case VERDICT_FEW:
        return "too few";
    case VERDICT_NO:
        return "no";
    case VERDICT_LOW:
        return "low";
    case VERDICT_HIGH:
        return "high";
    case VERDICT_DOUBT_LOW:
        return "low?";
    case VERDICT_DOUBT_HIGH:
        return "high?";
    }
    return "";
}

struct spread outliers_spread(double *values, size_t n)
{
    struct spread s = {.n = n};

    stats_sort(values, n);
    s.median = stats_percentile(values, n, 50);
    s.q1 = stats_percentile(values, n, 25);
    s.q3 = stats_percentile(values, n, 75);
    s.low = s.q1 - FENCE * (s.q3 - s.q1);
    s.high = s.q3 + FENCE * (s.q3 - s.q1);
    for (size_t i = 0; i < n; i++)
        values[i] = fabs(values[i] - s.median);
    stats_sort(values, n);
    s.mad = stats_percentile(values, n, 50);
    return s;
}

double outliers_z(const struct spread *s, double x)
{
    if (s->n < OUTLIERS_MIN || !isfinite(x))
        return NAN;
    return x == s->median ? 0 : TO_Z * (x - s->median) / s->mad;
}

enum verdict outliers_judge(const struct spread *s, double x)
{
    bool outside = x < s->low || x > s->high, far = fabs(outliers_z(s, x)) > Z_MAX;

    if (!isfinite(x))
        return VERDICT_NONE;
    if (s->n < OUTLIERS_MIN)
        return VERDICT_FEW;
    if ((!outside && !far) || fabs(x - s->median) <= TOLERANCE * fabs(s->median))
        return VERDICT_NO;
    if (outside && far)
        return x < s->median ? VERDICT_LOW : VERDICT_HIGH;
    return x < s->median ? VERDICT_DOUBT_LOW : VERDICT_DOUBT_HIGH;
}
