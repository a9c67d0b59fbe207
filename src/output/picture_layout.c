/* SPDX-License-Identifier: MIT
 *
 * The layout of a picture.
 *
 * It follows from the header; the head mask tells which slices there are to show, so that none is air
 * alone. The patient's axes are matched to the image's by the permutation with the largest sum of
 * cosines. A mosaic shows every slice, or every n-th, in whole multiples of a voxel if possible: of the
 * ways to arrange slices within MOSAIC_W by MOSAIC_H, the one with the largest slices wins; it shows
 * fewer slices rather than slices smaller than LEGIBLE.
 *
 * The size of the compressed pixels is bounded for noise (picture_png.c handles a picture that
 * exceeds it): a row of pixels that repeats the previous one costs almost nothing, so a picture
 * costs a byte for each voxel shown and a little for repeating it sideways.
 */
#include <math.h>

#include "picture_private.h"

enum {
    MARGIN = 28,
    SIDE_W = 20,  /* for R and L beside the mosaic */
    LABEL_H = 17, /* below each slice */
    GAP = 2,      /* between slices */
    BAR_W = 18,
    BAR_GAP = 26,    /* between mosaic and bar */
    BAR_TEXT_W = 74, /* right of the bar */
    HEAD_H = 84,
    FOOT_H = 58,
    SPACE = 16,       /* below the mosaic */
    BODY_W_MIN = 740, /* room for the texts */
    BODY_H_MIN = 220, /* room for the bar */
    MOSAIC_W = 1500,  /* maximum of all slices */
    MOSAIC_H = 1250,
    LEGIBLE = 120,   /* pixels along the longer side of a slice */
    SLICE_MAX = 512, /* the same, if a voxel has several pixels */
    VOXEL_MAX = 64,  /* pixels of a voxel */
    BAR_H_MAX = 480,
    NSLICES_MAX = 48,
    ASPECT_MAX = 8, /* of voxels; more is taken for a wrong header */
};

/* ---- axes ---- */

static double length_of(const double affine[3][4], int axis)
{
    double n = sqrt(affine[0][axis] * affine[0][axis] + affine[1][axis] * affine[1][axis] +
                    affine[2][axis] * affine[2][axis]);

    return isfinite(n) ? n : 0;
}

/* cosine[axis of the patient][axis of the image]; an axis without direction keeps its number. */
static void cosines_of(const double affine[3][4], double cosine[3][3])
{
    for (int axis = 0; axis < 3; axis++) {
        double n = length_of(affine, axis);

        for (int to = 0; to < 3; to++)
            cosine[to][axis] = n > 0 ? affine[to][axis] / n : to == axis;
    }
}

void picture_axes(const struct nifti *grid, struct layout *l)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double cosine[3][3], best = -1;

    cosines_of(grid->affine, cosine);
    for (int i = 0; i < 6; i++) {
        double sum = 0;

        for (int to = 0; to < 3; to++)
            sum += fabs(cosine[to][orders[i][to]]);
        if (sum <= best + 1e-9)
            continue;
        best = sum;
        for (int to = 0; to < 3; to++)
            l->axis[to] = orders[i][to];
    }
    for (int to = 0; to < 3; to++) {
        l->backward[to] = cosine[to][l->axis[to]] < 0;
        l->dim[to] = grid->dim[l->axis[to]];
    }
}

size_t picture_voxel(const struct layout *l, const struct nifti *grid, const int64_t at[3])
{
    int64_t index[3];

    for (int to = 0; to < 3; to++)
        index[l->axis[to]] = l->backward[to] ? l->dim[to] - 1 - at[to] : at[to];
    return (size_t)((index[2] * grid->dim[1] + index[1]) * grid->dim[0] + index[0]);
}

double picture_slice_mm(const struct layout *l, const struct nifti *grid, int64_t up)
{
    double index[3], z = grid->affine[2][3];

    for (int to = 0; to < 3; to++)
        index[l->axis[to]] = (double)(l->dim[to] - 1) / 2;
    index[l->axis[SUPERIOR]] = (double)(l->backward[SUPERIOR] ? l->dim[SUPERIOR] - 1 - up : up);
    for (int i = 0; i < 3; i++)
        z += grid->affine[2][i] * index[i];
    return z;
}

