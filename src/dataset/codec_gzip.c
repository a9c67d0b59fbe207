/* SPDX-License-Identifier: MIT
 *
 * gzip, as a codec (gunzip.h).
 */
#include "codec.h"
#include "gunzip.h"

const struct codec codec_gzip = {
    .id = 0,
    .name = "gzip",
    .ending = ".nii.gz",
    .magic = {{0xffff, 0x8b1f}},
    .parallel = true,
    .reading = "inflate",
    .data = "inflated data",
    .open = gunzip_open,
    .read = gunzip_read,
    .consumed = gunzip_consumed,
    .free = gunzip_free,
    .set_cancel = gunzip_set_cancel,
    .seek = gunzip_seek,
    .learned = gunzip_learned,
};
