/* SPDX-License-Identifier: MIT
 *
 * The numbers of an image as a result that is kept beside it: a struct numbers as it lies in
 * memory. The image and the mean are read as a whole.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#include "numbers.h"

static uint64_t numbers_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)grid;
    (void)image_nbytes;
    return sizeof(struct numbers);
}

static size_t mem_nbytes(const struct nifti *grid)
{
    size_t nvox = (size_t)nifti_nvox(grid);

    return nvox * (sizeof(float) + sizeof(double)) + numbers_mem_nbytes(nvox);
}

static int write_numbers(const struct output_source *source, struct cache_writer *w,
                         struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(source->grid);
    float *image = malloc(nvox * sizeof *image);
    double *mean = malloc(nvox * sizeof *mean);
    struct numbers numbers;
    int ret = image && mean ? 0 : error_set(err, ENOMEM, "numbers: out of memory");

    if (ret == 0)
        ret = blob_read(source->image, NIFTI_DERIVED_NBYTES, image, nvox * sizeof *image, err);
    if (ret == 0)
        ret = blob_read(source->mean, 0, mean, nvox * sizeof *mean, err);
    if (ret == 0)
        ret = numbers_measure(image, mean, nvox, &numbers, err);
    free(image);
    free(mean);
    return ret == 0 ? cache_write(w, &numbers, sizeof numbers, err) : ret;
}

const struct output_format output_numbers = {
    .extension = ending_numbers,
    .kind = OUTPUT_MADE,
    .operation = "numbers",
    .version = 1,
    .needs_mean = true,
    .nbytes = numbers_nbytes,
    .mem_nbytes = mem_nbytes,
    .write = write_numbers,
};