/* ---- the head ---- */

/* Voxels of the head in slice `up`. */
static size_t count_head(const struct layout *l, const struct nifti *grid, const uint8_t *mask,
                         int64_t up)
{
    int64_t at[3] = {0, 0, up};
    size_t n = 0;

    for (at[ANTERIOR] = 0; at[ANTERIOR] < l->dim[ANTERIOR]; at[ANTERIOR]++)
        for (at[RIGHT] = 0; at[RIGHT] < l->dim[RIGHT]; at[RIGHT]++)
            n += mask[picture_voxel(l, grid, at)];
    return n;
}

void picture_extent(const struct layout *l, const struct nifti *grid, const uint8_t *mask,
                    int64_t *bottom, int64_t *top)
{
    enum { STRAY = 50 }; /* of the fullest slice: a part that is noise above the threshold */
    int64_t nz = l->dim[SUPERIOR];
    size_t most = 0;

    for (int64_t up = 0; up < nz; up++) {
        size_t n = count_head(l, grid, mask, up);

        most = n > most ? n : most;
    }
    *bottom = 0;
    *top = nz;
    if (most == 0)
        return;
    while (count_head(l, grid, mask, *bottom) <= most / STRAY)
        ++*bottom;
    while (count_head(l, grid, mask, *top - 1) <= most / STRAY)
        --*top;
}

/* ---- mosaic ---- */

void picture_unit_size(const struct nifti *grid, const struct layout *l, double *w, double *h)
{
    double dx = length_of(grid->affine, l->axis[RIGHT]);
    double dy = length_of(grid->affine, l->axis[ANTERIOR]);
    double ratio = dx > 0 && dy > 0 ? dx / dy : 1;

    ratio = fmin(fmax(ratio, 1.0 / ASPECT_MAX), ASPECT_MAX);
    *w = (double)l->dim[RIGHT] * fmax(ratio, 1);
    *h = (double)l->dim[ANTERIOR] * fmax(1 / ratio, 1);
}

/* Maximal pixels of a finest voxel. */
static double scale_max(double w, double h)
{
    return fmin(fmax(SLICE_MAX / fmax(w, h), 1), VOXEL_MAX);
}

/* The largest whole scale at which n slices of w by h fit, and the columns: those with the fewest
 * empty places, more rather than fewer. 0: they do not fit. */
static int arrange(int n, double w, double h, int *ncols)
{
    int best = 0, fewest_empty = 0;

    for (int cols = 1; cols <= n; cols++) {
        int rows = (n + cols - 1) / cols, empty = rows * cols - n;
        double fits = fmin(MOSAIC_W / (cols * w), MOSAIC_H / (rows * h));
        int scale = (int)fmin(fits, scale_max(w, h));

        if (scale < best || (scale == best && best > 0 && empty > fewest_empty))
            continue;
        best = scale;
        fewest_empty = empty;
        *ncols = cols;
    }
    return best;
}

/* Choose slices and columns; returns the scale. Prefers most legible slices, else most with a pixel
 * for each voxel. 0: not one fits. */
static int choose_slices(struct layout *l, double w, double h)
{
    int64_t nz = l->dim[SUPERIOR];
    int best = 0, most = nz < NSLICES_MAX ? (int)nz : NSLICES_MAX;
    bool legible = false;

    for (int n = most; n >= 1 && !legible; n--) {
        int64_t step = (nz + n - 1) / n;
        int count = (int)(nz / step), ncols;
        int scale = arrange(count, w, h, &ncols);

        legible = scale >= 1 && (fmax(w, h) * scale >= LEGIBLE || scale + 1 > scale_max(w, h));
        if (scale < 1 || (best >= 1 && !legible))
            continue;
        best = scale;
        l->nslices = count;
        l->slice_step = step;
        l->ncols = ncols;
    }
    return best;
}

