/* SPDX-License-Identifier: MIT
 *
 * Stored samples to float64 intensities.
 */
#include "kernel_private.h"

#include <string.h>

/* Samples turned at a time, on the stack: 4 KiB of the widest type. */
enum { SCALE_TILE = 512 };

#define DEFINE_CONVERT(type)                                                                       \
    VECTOR_LOOP static void convert_##type(size_t n, const type *restrict x, double *restrict out) \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            out[i] = (double)x[i];                                                                 \
    }

DEFINE_CONVERT(uint8_t)
DEFINE_CONVERT(int8_t)
DEFINE_CONVERT(uint16_t)
DEFINE_CONVERT(int16_t)
DEFINE_CONVERT(uint32_t)
DEFINE_CONVERT(int32_t)
DEFINE_CONVERT(uint64_t)
DEFINE_CONVERT(int64_t)
DEFINE_CONVERT(float)

#define CONVERT(type)                                                                              \
    convert_##type(n, (const type *)samples + at, room);                                           \
    return room

const double *kernel_as_float64(enum sample_type type, const void *samples, size_t at, size_t n,
                                double *room)
{
    switch (type) {
    case SAMPLE_UINT8:
        CONVERT(uint8_t);
    case SAMPLE_INT8:
        CONVERT(int8_t);
    case SAMPLE_UINT16:
        CONVERT(uint16_t);
    case SAMPLE_INT16:
        CONVERT(int16_t);
    case SAMPLE_UINT32:
        CONVERT(uint32_t);
    case SAMPLE_INT32:
        CONVERT(int32_t);
    case SAMPLE_UINT64:
        CONVERT(uint64_t);
    case SAMPLE_INT64:
        CONVERT(int64_t);
    case SAMPLE_FLOAT32:
        CONVERT(float);
    case SAMPLE_FLOAT64:
        break;
    }
    return (const double *)samples + at;
}

VECTOR_LOOP static void scale(size_t n, const double *x, double slope, double inter, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = slope * x[i] + inter;
}

void kernel_scale(enum sample_type type, bool swap, const void *samples, size_t n, double slope,
                  double inter, double *out)
{
    size_t nbytes = kernel_sample_nbytes(type);
    double turned[SCALE_TILE];

    for (size_t at = 0; at < n; at += SCALE_TILE) {
        size_t ntile = n - at < SCALE_TILE ? n - at : SCALE_TILE;
        const char *from = (const char *)samples + at * nbytes;

        if (swap) {
            memcpy(turned, from, ntile * nbytes);
            kernel_swap(turned, ntile, nbytes);
            from = (const char *)turned;
        }
        scale(ntile, kernel_as_float64(type, from, 0, ntile, out + at), slope, inter, out + at);
    }
}
