/* SPDX-License-Identifier: MIT
 *
 * The types of stored voxels, in NIfTI headers and in kernels.
 */
#ifndef DERIVFS_SAMPLE_H
#define DERIVFS_SAMPLE_H

/* Every real datatype of NIfTI. */
enum sample_type {
    SAMPLE_UINT8,
    SAMPLE_INT8,
    SAMPLE_UINT16,
    SAMPLE_INT16,
    SAMPLE_UINT32,
    SAMPLE_INT32,
    SAMPLE_UINT64,
    SAMPLE_INT64,
    SAMPLE_FLOAT32,
    SAMPLE_FLOAT64,
};

#endif
