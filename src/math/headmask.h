/* SPDX-License-Identifier: MIT
 *
 * A simple head mask: which voxels of a mean image are not air.
 *
 * Otsu's threshold (N. Otsu, "A threshold selection method from gray-level histograms", IEEE
 * Transactions on Systems, Man, and Cybernetics 9(1), 1979) on the intensities alone: no smoothing,
 * no holes filled, no skull stripped. Thread rule: reentrant.
 */
#ifndef DERIVFS_HEADMASK_H
#define DERIVFS_HEADMASK_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* The mask's definition in texts for people. */
#define HEADMASK_DEFINITION "Otsu's threshold of the mean over time"

/* Fill mask[nvox] from the mean over time mean[nvox] (any order of axes): 1 in the head, which is
 * finite and brighter than the threshold, else 0. Where all finite values are equal, all of them are
 * head. *nhead counts its voxels; 0 only where none is finite. Needs headmask_mem_nbytes()
 * meanwhile. ENOMEM. */
int headmask_otsu(const double *mean, size_t nvox, uint8_t *mask, size_t *nhead,
                  struct error *err) NODISCARD;
size_t headmask_mem_nbytes(size_t nvox);

#endif
