/* SPDX-License-Identifier: MIT
 *
 * A small picture of an image for the page: some axial slices of the head side by side, oriented as
 * in picture.h.
 *
 * It is kept as values and coloured when the page is made, because the pictures of all runs have one
 * scale, which only the page knows. Thread rule: reentrant.
 */
#ifndef DERIVFS_THUMB_H
#define DERIVFS_THUMB_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "nifti.h"

struct thumb_size {
    int w, h; /* pixels */
};

/* It follows from the grid: at most THUMB_W_MAX by THUMB_H_MAX. */
enum { THUMB_W_MAX = 248, THUMB_H_MAX = 48 };
struct thumb_size thumb_size(const struct nifti *grid);

/* Fill out[h][w] from image[nz][ny][nx] and the head mask of the same axes: a pixel is the mean of the
 * finite voxels that it covers; NaN between slices. */
void thumb_make(const struct nifti *grid, const float *image, const uint8_t *mask, float *out);

/* The PNG file of values[h][w], coloured from `low` to `high`; NaN is transparent. *png is malloced.
 * ENOMEM. */
int thumb_png(const float *values, struct thumb_size size, double low, double high,
              unsigned char **png, size_t *nbytes, struct error *err) NODISCARD;

#endif
