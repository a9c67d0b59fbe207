/* SPDX-License-Identifier: MIT
 *
 * The numbers of one image: those of a run in a row of a table (table.h), over the voxels of a
 * mask whose value is finite. Percentiles as numpy.percentile by default. Thread rule:
 * reentrant.
 */
#ifndef DERIVFS_NUMBERS_H
#define DERIVFS_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/* Where nvox is 0, all others are NaN. */
struct numbers {
    double nvox; /* of the mask, with a finite value */
    double median, mean, p05, p95;
};

/* Measure image[nvox] within mask[nvox], where that is not 0. `scratch` has room for [nvox]; afterwards
 * its first out->nvox are those of the mask, ascending. Besides, numbers_mem_nbytes() are needed
 * meanwhile. */
void numbers_measure(const float *image, const uint8_t *mask, size_t nvox, double *scratch,
                     struct numbers *out);
size_t numbers_mem_nbytes(size_t nvox);

#endif
