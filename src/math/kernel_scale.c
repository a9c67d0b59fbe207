/* SPDX-License-Identifier: MIT
 *
 * Stored samples to float64 intensities.
 */
#include "kernel_private.h"

#include <string.h>

/* Samples whose byte order is swapped at a time, on the stack: 4 KiB of the widest type. */
enum { SCALE_TILE = 512 };

#define DEFINE_CONVERT(name, numpy, type)                                                          \
    VECTOR_LOOP static void convert_##type(size_t n, const type *restrict x, double *restrict out) \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            out[i] = (double)x[i];                                                                 \
    }

SAMPLE_TYPES_CONVERTED(DEFINE_CONVERT)

#define CONVERT(name, numpy, type)                                                                 \
    case SAMPLE_##name:                                                                            \
        convert_##type(n, (const type *)samples + at, room);                                       \
        return room;

const double *kernel_as_float64(enum sample_type type, const void *samples, size_t at, size_t n,
                                double *room)
{
    switch (type) {
        SAMPLE_TYPES_CONVERTED(CONVERT)
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
    double swapped[SCALE_TILE];

    for (size_t at = 0; at < n; at += SCALE_TILE) {
        size_t ntile = n - at < SCALE_TILE ? n - at : SCALE_TILE;
        const char *from = (const char *)samples + at * nbytes;

        if (swap) {
            memcpy(swapped, from, ntile * nbytes);
            kernel_swap(swapped, ntile, nbytes);
            from = (const char *)swapped;
        }
        scale(ntile, kernel_as_float64(type, from, 0, ntile, out + at), slope, inter, out + at);
    }
}
