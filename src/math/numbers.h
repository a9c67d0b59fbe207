/* SPDX-License-Identifier: MIT
 *
 * The numbers of one image: those of a run in a row of a table (table.h), over the voxels of the
 * head (headmask.h) whose value is finite. Percentiles as numpy.percentile by default. Thread rule:
 * reentrant.
 */
#ifndef DERIVFS_NUMBERS_H
#define DERIVFS_NUMBERS_H

#include <stddef.h>

#include "error.h"

/* Where nvox is 0, all others are NaN. */
struct numbers {
    double nvox; /* of the head, with a finite value */
    double median, mean, p05, p95;
};

/* Measure image[nvox] within the head that the mean over time mean[nvox] shows; both in the same
 * order of axes. `mean` is overwritten. Needs numbers_mem_nbytes() meanwhile. ENOMEM. */
int numbers_measure(const float *image, double *mean, size_t nvox, struct numbers *out,
                    struct error *err) NODISCARD;
size_t numbers_mem_nbytes(size_t nvox);

#endif
