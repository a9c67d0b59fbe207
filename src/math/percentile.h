/* SPDX-License-Identifier: MIT
 *
 * Percentiles of many columns at once; a column is the series of one voxel.
 *
 * Columns stand side by side in rows of PERCENTILE_LANES, a row for each volume. Which memory and
 * which instruction set changes no bit of a result. Thread rule: reentrant; uses the stack only.
 */
#ifndef DERIVFS_PERCENTILE_H
#define DERIVFS_PERCENTILE_H

#include <stddef.h>
#include <stdint.h>

enum { PERCENTILE_LANES = 64 };

/* out[PERCENTILE_LANES] = the percentiles of slope * (x + offset) + inter of x[nvol][LANES]; slope is
 * positive. `nvol` is at least 1, `percent` 0 to 100. Between two values: at one half the formula of
 * numpy.median(), else that of numpy.percentile(). */
void percentile_int16(const int16_t *x, size_t nvol, double percent, int32_t offset, double slope,
                      double inter, double *out);

/* Float64 as integers of the same order, -0 before 0, NaN at the ends; in place or not. */
void percentile_keys(const double *values, size_t n, int64_t *keys);

/* The same of values as keys x[nvol][LANES]; room[nvol][LANES] is overwritten. A column with a NaN
 * gives NaN. Infinite values count:
 * numpy.percentile() subtracts, which makes NaN of most of them; here NaN is only what lies between
 * two infinities of different sign. */
void percentile_float64(const int64_t *x, size_t nvol, double percent, int16_t *room, double *out);

#endif
