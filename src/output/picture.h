/* SPDX-License-Identifier: MIT
 *
 * A picture of an image: a mosaic of axial slices with a colour bar, as a PNG file.
 *
 *     title                                   median
 *     what it shows, of which data       in the head
 *     R +-----+ +-----+ +-----+ L             _
 *       |     | |     | |     |              | |
 *       +-----+ +-----+ +-----+              | |   colour bar
 *     R +-----+ +-----+        L             |_|
 *     convention, colours, head mask
 *
 * Radiological convention: the patient's right is on the left of each slice, anterior up, slices
 * from inferior to superior. The image's axes are taken for the nearest ones of the patient; voxels
 * are shown as they are, without interpolation, in their own aspect ratio. What is not a number is
 * transparent. The file's size follows from the grid alone, so that it is known before there is an
 * image. Equal input gives equal bytes as long as fonts and libraries are the same.
 * Hides cairo (text), libpng and the colour map. Thread rule: all functions are reentrant.
 */
#ifndef DERIVFS_PICTURE_H
#define DERIVFS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "nifti.h"

/* What is to be drawn; all borrowed, texts in UTF-8. */
struct picture_input {
    const struct nifti *grid;
    const float *image; /* [nz][ny][nx], x fastest */
    const double *mean; /* the same axes: the head mask is made of it (headmask.h) */
    const char *title;
    const char *name;        /* of what is shown: "tsnr" */
    const char *description; /* "" where there is none */
    const char *expression;
    const char *extent; /* "2 runs, 480 volumes" */
};

/* Exact size of the file. */
uint64_t picture_nbytes(const struct nifti *grid);

/* What picture_make() needs meanwhile, its result included. */
size_t picture_mem_nbytes(const struct nifti *grid);

/* Draw. *png is malloced, of picture_nbytes(). The texts of the picture are in the file once more,
 * by these keywords (iTXt, PNG specification 11.3.3.4): Title, Description, Expression, Software;
 * and as numbers, with 9 digits, Median (of the finite voxels in the head; nan where there are
 * none), Range (of the colours: two numbers) and Head (its voxels). ENOMEM; EIO: a library
 * failed. */
int picture_make(const struct picture_input *in, unsigned char **png, struct error *err) NODISCARD;

#endif
