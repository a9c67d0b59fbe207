/* SPDX-License-Identifier: MIT
 *
 * zstd (RFC 8878), by libzstd, from front to back.
 *
 *     [frame: header, blocks, checksum]  [skippable frame]  [frame] ...
 *
 * Frames follow each other without anything in between: what is no frame there, padding too, is an
 * error, because voxels that were cut off would look just like it. libzstd compares a frame's
 * checksum and length where the frame has them: the zstd program writes both, some libraries write
 * no checksum. It holds a frame's window, which the frame's header asks for: up to 128 MiB, as much
 * as `zstd -d` takes without being told.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "codec.h"

enum {
    WINDOW_LOG_MAX = 27,
    IN_NBYTES = 128 << 10,    /* about a block, the most that libzstd asks for */
    FIRST_NBYTES = 4 << 10,   /* read at least: the headers of most frames and blocks */
    HEADER_NBYTES = 64 << 10, /* of output: who wants more wants all */
};

struct zstd {
    struct decoder_input input;
    ZSTD_DCtx *d;
    const struct cancel_token *stop; /* NULL: nobody is asked */
    uint64_t fed;                    /* stored bytes that have been read */
    _Atomic uint64_t consumed;       /* of these, those that libzstd has taken */
    uint64_t out_total;
    size_t wanted; /* stored bytes that libzstd would like next */
    bool in_frame;
    bool at_end;  /* of everything */
    size_t at, n; /* in[at] to in[n - 1] are still to be taken */
    unsigned char in[IN_NBYTES];
};

static void zstd_free(struct decoder *p)
{
    struct zstd *z = (struct zstd *)p;

    ZSTD_freeDCtx(z->d);
    free(z);
}

static int zstd_open(const struct decoder_input *input, struct decoder **out, struct error *err)
{
    struct zstd *z = calloc(1, sizeof *z);

    if (!z)
        return error_set(err, ENOMEM, "out of memory");
    z->input = *input;
    z->d = ZSTD_createDCtx();
    if (!z->d || ZSTD_isError(ZSTD_DCtx_setParameter(z->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        zstd_free((struct decoder *)z);
        return error_set(err, ENOMEM, "out of memory");
    }
    *out = (struct decoder *)z;
    return 0;
}

static int fail(const struct zstd *z, const char *what, struct error *err)
{
    return error_set(err, EIO, "%s, after %llu bytes", what, (unsigned long long)z->out_total);
}

static int explain(const struct zstd *z, size_t result, struct error *err)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
        return error_set(err, ENOMEM, "out of memory");
    case ZSTD_error_checksum_wrong:
        return fail(z, "wrong checksum in the zstd data", err);
    case ZSTD_error_dictionary_wrong:
        return fail(z, "the zstd data needs a dictionary", err);
    case ZSTD_error_frameParameter_windowTooLarge:
        return fail(z, "the zstd data needs a window of more than 128 MiB", err);
    default:
        return fail(z, "corrupt zstd data", err);
    }
}

/* Make `want` stored bytes be there, or more; fewer at the end of the file. */
static int fetch(struct zstd *z, size_t want, struct error *err)
{
    size_t got;

    z->n -= z->at;
    memmove(z->in, z->in + z->at, z->n);
    z->at = 0;
    if (want < FIRST_NBYTES)
        want = FIRST_NBYTES;
    if (want > sizeof z->in || z->out_total >= HEADER_NBYTES)
        want = sizeof z->in;
    int ret =
        z->input.source.pread(z->input.source.ctx, z->fed, z->in + z->n, want - z->n, &got, err);
    if (ret < 0)
        return ret;
    z->fed += got;
    z->n += got;
    return 0;
}

/* Stand at the next frame, or at the end of everything. */
static int next_frame(struct zstd *z, struct error *err)
{
    int ret = z->n - z->at < CODEC_MAGIC_NBYTES ? fetch(z, 0, err) : 0;
    size_t left = z->n - z->at;

    if (ret < 0)
        return ret;
    z->at_end = left == 0;
    if (z->at_end)
        return 0;
    if (codec_of_bytes(z->in + z->at, left) != &codec_zstd)
        return fail(z, "garbage after the end of the zstd data", err);
    z->in_frame = true;
    return 0;
}

static int go_on(struct zstd *z, ZSTD_outBuffer *out, struct error *err)
{
    int ret = z->at == z->n ? fetch(z, z->wanted, err) : 0;
    ZSTD_inBuffer in = {z->in, z->n, z->at};
    size_t before = out->pos;

    if (ret < 0)
        return ret;
    size_t result = ZSTD_decompressStream(z->d, out, &in);
    bool moved = in.pos != z->at || out->pos != before;
    z->at = in.pos;
    z->out_total += out->pos - before;
    atomic_store_explicit(&z->consumed, z->fed - (z->n - z->at), memory_order_relaxed);
    if (ZSTD_isError(result))
        return explain(z, result, err);
    z->wanted = result;
    z->in_frame = result > 0;
    return moved || !z->in_frame ? 0 : fail(z, "zstd data ends early", err);
}

static int zstd_read(struct decoder *p, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    struct zstd *z = (struct zstd *)p;
    ZSTD_outBuffer out = {buf, nbytes, 0};
    int ret = 0;

    while (ret == 0 && out.pos < nbytes && !z->at_end) {
        ret = cancel_check(z->stop, err);
        if (ret == 0)
            ret = z->in_frame ? go_on(z, &out, err) : next_frame(z, err);
    }
    *got = out.pos;
    return ret;
}

static uint64_t zstd_consumed(const struct decoder *p)
{
    const struct zstd *z = (const struct zstd *)p;

    return atomic_load_explicit(&z->consumed, memory_order_relaxed);
}

static void zstd_set_cancel(struct decoder *p, const struct cancel_token *stop)
{
    struct zstd *z = (struct zstd *)p;

    z->stop = stop;
}

static size_t zstd_nbytes(const struct decoder *p)
{
    const struct zstd *z = (const struct zstd *)p;

    return sizeof *z + ZSTD_sizeof_DCtx(z->d);
}

const struct codec codec_zstd = {
    .id = 2,
    .name = "zstd",
    .ending = ".nii.zst",
    .magic = {{0xffffffff, 0xfd2fb528}, {0xfffffff0, 0x184d2a50}}, /* a frame; a skippable one */
    .reading = "decompress",
    .data = "decompressed data",
    .open = zstd_open,
    .read = zstd_read,
    .consumed = zstd_consumed,
    .free = zstd_free,
    .set_cancel = zstd_set_cancel,
    .nbytes = zstd_nbytes,
};
