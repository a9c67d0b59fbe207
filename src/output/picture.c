/* SPDX-License-Identifier: MIT
 *
 * From voxels to a picture: numbers, slices, bar, letters, file.
 *
 * The colours span the 2nd to the 98th percentile in the mask, so that a few extreme voxels do not
 * darken all others. If the values are positive and the lower end is less than half the upper one
 * (as in tSNR), they start at 0. Values beyond the ends, infinities too, get the colours of the
 * ends.
 */
#include "picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"
#include "picture_private.h"
#include "stats.h"

enum {
    LOW_PERCENTILE = 2,
    HIGH_PERCENTILE = 98,
    LIBRARIES_NBYTES = 4 << 20, /* deflate, glyphs, and the buffers of both */
};

static void choose_range(const double *sorted, size_t n, struct figures *out)
{
    double low = stats_percentile(sorted, n, LOW_PERCENTILE);
    double high = stats_percentile(sorted, n, HIGH_PERCENTILE);

    out->from_zero = low >= 0 && low <= high / 2;
    if (low == high && low != 0) /* from or to zero */
        out->from_zero = low > 0;
    out->low = out->from_zero ? 0 : low;
    out->high = low == high && low <= 0 ? (low < 0 ? 0 : 1) : high;
}

static int count(const struct picture_input *in, struct figures *out, struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(in->grid), n;
    double *values = malloc(nvox * sizeof *values);
    struct numbers numbers;

    if (!values)
        return error_set(err, ENOMEM, "picture: out of memory");
    out->nmask = in->nmask;
    numbers_measure(in->image, in->mask, nvox, values, &numbers);
    out->median = numbers.median;
    n = (size_t)numbers.nvox;
    if (n == 0) { /* then of all voxels */
        n = stats_gather(in->image, NULL, nvox, values);
        stats_sort(values, n);
    }
    choose_range(values, n, out);
    free(values);
    return 0;
}

static void draw_slice(const struct picture_input *in, const struct layout *l,
                       const struct figures *numbers, int i, unsigned char *canvas)
{
    struct box b = picture_tile(l, i);

    for (int y = 0; y < b.h; y++)
        for (int x = 0; x < b.w; x++) {
            int64_t left = (2 * (int64_t)x + 1) * l->dim[RIGHT] / (2 * (int64_t)b.w);
            int64_t back = (2 * (int64_t)y + 1) * l->dim[ANTERIOR] / (2 * (int64_t)b.h);
            int64_t at[3] = {l->dim[RIGHT] - 1 - left, l->dim[ANTERIOR] - 1 - back,
                             picture_slice(l, i)};
            float value = in->image[picture_voxel(l, in->grid, at)];

            canvas[(size_t)(b.y + y) * l->width + b.x + x] =
                picture_colour(value, numbers->low, numbers->high);
        }
}

static void draw_bar(const struct layout *l, unsigned char *canvas)
{
    const struct box *b = &l->bar;

    for (int y = 0; y < b->h; y++)
        memset(canvas + (size_t)(b->y + y) * l->width + b->x,
               picture_colour(b->h - 1 - y, 0, b->h - 1), (size_t)b->w);
}

static int write_file(const struct picture_input *in, const struct layout *l,
                      const struct figures *numbers, const unsigned char *canvas,
                      unsigned char **png, struct error *err)
{
    char median[32], range[64], nmask[32];
    const struct png_text texts[] = {
        {"Title", in->caption->title},
        {"Description", in->caption->description},
        {"Expression", in->caption->expression},
        {"Unit", in->caption->unit},
        {"Runs", in->caption->extent},
        {"Software", "derivfs"},
        {"Median", median},
        {"Range", range},
        {*in->caption->mask ? "Brain" : "Head", nmask},
        {NULL, NULL},
    };

    snprintf(median, sizeof median, "%.9g", numbers->median);
    snprintf(range, sizeof range, "%.9g %.9g", numbers->low, numbers->high);
    snprintf(nmask, sizeof nmask, "%zu", numbers->nmask);
    return picture_png(l, canvas, texts, png, err);
}

uint64_t picture_nbytes(const struct nifti *grid)
{
    struct layout l;

    picture_layout(grid, NULL, &l);
    return picture_png_nbytes(&l);
}

size_t picture_mem_nbytes(const struct nifti *grid)
{
    size_t nvox = (size_t)nifti_nvox(grid);
    struct layout l;

    picture_layout(grid, NULL, &l);
    /* the values, and the C library's memory for sorting */
    return 2 * nvox * sizeof(double) + (size_t)l.width * (size_t)l.height +
           picture_letter_mem_nbytes(&l) + picture_png_nbytes(&l) + LIBRARIES_NBYTES;
}

/* Draw on a new canvas, [height][width]: malloced. */
static int draw(const struct picture_input *in, const struct layout *l,
                const struct figures *numbers, unsigned char **out, struct error *err)
{
    unsigned char *canvas = malloc((size_t)l->width * (size_t)l->height);
    int ret;

    if (!canvas)
        return error_set(err, ENOMEM, "picture: out of memory");
    memset(canvas, COLOUR_PAPER, (size_t)l->width * (size_t)l->height);
    for (int i = 0; i < l->nslices; i++)
        draw_slice(in, l, numbers, i, canvas);
    draw_bar(l, canvas);
    ret = picture_letter(in, l, numbers, canvas, err);
    if (ret == 0)
        *out = canvas;
    else
        free(canvas);
    return ret;
}

int picture_make(const struct picture_input *in, unsigned char **png, struct error *err)
{
    struct figures numbers;
    unsigned char *canvas = NULL;
    struct layout all, l;
    int ret = count(in, &numbers, err);

    if (ret < 0)
        return ret;
    picture_layout(in->grid, NULL, &all);
    picture_layout(in->grid, in->mask, &l);
    l.pixel_nbytes = all.pixel_nbytes; /* as promised before the head was known */
    ret = draw(in, &l, &numbers, &canvas, err);
    if (ret == 0)
        ret = write_file(in, &l, &numbers, canvas, png, err);
    free(canvas);
    return ret;
}
