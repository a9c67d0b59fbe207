/* SPDX-License-Identifier: MIT
 *
 * How a voxel is stored: what NIfTI headers say and kernels read.
 */
#ifndef DERIVFS_SAMPLE_H
#define DERIVFS_SAMPLE_H

/* The voxel datatypes that derivfs computes with: every real one of the standard. */
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
