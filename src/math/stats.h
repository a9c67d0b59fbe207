/* SPDX-License-Identifier: MIT
 *
 * Order statistics of voxels: gather values, sort them once, then ask for any percentile. Thread
 * rule: all functions are reentrant.
 */
#ifndef DERIVFS_STATS_H
#define DERIVFS_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Copy the finite values of image[nvox] whose mask[i] is not 0 (mask NULL: all) to out[nvox], in
 * their order; returns how many. */
size_t stats_gather(const float *image, const uint8_t *mask, size_t nvox, double *out);

/* Sort ascending; none of values[n] may be NaN. */
void stats_sort(double *values, size_t n);

/* The q-th percentile (0 to 100) of sorted[n], between two values by linear interpolation, as
 * numpy.percentile does by default. NaN where n is 0. */
double stats_percentile(const double *sorted, size_t n, double q);

/* Arithmetic mean of values[n]; NaN where n is 0. */
double stats_mean(const double *values, size_t n);

/* The next two are as good as with twice the digits (Neumaier's summation), in the order of values[n].
 * Sum. */
double stats_sum(const double *values, size_t n);
/* Variance about the mean, divided by n less ddof, or by 0, as numpy does; NaN where n is 0. */
double stats_variance(const double *values, size_t n, double ddof);

#endif
