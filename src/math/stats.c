/* SPDX-License-Identifier: MIT
 *
 * Order statistics by one sort: O(n log n). No result depends on the order of the values before.
 */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

size_t stats_gather(const float *image, const uint8_t *mask, size_t nvox, double *out)
{
    size_t n = 0;

    for (size_t i = 0; i < nvox; i++)
        if ((!mask || mask[i]) && isfinite(image[i]))
            out[n++] = (double)image[i];
    return n;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void stats_sort(double *values, size_t n)
{
    if (n > 1)
        qsort(values, n, sizeof *values, compare);
}

double stats_percentile(const double *sorted, size_t n, double q)
{
    double at, part;
    size_t i;

    if (n == 0)
        return NAN;
    at = q / 100 * (double)(n - 1);
    i = (size_t)at;
    if (i + 1 >= n)
        return sorted[n - 1];
    part = at - (double)i;
    /* weights, not a difference: that of two huge numbers may be infinite */
    return sorted[i] * (1 - part) + sorted[i + 1] * part;
}

double stats_mean(const double *values, size_t n)
{
    double sum = 0;

    if (n == 0)
        return NAN;
    for (size_t i = 0; i < n; i++)
        sum += values[i] / (double)n;
    return sum;
}

struct sum {
    double high, low;
};

/* Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen",
 * Zeitschrift fuer Angewandte Mathematik und Mechanik 54, 1974. */
static void sum_add(struct sum *s, double value)
{
    double sum = s->high + value;

    s->low += fabs(s->high) >= fabs(value) ? (s->high - sum) + value : (value - sum) + s->high;
    s->high = sum;
}

double stats_sum(const double *values, size_t n)
{
    struct sum s = {0, 0};

    for (size_t i = 0; i < n; i++)
        sum_add(&s, values[i]);
    return isfinite(s.high) ? s.high + s.low : s.high;
}

double stats_variance(const double *values, size_t n, double ddof)
{
    double mean = stats_sum(values, n) / (double)n, divisor = (double)n - ddof;
    struct sum s = {0, 0};

    for (size_t i = 0; i < n; i++)
        sum_add(&s, (values[i] - mean) * (values[i] - mean));
    return n == 0 ? NAN : (s.high + s.low) / (divisor > 0 ? divisor : 0);
}
