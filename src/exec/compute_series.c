/* SPDX-License-Identifier: MIT
 *
 * Tasks that keep the volumes of a series: single volumes, chunks of 4-D files and their checksums.
 */
#include <endian.h>
#include <zlib.h>

#include "compute_private.h"
#include "kernel.h"

static int write_float64(void *ctx, int64_t vol, double *values, struct error *err)
{
    const struct work *k = ctx;

    (void)vol;
    return work_write(k, values, k->nvox, err);
}

int compute_volume(const struct work *k, struct error *err)
{
    return work_for_each_volume(k, write_float64, (void *)k, err);
}

/* Voxels that are turned into what a file has at a time. */
enum { TILE_NVOX = 1024 };

/* Called with each tile of a volume as a file has it. */
typedef int each_tile_fn(void *ctx, const float *tile, size_t nbytes, struct error *err);

static int for_each_tile(const struct work *k, const double *values, each_tile_fn *each, void *ctx,
                         struct error *err)
{
    float tile[TILE_NVOX];
    int ret = 0;

    for (size_t vox = 0; vox < k->nvox && ret == 0; vox += TILE_NVOX) {
        size_t n = k->nvox - vox < TILE_NVOX ? k->nvox - vox : TILE_NVOX;

        kernel_round(values + vox, n, tile);
        ret = each(ctx, tile, n * sizeof *tile, err);
    }
    return ret;
}

static int write_tile(void *ctx, const float *tile, size_t nbytes, struct error *err)
{
    const struct work *k = ctx;

    return cache_write(k->w, tile, nbytes, err);
}

static int write_float32(void *ctx, int64_t vol, double *values, struct error *err)
{
    (void)vol;
    return for_each_tile(ctx, values, write_tile, ctx, err);
}

int compute_chunk(const struct work *k, struct error *err)
{
    return work_for_each_volume(k, write_float32, (void *)k, err);
}

struct checksum {
    const struct work *k;
    uint32_t crc;
};

static int sum_tile(void *ctx, const float *tile, size_t nbytes, struct error *err)
{
    struct checksum *sum = ctx;

    (void)err;
    sum->crc = (uint32_t)crc32(sum->crc, (const unsigned char *)tile, (uInt)nbytes);
    return 0;
}

static int sum_float32(void *ctx, int64_t vol, double *values, struct error *err)
{
    struct checksum *sum = ctx;

    (void)vol;
    return for_each_tile(sum->k, values, sum_tile, sum, err);
}

int compute_checksum(const struct work *k, struct error *err)
{
    struct checksum sum = {.k = k, .crc = (uint32_t)crc32(0, NULL, 0)};
    int ret = work_for_each_volume(k, sum_float32, &sum, err);
    uint32_t stored = htole32(sum.crc);

    return ret < 0 ? ret : cache_write(k->w, &stored, sizeof stored, err);
}
