/* SPDX-License-Identifier: MIT
 *
 * Tasks that keep the volumes of a series: single volumes, chunks of 4-D files and their checksums.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "compute_private.h"
#include "eval.h"
#include "kernel.h"

static int write_float64(void *ctx, double *values, struct error *err)
{
    const struct work *k = ctx;

    return work_write(k, values, k->nvox, err);
}

int compute_volume(const struct work *k, struct error *err)
{
    return work_for_each_volume(k, write_float64, (void *)k, err);
}

/* Values of a 4-D file on their way: written many at a time, because each write costs the page cache
 * more than some KiB. */
enum { ROUNDED_NVOX = 32 << 10 };

typedef int take_bytes_fn(void *ctx, const void *bytes, size_t nbytes, struct error *err);

struct rounded {
    const struct work *k;
    take_bytes_fn *take; /* called with all bytes as the file has them */
    void *ctx;
    float *values; /* [ROUNDED_NVOX] */
    size_t n;
};

static int flush(struct rounded *to, struct error *err)
{
    size_t n = to->n;

    to->n = 0;
    return n > 0 ? to->take(to->ctx, to->values, n * sizeof *to->values, err) : 0;
}

/* The values of a tile are rounded while they are in the nearest cache. */
static int round_volume(void *ctx, struct stream_reader *r, const struct stream *s,
                        struct error *err)
{
    struct rounded *to = ctx;
    int ret = 0;

    (void)s;
    for (size_t vox = 0; vox < to->k->nvox && ret == 0; vox += EVAL_TILE) {
        size_t n = to->k->nvox - vox < EVAL_TILE ? to->k->nvox - vox : EVAL_TILE;
        double tile[EVAL_TILE];

        stream_reader_values(r, vox, n, tile);
        kernel_round(tile, n, to->values + to->n);
        to->n += n;
        if (to->n > ROUNDED_NVOX - EVAL_TILE)
            ret = flush(to, err);
    }
    return ret;
}

static int for_all_rounded(const struct work *k, take_bytes_fn *take, void *ctx, struct error *err)
{
    struct rounded to = {.k = k, .take = take, .ctx = ctx};
    int ret;

    to.values = malloc(ROUNDED_NVOX * sizeof *to.values);
    if (!to.values)
        return error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    ret = work_take_volumes(k, round_volume, &to, NULL, err);
    if (ret == 0)
        ret = flush(&to, err);
    free(to.values);
    return ret;
}

static int write_bytes(void *ctx, const void *bytes, size_t nbytes, struct error *err)
{
    const struct work *k = ctx;

    return cache_write(k->w, bytes, nbytes, err);
}

int compute_chunk(const struct work *k, struct error *err)
{
    return for_all_rounded(k, write_bytes, (void *)k, err);
}

static int sum_bytes(void *ctx, const void *bytes, size_t nbytes, struct error *err)
{
    uint32_t *crc = ctx;

    (void)err;
    *crc = (uint32_t)crc32(*crc, bytes, (uInt)nbytes);
    return 0;
}

int compute_checksum(const struct work *k, struct error *err)
{
    uint32_t crc = (uint32_t)crc32(0, NULL, 0), stored;
    int ret = for_all_rounded(k, sum_bytes, &crc, err);

    stored = htole32(crc);
    return ret < 0 ? ret : cache_write(k->w, &stored, sizeof stored, err);
}
