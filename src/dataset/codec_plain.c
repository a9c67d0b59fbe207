/* SPDX-License-Identifier: MIT
 *
 * No codec: the file's bytes as they are.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "codec.h"

struct plain {
    struct codec_input in;
    _Atomic uint64_t off; /* of the next byte; any thread may ask for it */
};

static int plain_open(const struct codec_input *in, void **out, struct error *err)
{
    struct plain *p = calloc(1, sizeof *p);

    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    p->in = *in;
    *out = p;
    return 0;
}

static uint64_t plain_consumed(const void *z)
{
    const struct plain *p = z;

    return atomic_load_explicit(&p->off, memory_order_relaxed);
}

static int plain_read(void *z, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    struct plain *p = z;
    uint64_t off = plain_consumed(p);
    int ret = p->in.pread(p->in.ctx, off, buf, nbytes, got, err);

    if (ret == 0)
        atomic_store_explicit(&p->off, off + *got, memory_order_relaxed);
    return ret;
}

static int plain_seek(void *z, uint64_t off, uint64_t *at, struct error *err)
{
    struct plain *p = z;

    (void)err;
    *at = off < p->in.stored_nbytes ? off : p->in.stored_nbytes;
    atomic_store_explicit(&p->off, *at, memory_order_relaxed);
    return 0;
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
    .free = free,
    .seek = plain_seek,
};
