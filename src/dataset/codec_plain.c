/* SPDX-License-Identifier: MIT
 *
 * No codec: the file's bytes as they are.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "codec.h"

struct plain {
    struct decoder_input in;
    _Atomic uint64_t off; /* of the next byte; any thread may ask for it */
};

static int plain_open(const struct decoder_input *in, struct decoder **out, struct error *err)
{
    struct plain *p = calloc(1, sizeof *p);

    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    p->in = *in;
    *out = (struct decoder *)p;
    return 0;
}

static uint64_t plain_consumed(const struct decoder *z)
{
    const struct plain *p = (const struct plain *)z;

    return atomic_load_explicit(&p->off, memory_order_relaxed);
}

static int plain_read(struct decoder *z, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    struct plain *p = (struct plain *)z;
    uint64_t off = plain_consumed(z);
    int ret = p->in.source.pread(p->in.source.ctx, off, buf, nbytes, got, err);

    if (ret == 0)
        atomic_store_explicit(&p->off, off + *got, memory_order_relaxed);
    return ret;
}

static int plain_seek(struct decoder *z, uint64_t off, uint64_t *at, struct error *err)
{
    struct plain *p = (struct plain *)z;

    (void)err;
    *at = off < p->in.stored_nbytes ? off : p->in.stored_nbytes;
    atomic_store_explicit(&p->off, *at, memory_order_relaxed);
    return 0;
}

static void plain_free(struct decoder *z)
{
    free(z);
}

const struct codec codec_plain = {
    .id = 1,
    .name = "plain",
    .ending = ".nii",
    .plain = true,
    .reading = "read",
    .data = "file",
    .open = plain_open,
    .read = plain_read,
    .consumed = plain_consumed,
    .free = plain_free,
    .seek = plain_seek,
};
