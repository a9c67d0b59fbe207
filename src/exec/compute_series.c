/* SPDX-License-Identifier: MIT
 *
 * Tasks that keep single values of a series: percentiles, single volumes, chunks of 4-D files and
 * their checksums.
 *
 * A percentile of a voxel needs all of its values at once. They are gathered for as many voxels as
 * the task's memory has room for; if that is not all of them, the runs are read again for the next
 * ones.
 */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "compute_private.h"
#include "kernel.h"
#include "stream_reader.h"

/* Called with voxels [vox0, vox0 + nvox) of each volume, counted over all streams. */
typedef int each_part_fn(void *ctx, int64_t vol, const double *values, struct error *err);

/* Read all streams of the task, one after the other, but evaluate only some voxels. */
static int for_each_part(const struct work *k, size_t vox0, size_t nvox, each_part_fn *each,
                         void *ctx, struct error *err)
{
    double *values = malloc(nvox * sizeof *values);
    uint64_t before = 0;
    int64_t vol = 0;
    int ret = values ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    for (size_t i = 0; ret == 0 && i < k->t->nstreams; i++) {
        const struct stream *s = &k->t->streams[i];
        struct stream_reader *r;

        ret = stream_reader_open(k->c->pool, k->g, k->t, s, k->inputs, &k->stop, &r, err);
        if (ret < 0)
            break;
        for (int64_t v = 0; ret == 0 && v < s->nvol; v++, vol++) {
            ret = work_go_on(k, err);
            if (ret == 0)
                ret = stream_reader_next(r, vox0, nvox, values, err);
            if (ret == 0)
                ret = each(ctx, vol, values, err);
            task_progress(k->ctl, before + stream_reader_consumed(r));
        }
        before += stream_work_nbytes(s);
        if (ret == 0)
            ret = stream_reader_finish(r, err);
        stream_reader_close(r);
    }
    free(values);
    return ret;
}

/* ---- percentiles ---- */

struct columns {
    double *values; /* [nvox][nvol] */
    size_t nvox, nvol;
};

static int gather(void *ctx, int64_t vol, const double *values, struct error *err)
{
    const struct columns *c = ctx;

    (void)err;
    for (size_t i = 0; i < c->nvox; i++)
        c->values[i * c->nvol + (size_t)vol] = values[i];
    return 0;
}

/* Rearrange x[n] so that x[nth] is what sorting would put there, smaller values before it and
 * larger ones behind (Hoare's selection). */
static void select_nth(double *x, size_t n, size_t nth)
{
    size_t low = 0, high = n - 1;

    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;

        for (;;) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i >= j)
                break;
            double swap = x[i];
            x[i++] = x[j];
            x[j--] = swap;
        }
        if (nth <= j)
            high = j;
        else
            low = j + 1;
    }
}

/* The value `part` of the way from a to b. At one half this is the formula of numpy.median(),
 * elsewhere that of numpy.percentile(). numpy.percentile() subtracts, which makes NaN of most
 * infinite values; here NaN is only what lies between two infinities of different sign. */
static double between(double a, double b, double part)
{
    if (part == 0.5 || isinf(a) || isinf(b))
        return (a + b) / 2;
    return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part);
}

/* Rearranges x[n], in which there is no NaN. */
static double percentile(double *x, size_t n, double percent)
{
    double at = percent / 100 * (double)(n - 1), below = -INFINITY;
    size_t i = (size_t)at;

    if (at == (double)i) {
        select_nth(x, n, i);
        return x[i];
    }
    select_nth(x, n, i + 1);
    for (size_t k = 0; k <= i; k++)
        below = x[k] > below ? x[k] : below;
    return between(below, x[i + 1], at - (double)i);
}

static bool has_nan(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]))
            return true;
    return false;
}

/* Percentile first + p of voxel vox0 + i goes to out[p * apart + i], p below ntogether. */
static int percentiles_part(const struct work *k, size_t first, size_t vox0,
                            const struct columns *c, double *out, size_t apart, struct error *err)
{
    int ret = for_each_part(k, vox0, c->nvox, gather, (void *)c, err);

    for (size_t i = 0; ret == 0 && i < c->nvox; i++) {
        double *x = c->values + i * c->nvol;
        bool nan = has_nan(x, c->nvol);

        for (size_t p = 0; p < k->t->ntogether; p++)
            out[p * apart + i] = nan ? NAN : percentile(x, c->nvol, k->t->percents[first + p]);
    }
    return ret;
}

/* The planes from `first` on that the same passes give. A single one is written part by part; of
 * several, the first is not complete before the last. */
static int write_planes(const struct work *k, size_t first, struct columns *c, double *out,
                        struct error *err)
{
    size_t n = k->t->ntogether, room = k->t->room_nvox;
    int ret = 0;

    for (size_t vox = 0; ret == 0 && vox < k->nvox; vox += room) {
        c->nvox = k->nvox - vox < room ? k->nvox - vox : room;
        ret = percentiles_part(k, first, vox, c, n > 1 ? out + vox : out, k->nvox, err);
        if (ret == 0 && n == 1)
            ret = work_write(k, out, c->nvox, err);
    }
    return ret == 0 && n > 1 ? work_write(k, out, n * k->nvox, err) : ret;
}

int compute_percentiles(const struct work *k, struct error *err)
{
    struct columns c = {.nvol = 0};
    size_t room = k->t->room_nvox, n = k->t->ntogether;
    double *out;
    int ret;

    for (size_t i = 0; i < k->t->nstreams; i++)
        c.nvol += (size_t)k->t->streams[i].nvol;
    c.values = malloc(room * c.nvol * sizeof(double));
    out = malloc((n > 1 ? n * k->nvox : room) * sizeof *out);
    ret = c.values && out ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    for (size_t first = 0; ret == 0 && first < k->t->npercents; first += n)
        ret = write_planes(k, first, &c, out, err);
    free(c.values);
    free(out);
    return ret;
}

/* ---- volumes ---- */

static int write_float64(void *ctx, int64_t vol, const double *values, struct error *err)
{
    const struct work *k = ctx;

    (void)vol;
    return work_write(k, values, k->nvox, err);
}

int compute_volume(const struct work *k, struct error *err)
{
    return for_each_part(k, 0, k->nvox, write_float64, (void *)k, err);
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

static int write_float32(void *ctx, int64_t vol, const double *values, struct error *err)
{
    (void)vol;
    return for_each_tile(ctx, values, write_tile, ctx, err);
}

int compute_chunk(const struct work *k, struct error *err)
{
    return for_each_part(k, 0, k->nvox, write_float32, (void *)k, err);
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

static int sum_float32(void *ctx, int64_t vol, const double *values, struct error *err)
{
    struct checksum *sum = ctx;

    (void)vol;
    return for_each_tile(sum->k, values, sum_tile, sum, err);
}

int compute_checksum(const struct work *k, struct error *err)
{
    struct checksum sum = {.k = k, .crc = (uint32_t)crc32(0, NULL, 0)};
    int ret = for_each_part(k, 0, k->nvox, sum_float32, &sum, err);
    uint32_t stored = htole32(sum.crc);

    return ret < 0 ? ret : cache_write(k->w, &stored, sizeof stored, err);
}