static void lay_out_slices(const struct nifti *grid, struct layout *l)
{
    double w, h, shrink;
    int scale;

    picture_unit_size(grid, l, &w, &h);
    scale = choose_slices(l, w, h);
    if (scale < 1) { /* the slice is too large: skip voxels */
        shrink = fmax(w, h) / SLICE_MAX;
        w /= shrink;
        h /= shrink;
        scale = choose_slices(l, w, h);
    }
    l->first_slice = (l->dim[SUPERIOR] - 1 - (l->nslices - 1) * l->slice_step) / 2;
    l->nrows = (l->nslices + l->ncols - 1) / l->ncols;
    l->tile_w = (int)fmax(round(w * scale), 1);
    l->tile_h = (int)fmax(round(h * scale), 1);
}

/* Show the slices of [bottom, top) in the places that there are. */
static void leave_air_out(struct layout *l, int64_t bottom, int64_t top)
{
    l->slice_step = (top - bottom + l->nslices - 1) / l->nslices;
    l->nslices = (int)((top - bottom) / l->slice_step);
    l->first_slice = bottom + (top - bottom - 1 - (l->nslices - 1) * l->slice_step) / 2;
    l->nrows = (l->nslices + l->ncols - 1) / l->ncols;
    l->ncols = (l->nslices + l->nrows - 1) / l->nrows;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Noise needs a byte for each voxel and, in rows that are not repeated, 0.14 bytes for each pixel.
 */
static uint64_t bound_pixels(const struct layout *l)
{
    double rows = (double)(smaller(l->dim[ANTERIOR], l->tile_h) * l->nrows);
    double voxels = (double)(smaller(l->dim[RIGHT], l->tile_w) * l->ncols);
    double slices = rows * (1.02 * voxels + 0.14 * l->mosaic.w + 24);
    double repeats = (l->height - rows) * (l->width / 100.0 + 8);
    double letters = 24000 + 200.0 * l->nslices;

    return (uint64_t)(slices + repeats + letters);
}

void picture_layout(const struct nifti *grid, const uint8_t *mask, struct layout *l)
{
    int used, body_w, body_h;
    int64_t bottom, top;

    *l = (struct layout){.width = 0};
    picture_axes(grid, l);
    lay_out_slices(grid, l);
    if (mask) {
        picture_extent(l, grid, mask, &bottom, &top);
        leave_air_out(l, bottom, top);
    }
    l->mosaic.w = l->ncols * (l->tile_w + GAP) - GAP;
    l->mosaic.h = l->nrows * (l->tile_h + LABEL_H);
    used = 2 * SIDE_W + l->mosaic.w + BAR_GAP + BAR_W + BAR_TEXT_W;
    body_w = used > BODY_W_MIN ? used : BODY_W_MIN;
    body_h = l->mosaic.h > BODY_H_MIN ? l->mosaic.h : BODY_H_MIN;
    l->head = (struct box){MARGIN, MARGIN, body_w, HEAD_H};
    l->mosaic.x = MARGIN + (body_w - used) / 2 + SIDE_W;
    l->mosaic.y = MARGIN + HEAD_H + (body_h - l->mosaic.h) / 2;
    l->bar.x = l->mosaic.x + l->mosaic.w + SIDE_W + BAR_GAP;
    l->bar.w = BAR_W;
    l->bar.h = (int)smaller(body_h - LABEL_H, BAR_H_MAX);
    l->bar.y = MARGIN + HEAD_H + (body_h - LABEL_H - l->bar.h) / 2;
    l->foot = (struct box){MARGIN, MARGIN + HEAD_H + body_h + SPACE, body_w, FOOT_H};
    l->width = body_w + 2 * MARGIN;
    l->height = l->foot.y + FOOT_H + MARGIN;
    l->pixel_nbytes = bound_pixels(l);
}

struct box picture_tile(const struct layout *l, int i)
{
    return (struct box){
        .x = l->mosaic.x + i % l->ncols * (l->tile_w + GAP),
        .y = l->mosaic.y + i / l->ncols * (l->tile_h + LABEL_H),
        .w = l->tile_w,
        .h = l->tile_h,
    };
}

int64_t picture_slice(const struct layout *l, int i)
{
    return l->first_slice + i * l->slice_step;
}
