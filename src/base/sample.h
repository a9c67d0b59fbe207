/* SPDX-License-Identifier: MIT
 *
 * The types of stored voxels, in NIfTI headers and in kernels.
 */
#ifndef DERIVFS_SAMPLE_H
#define DERIVFS_SAMPLE_H

#include <stdint.h>

/* The voxel datatypes that derivfs computes with: every real one of the standard. Columns: the
 * constant, numpy's name, the type in C. */
#define SAMPLE_TYPES_CONVERTED(ROW) /* to FLOAT64 */                                               \
    ROW(UINT8, "uint8", uint8_t)                                                                   \
    ROW(INT8, "int8", int8_t)                                                                      \
    ROW(UINT16, "uint16", uint16_t)                                                                \
    ROW(INT16, "int16", int16_t)                                                                   \
    ROW(UINT32, "uint32", uint32_t)                                                                \
    ROW(INT32, "int32", int32_t)                                                                   \
    ROW(UINT64, "uint64", uint64_t)                                                                \
    ROW(INT64, "int64", int64_t)                                                                   \
    ROW(FLOAT32, "float32", float)
#define SAMPLE_TYPES(ROW) SAMPLE_TYPES_CONVERTED(ROW) ROW(FLOAT64, "float64", double)

#define SAMPLE_TYPE(name, ...) SAMPLE_##name,
enum sample_type { SAMPLE_TYPES(SAMPLE_TYPE) };
#undef SAMPLE_TYPE

#endif
