/* SPDX-License-Identifier: MIT
 *
 * Otsu's threshold, without a histogram.
 *
 * The threshold splits the sorted values in two classes with the largest variance between them,
 * w0 w1 (mu1 - mu0)^2. Running sums allow to try every split: no bins to choose, and the mask does
 * not depend on the image's scale. Values above the 98th percentile count as that percentile,
 * because a few very bright voxels (vessels, a spike) would get a class of their own. Cost: one
 * sort.
 */
#include "headmask.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "stats.h"

enum { BRIGHTEST_PERCENTILE = 98 };

/* A value as a fraction of the way from `low` to `top`; above, 1. Halves, because the difference of
 * two huge numbers may be infinite. */
static double scaled(double value, double low, double top)
{
    return value < top ? (value / 2 - low / 2) / (top / 2 - low / 2) : 1;
}

/* The largest of sorted[n] below the threshold. The first is less than `top`, the last is not. */
static double darkest_class_ends(const double *sorted, size_t n, double top)
{
    double total = 0, below = 0, best = -1, end = sorted[0];

    for (size_t i = 0; i < n; i++)
        total += scaled(sorted[i], sorted[0], top);
    for (size_t i = 1; i < n; i++) {
        double n0 = (double)i, n1 = (double)(n - i), distance, between;

        below += scaled(sorted[i - 1], sorted[0], top);
        if (sorted[i] <= sorted[i - 1] || sorted[i - 1] >= top)
            continue;
        distance = (total - below) / n1 - below / n0;
        between = n0 * n1 * distance * distance;
        if (between > best) {
            best = between;
            end = sorted[i - 1];
        }
    }
    return end;
}

/* The head is brighter than this; `values` has room for mean[nvox]. */
static double threshold_of(const double *mean, size_t nvox, double *values)
{
    double top;
    size_t n = 0;

    for (size_t i = 0; i < nvox; i++)
        if (isfinite(mean[i]))
            values[n++] = mean[i];
    stats_sort(values, n);
    if (n == 0 || values[0] >= values[n - 1])
        return -INFINITY;
    top = stats_percentile(values, n, BRIGHTEST_PERCENTILE);
    if (top <= values[0]) /* a few bright voxels in nothing else */
        top = values[n - 1];
    return darkest_class_ends(values, n, top);
}

size_t headmask_mem_nbytes(size_t nvox)
{
    return nvox * sizeof(double);
}

int headmask_otsu(const double *mean, size_t nvox, uint8_t *mask, size_t *nhead, struct error *err)
{
    double *values = malloc(headmask_mem_nbytes(nvox) + 1);
    double threshold;

    if (!values)
        return error_set(err, ENOMEM, "head mask: out of memory");
    threshold = threshold_of(mean, nvox, values);
    free(values);
    *nhead = 0;
    for (size_t i = 0; i < nvox; i++) {
        mask[i] = isfinite(mean[i]) && mean[i] > threshold;
        *nhead += mask[i];
    }
    return 0;
}
