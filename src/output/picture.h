/* SPDX-License-Identifier: MIT
 *
 * A picture of an image: a mosaic of axial slices with a colour bar, as a PNG file.
 *
 *     title                                   median
 *     recipe, expression, data           in the head
 *     R +-----+ +-----+ +-----+ L             _
 *       |     | |     | |     |              | |
 *       +-----+ +-----+ +-----+              | |   colour bar
 *     R +-----+ +-----+        L             |_|
 *     convention, colours, mask
 *
 * Radiological convention: the patient's right is on the left of each slice, anterior is up,
 * slices run from inferior to superior. The image's axes count as the nearest ones of the patient;
 * voxels keep their values and aspect ratio, NaN is transparent. The size of the file depends on
 * the grid alone, so it is known before the image. Equal input gives equal bytes with the same
 * fonts and libraries. Hides cairo (text), libpng and the colour map. Thread rule: all functions
 * are reentrant.
 */
#ifndef DERIVFS_PICTURE_H
#define DERIVFS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "caption.h"
#include "error.h"
#include "nifti.h"

/* The input; all borrowed. */
struct picture_input {
    const struct nifti *grid;
    const float *image;  /* [nz][ny][nx], x fastest */
    const uint8_t *mask; /* the same axes; not 0 in the brain or head (caption) */
    size_t nmask;        /* voxels in it */
    const struct caption *caption;
};

/* Exact size of the file. */
uint64_t picture_nbytes(const struct nifti *grid);

/* Memory that picture_make() needs, its result included. */
size_t picture_mem_nbytes(const struct nifti *grid);

/* Draw. *png is malloced, of picture_nbytes(). It has the texts as iTXt (PNG specification
 * 11.3.3.4): Title, Description, Expression, Unit, Software; and as numbers with 9 digits Median
 * (of finite voxels in the mask, or nan), Range (of the colours: two numbers) and the mask's voxels as
 * Head or Brain.
 * ENOMEM; EIO: a library failed. */
int picture_make(const struct picture_input *in, unsigned char **png, struct error *err) NODISCARD;

#endif
