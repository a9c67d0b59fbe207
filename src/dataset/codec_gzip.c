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

static int gzip_seek(void *z, uint64_t off, uint64_t *at, struct error *err)
{
    int ret = gunzip_seek(z, off, err);

    *at = gunzip_tell(z);
    return ret;
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
    .read = gunzip_read,
    .consumed = gunzip_consumed,
    .free = gunzip_free,
    .set_cancel = gunzip_set_cancel,
    .seek = gzip_seek,
    .learned = gunzip_learned,
};
