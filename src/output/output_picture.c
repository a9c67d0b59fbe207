/* SPDX-License-Identifier: MIT
 *
 * NAME.png: the image and the mean are read as a whole, drawn, and written.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#include "picture.h"

static uint64_t png_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)image_nbytes;
    return picture_nbytes(grid);
}

static size_t mem_nbytes(const struct nifti *grid)
{
    size_t nvox = (size_t)nifti_nvox(grid);

    return nvox * (sizeof(float) + sizeof(double)) + picture_mem_nbytes(grid);
}

static int draw(const struct output_source *source, float *image, double *mean, unsigned char **png,
                struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(source->grid);
    const struct caption *c = source->caption;
    struct picture_input in = {
        .grid = source->grid,
        .image = image,
        .mean = mean,
        .title = c->title,
        .name = c->recipe,
        .description = c->description,
        .expression = c->expression,
        .extent = c->extent,
    };
    int ret = blob_read(source->image, NIFTI_DERIVED_NBYTES, image, nvox * sizeof *image, err);

    if (ret == 0)
        ret = blob_read(source->mean, 0, mean, nvox * sizeof *mean, err);
    return ret == 0 ? picture_make(&in, png, err) : ret;
}

static int write_png(const struct output_source *source, struct cache_writer *w, struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(source->grid);
    float *image = malloc(nvox * sizeof *image);
    double *mean = malloc(nvox * sizeof *mean);
    unsigned char *png = NULL;
    int ret = image && mean ? draw(source, image, mean, &png, err)
                            : error_set(err, ENOMEM, "picture: out of memory");

    free(image);
    free(mean);
    if (ret == 0)
        ret = cache_write(w, png, (size_t)picture_nbytes(source->grid), err);
    free(png);
    return ret;
}

const struct output_format output_png = {
    .extension = ending_png,
    .kind = OUTPUT_MADE,
    .operation = "picture",
    .version = 1,
    .listed = true,
    .needs_mean = true,
    .nbytes = png_nbytes,
    .mem_nbytes = mem_nbytes,
    .write = write_png,
};
