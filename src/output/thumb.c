/* SPDX-License-Identifier: MIT
 *
 * The slices divide the head's extent evenly. Few colours make small files: 64 are more than an eye
 * tells apart in so small a picture.
 */
#include "thumb.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>

#include "picture_private.h"

enum { NSLICES = 5, GAP = 2, SIDE = THUMB_H_MAX, NCOLOURS = 64 };

/* The size of one slice. */
static struct thumb_size tile_size(const struct nifti *grid, const struct layout *l)
{
    double w, h;

    picture_unit_size(grid, l, &w, &h);
    return (struct thumb_size){(int)fmax(round(w * SIDE / fmax(w, h)), 1),
                               (int)fmax(round(h * SIDE / fmax(w, h)), 1)};
}

static struct thumb_size size_of(struct thumb_size tile)
{
    return (struct thumb_size){NSLICES * (tile.w + GAP) - GAP, tile.h};
}

struct thumb_size thumb_size(const struct nifti *grid)
{
    struct layout l;

    picture_axes(grid, &l);
    return size_of(tile_size(grid, &l));
}

/* The voxels [*from, *to) of an axis with `dim` that pixel `i` of `n` covers, at least one. */
static void cover(int i, int n, int64_t dim, int64_t *from, int64_t *to)
{
    *from = i * dim / n;
    *to = (i + 1) * dim / n;
    if (*to == *from)
        ++*to;
}

/* The mean of the finite voxels in [from, to), or one of the others. */
static float mean_of(const struct layout *l, const struct nifti *grid, const float *image,
                     const int64_t from[3], const int64_t to[3])
{
    float value = NAN;
    double sum = 0;
    int64_t n = 0, at[3] = {0, 0, from[SUPERIOR]};

    for (at[ANTERIOR] = from[ANTERIOR]; at[ANTERIOR] < to[ANTERIOR]; at[ANTERIOR]++)
        for (at[RIGHT] = from[RIGHT]; at[RIGHT] < to[RIGHT]; at[RIGHT]++) {
            value = image[picture_voxel(l, grid, at)];
            sum += isfinite(value) ? value : 0;
            n += isfinite(value);
        }
    return n > 0 ? (float)(sum / (double)n) : value;
}

void thumb_make(const struct nifti *grid, const float *image, const uint8_t *mask, float *out)
{
    struct layout l;
    struct thumb_size tile, size;
    int64_t from[3], to[3], bottom, top;

    picture_axes(grid, &l);
    picture_extent(&l, grid, mask, &bottom, &top);
    tile = tile_size(grid, &l);
    size = size_of(tile);
    for (int y = 0; y < size.h; y++)
        for (int x = 0; x < size.w; x++) {
            int slice = x / (tile.w + GAP), column = x % (tile.w + GAP);

            out[y * size.w + x] = NAN;
            if (column >= tile.w)
                continue;
            /* the patient's right is on the left, the front up */
            cover(tile.w - 1 - column, tile.w, l.dim[RIGHT], &from[RIGHT], &to[RIGHT]);
            cover(tile.h - 1 - y, tile.h, l.dim[ANTERIOR], &from[ANTERIOR], &to[ANTERIOR]);
            from[SUPERIOR] = bottom + (2 * slice + 1) * (top - bottom) / (2 * NSLICES);
            out[y * size.w + x] = mean_of(&l, grid, image, from, to);
        }
}

/* The colours: none, then those of the map. */
static void fill_palette(png_byte palette[NCOLOURS][4])
{
    unsigned char rgb[COLOUR_N][3];

    picture_palette(rgb);
    for (int i = 0; i < NCOLOURS; i++) {
        const unsigned char *from = rgb[i > 0 ? picture_colour(i - 1, 0, NCOLOURS - 2) : 0];

        for (int c = 0; c < 3; c++)
            palette[i][c] = from[c];
        palette[i][3] = i > 0 ? 255 : 0;
    }
}

int thumb_png(const float *values, struct thumb_size size, double low, double high,
              unsigned char **png, size_t *nbytes, struct error *err)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)size.w,
                       .height = (png_uint_32)size.h,
                       .format = PNG_FORMAT_RGBA_COLORMAP,
                       .colormap_entries = NCOLOURS};
    png_byte pixels[THUMB_W_MAX * THUMB_H_MAX], palette[NCOLOURS][4];
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);

    fill_palette(palette);
    for (int i = 0; i < size.w * size.h; i++) {
        int colour = picture_colour((double)values[i], low, high) - COLOUR_FIRST;
        int entry = colour < 0 ? 0 : 1 + colour * (NCOLOURS - 2) / (COLOUR_NMAP - 1);

        pixels[i] = (png_byte)(entry & 0xff);
    }
    *png = malloc(room);
    if (*png && png_image_write_to_memory(&image, *png, &room, 0, pixels, 0, palette)) {
        *nbytes = room;
        return 0;
    }
    free(*png);
    return error_set(err, ENOMEM, "thumbnail: %s",
                     *image.message ? image.message : "out of memory");
}
