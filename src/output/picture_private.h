/* SPDX-License-Identifier: MIT
 *
 * The parts of a picture: picture.c (numbers, and the order) uses picture_layout.c (positions),
 * picture_colour.c (the palette), picture_text.c (letters and lines) and picture_png.c (the file).
 * thumb.c has axes and palette in common with it.
 */
#ifndef DERIVFS_PICTURE_PRIVATE_H
#define DERIVFS_PICTURE_PRIVATE_H

#include <stdbool.h>

#include "picture.h"

/* ---- picture_layout.c ---- */

/* Axes of the patient: to the right, to the front, up. */
enum { RIGHT, ANTERIOR, SUPERIOR };

struct box {
    int x, y, w, h; /* pixels, from the upper left corner */
};

struct layout {
    int axis[3];      /* the voxel axis that is nearest to each axis of the patient */
    bool backward[3]; /* that axis runs the other way */
    int64_t dim[3];   /* voxels along each axis of the patient */

    int nslices; /* shown: first_slice, first_slice + slice_step, ... along SUPERIOR */
    int64_t first_slice, slice_step;
    int tile_w, tile_h; /* pixels of one slice */
    int ncols, nrows;   /* of slices */

    int width, height; /* of the picture */
    struct box head;   /* title, recipe, expression, median */
    struct box mosaic; /* slices with their labels */
    struct box bar;    /* the colours alone */
    struct box foot;
    uint64_t pixel_nbytes; /* room for the compressed pixels */
};

/* With the head mask, only slices that have a part of it are shown (picture_extent): in the same size,
 * so that the picture is at most as large, and so is pixel_nbytes. NULL: all slices. */
void picture_layout(const struct nifti *grid, const uint8_t *mask, struct layout *l);

/* The axes alone: axis, backward and dim. */
void picture_axes(const struct nifti *grid, struct layout *l);

/* The slices from the lowest to the highest that has more than a few voxels of the head `mask`, in the
 * order of the image: [*bottom, *top); all slices where none has. */
void picture_extent(const struct layout *l, const struct nifti *grid, const uint8_t *mask,
                    int64_t *bottom, int64_t *top);
/* The size in pixels of a slice whose finest voxels have one pixel. */
void picture_unit_size(const struct nifti *grid, const struct layout *l, double *w, double *h);

/* The place of shown slice i, and its number in the image. */
struct box picture_tile(const struct layout *l, int i);
int64_t picture_slice(const struct layout *l, int i);

/* The index in the image of the voxel at `at` (voxels to the right, to the front, up). */
size_t picture_voxel(const struct layout *l, const struct nifti *grid, const int64_t at[3]);

/* z, in mm, of the centre of slice `up`. */
double picture_slice_mm(const struct layout *l, const struct nifti *grid, int64_t up);

/* ---- picture_colour.c ---- */

/* The palette: one transparent colour, greys from paper to ink, then the map of colours. */
enum {
    COLOUR_CLEAR = 0,
    COLOUR_PAPER = 1, /* the first grey */
    COLOUR_NGREYS = 32,
    COLOUR_FIRST = COLOUR_PAPER + COLOUR_NGREYS, /* of the map */
    COLOUR_N = 256,
    COLOUR_NMAP = COLOUR_N - COLOUR_FIRST,
};

void picture_palette(unsigned char rgb[COLOUR_N][3]);

/* The colour of `value` where the map goes from `low` to `high`. */
unsigned char picture_colour(double value, double low, double high);

/* ---- picture_text.c ---- */

/* The numbers in a picture. */
struct figures {
    double median;    /* of the finite voxels in the mask; NaN: none */
    double low, high; /* of the colours; NaN: no voxel is finite */
    bool from_zero;   /* low is 0 because it is near the 2nd percentile */
    size_t nmask;     /* voxels of the mask */
};

/* Write on a canvas of palette indices, [height][width]. */
int picture_letter(const struct picture_input *in, const struct layout *l,
                   const struct figures *numbers, unsigned char *canvas,
                   struct error *err) NODISCARD;
/* Memory that picture_letter() needs. */
size_t picture_letter_mem_nbytes(const struct layout *l);

/* ---- picture_png.c ---- */

struct png_text {
    const char *keyword;
    const char *text;
};

enum {
    PNG_TEXT_MAX = 1500,     /* bytes of one text; longer ones are cut */
    PNG_TEXTS_NBYTES = 8192, /* for all texts of a file: at most three long ones */
};

/* The exact size of every file of that layout. */
uint64_t picture_png_nbytes(const struct layout *l);

/* The file, malloced. `texts` end with a NULL keyword. */
int picture_png(const struct layout *l, const unsigned char *canvas, const struct png_text *texts,
                unsigned char **png, struct error *err) NODISCARD;

#endif
