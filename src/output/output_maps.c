/* SPDX-License-Identifier: MIT
 *
 * Formats made from the image and the mean over time, which are both read as a whole: NAME.png, and
 * the numbers of an image, a struct numbers as it lies in memory, with the thumbnail behind it: float32
 * width, height and values (thumb.h).
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#include "headmask.h"
#include "numbers.h"
#include "picture.h"
#include "thumb.h"

/* [nz][ny][nx] each */
struct maps {
    float *image;
    double *scratch; /* the mean over time, or the mask as it was; free to use */
    uint8_t *mask;
    size_t nmask; /* voxels in it */
};

static size_t maps_nbytes(size_t nvox)
{
    return nvox * (sizeof(float) + sizeof(double) + 1) + headmask_mem_nbytes(nvox);
}

static void free_maps(struct maps *m)
{
    free(m->image);
    free(m->scratch);
    free(m->mask);
}

static int read_mask(const struct output_source *source, size_t nvox, struct maps *out,
                     struct error *err)
{
    const struct blob *from = source->mask ? source->mask : source->mean;
    int ret = blob_read(from, 0, out->scratch, nvox * sizeof *out->scratch, err);

    if (ret < 0)
        return ret;
    if (!source->mask)
        return headmask_otsu(out->scratch, nvox, out->mask, &out->nmask, err);
    out->nmask = 0;
    for (size_t i = 0; i < nvox; i++)
        out->nmask += out->mask[i] = out->scratch[i] != 0;
    return 0;
}

/* For free_maps(), after a failure too. */
static int read_maps(const struct output_source *source, struct maps *out, struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(source->grid);
    int ret;

    out->image = malloc(nvox * sizeof *out->image);
    out->scratch = malloc(nvox * sizeof *out->scratch);
    out->mask = malloc(nvox);
    if (!out->image || !out->scratch || !out->mask)
        return error_set(err, ENOMEM, "cannot read the image: out of memory");
    ret =
        blob_read(source->image, NIFTI_DERIVED_NBYTES, out->image, nvox * sizeof *out->image, err);
    return ret < 0 ? ret : read_mask(source, nvox, out, err);
}

/* ---- numbers ---- */

static size_t thumb_nbytes(const struct nifti *grid)
{
    struct thumb_size size = thumb_size(grid);

    return (2 + (size_t)size.w * (size_t)size.h) * sizeof(float);
}

/* Width and height, and its values. */
static void fill_thumb(const struct nifti *grid, const float *image, const uint8_t *mask,
                       float *out)
{
    struct thumb_size size = thumb_size(grid);

    out[0] = (float)size.w;
    out[1] = (float)size.h;
    thumb_make(grid, image, mask, out + 2);
}

static uint64_t numbers_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)image_nbytes;
    return sizeof(struct numbers) + thumb_nbytes(grid);
}

static size_t numbers_buffers_nbytes(const struct nifti *grid)
{
    size_t nvox = (size_t)nifti_nvox(grid);

    return maps_nbytes(nvox) + numbers_mem_nbytes(nvox) + thumb_nbytes(grid);
}

static int write_numbers(const struct output_source *source, struct cache_writer *w,
                         struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(source->grid);
    float *thumb = malloc(thumb_nbytes(source->grid));
    struct maps maps = {.image = NULL};
    struct numbers numbers;
    int ret =
        thumb ? read_maps(source, &maps, err) : error_set(err, ENOMEM, "numbers: out of memory");

    if (ret == 0) {
        numbers_measure(maps.image, maps.mask, nvox, maps.scratch, &numbers);
        fill_thumb(source->grid, maps.image, maps.mask, thumb);
        ret = cache_write(w, &numbers, sizeof numbers, err);
    }
    if (ret == 0)
        ret = cache_write(w, thumb, thumb_nbytes(source->grid), err);
    free_maps(&maps);
    free(thumb);
    return ret;
}

const struct output_format output_numbers = {
    .extension = ending_numbers,
    .kind = OUTPUT_MADE,
    .operation = "numbers",
    .version = 2,
    .needs_mean = true,
    .nbytes = numbers_nbytes,
    .mem_nbytes = numbers_buffers_nbytes,
    .write = write_numbers,
};

/* ---- picture ---- */

static uint64_t png_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)image_nbytes;
    return picture_nbytes(grid);
}

static size_t png_buffers_nbytes(const struct nifti *grid)
{
    return maps_nbytes((size_t)nifti_nvox(grid)) + picture_mem_nbytes(grid);
}

static int write_png(const struct output_source *source, struct cache_writer *w, struct error *err)
{
    struct maps maps;
    unsigned char *png = NULL;
    int ret = read_maps(source, &maps, err);

    if (ret == 0)
        ret = picture_make(&(struct picture_input){.grid = source->grid,
                                                   .image = maps.image,
                                                   .mask = maps.mask,
                                                   .nmask = maps.nmask,
                                                   .caption = source->caption},
                           &png, err);
    free_maps(&maps);
    if (ret == 0)
        ret = cache_write(w, png, (size_t)picture_nbytes(source->grid), err);
    free(png);
    return ret;
}

const struct output_format output_png = {
    .extension = ending_png,
    .kind = OUTPUT_MADE,
    .operation = "picture",
    .version = 3,
    .listed = true,
    .needs_mean = true,
    .nbytes = png_nbytes,
    .mem_nbytes = png_buffers_nbytes,
    .write = write_png,
};
