/* SPDX-License-Identifier: MIT
 *
 * Stored samples to float64 intensities, and values to what is written.
 *
 * NaN is told from its bits: a compiler may take one NaN for another.
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

VECTOR_LOOP void kernel_round(const double *restrict values, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        float rounded = (float)values[i];
        int32_t bits;

        memcpy(&bits, &rounded, sizeof bits);
        bits = (bits & INT32_MAX) > INT32_C(0x7f800000) ? INT32_C(0x7fc00000) : bits;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

VECTOR_LOOP void kernel_settle_nan(const double *restrict values, size_t n, double *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        int64_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        bits =
            (bits & INT64_MAX) > INT64_C(0x7ff0000000000000) ? INT64_C(0x7ff8000000000000) : bits;
        memcpy(&out[i], &bits, sizeof bits);
    }
}
