/* SPDX-License-Identifier: MIT
 *
 * gzip, as a codec (gunzip.h).
 */
#include "codec.h"
#include "gunzip.h"

static int gzip_open(const struct codec_input *in, void **out, struct error *err)
{
    *out = gunzip_new(&(struct gunzip_options){.source = {in->pread, in->ctx},
                                               .stored_nbytes = in->stored_nbytes,
                                               .helpers = in->helpers,
                                               .budget = in->budget,
                                               .known = in->known,
                                               .learn = in->learn});
    return *out ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int gzip_read(void *z, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    return gunzip_read(z, buf, nbytes, got, err);
}

static uint64_t gzip_consumed(const void *z)
{
    return gunzip_consumed(z);
}

static void gzip_free(void *z)
{
    gunzip_free(z);
}

static void gzip_set_cancel(void *z, const struct cancel_token *stop)
{
    gunzip_set_cancel(z, stop);
}

static int gzip_seek(void *z, uint64_t off, uint64_t *at, struct error *err)
{
    int ret = gunzip_seek(z, off, err);

    *at = gunzip_tell(z);
    return ret;
}

static struct checkpoints *gzip_learned(void *z)
{
    return gunzip_learned(z);
}

const struct codec codec_gzip = {
    .id = 0,
    .name = "gzip",
    .ending = ".nii.gz",
    .magic = {{0xffff, 0x8b1f}},
    .parallel = true,
    .reading = "inflate",
    .data = "inflated data",
    .open = gzip_open,
    .read = gzip_read,
    .consumed = gzip_consumed,
    .free = gzip_free,
    .set_cancel = gzip_set_cancel,
    .seek = gzip_seek,
    .learned = gzip_learned,
};
