/* SPDX-License-Identifier: MIT
 *
 * Outliers among the numbers of equals.
 *
 * A number is judged in two ways, both robust: an outlier does not hide itself or others by widening
 * the measure of spread.
 *
 *     fences      outside the quartiles by more than 1.5 interquartile ranges
 *                 (J. W. Tukey, Exploratory Data Analysis, 1977)
 *     robust z    0.6745 (x - median) / MAD, beyond 3.5 on either side; MAD is the median of
 *                 |x - median|, and 0.6745 makes z a z-score where the numbers are normal
 *                 (B. Iglewicz and D. C. Hoaglin, How to Detect and Handle Outliers, 1993)
 *
 * It is an outlier if both say so, and doubtful if one does: of normal numbers the fences alone mark
 * one in every third to fourth group of 5 to 20. In groups whose numbers hardly differ, both would mark
 * what makes no difference, so a number within a tenth of the median is never marked. Fewer than
 * OUTLIERS_MIN numbers are not judged. Thread rule: reentrant.
 */
#ifndef DERIVFS_OUTLIERS_H
#define DERIVFS_OUTLIERS_H

#include <stddef.h>

enum { OUTLIERS_MIN = 5 };

/* The definitions in texts for people. */
#define OUTLIERS_FENCES "1.5 interquartile ranges outside the quartiles (Tukey 1977)"
#define OUTLIERS_Z "0.6745 (x - median) / MAD (Iglewicz and Hoaglin 1993)"
#define OUTLIERS_Z_LIMIT "3.5"
#define OUTLIERS_TENTH "a tenth"

/* How the finite numbers of a group spread. */
struct spread {
    size_t n;
    double median, mad;
    double q1, q3;
    double low, high; /* the fences */
};

enum verdict {
    VERDICT_NONE, /* not a finite number */
    VERDICT_FEW,  /* the group is too small to judge */
    VERDICT_NO,
    VERDICT_LOW,
    VERDICT_HIGH,
    VERDICT_DOUBT_LOW,
    VERDICT_DOUBT_HIGH,
};

/* "n/a", "too few", "no", "low", "high", "low?", "high?" */
const char *verdict_name(enum verdict v);

/* Measure values[n], all finite, which are overwritten. Percentiles as numpy.percentile by default. */
struct spread outliers_spread(double *values, size_t n);

/* The robust z of x; where MAD is 0, 0 for the median and else infinite. NaN in a group that is too
 * small, and of NaN. */
double outliers_z(const struct spread *s, double x);

enum verdict outliers_judge(const struct spread *s, double x);

#endif
