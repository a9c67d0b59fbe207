/* SPDX-License-Identifier: MIT
 *
 * Codecs: the ways in which a file stores its bytes. Each is one row, `struct codec`, in a file of
 * its own; codec.c has the table of them. Nothing else names one.
 *
 * Sentences of failures are without the file's name. Thread rule: what
 * open() returns belongs to one thread at a time, but for consumed(), which any may call.
 */
#ifndef DERIVFS_CODEC_H
#define DERIVFS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decoder.h"
#include "error.h"
#include "thread.h"

enum { CODEC_MAGIC_NBYTES = 4, CODEC_MAGICS_MAX = 2 };

/* A file with (the first four bytes, little-endian, & mask) == value is stored so. */
struct codec_magic {
    uint32_t mask, value; /* mask 0: no more of them */
};

struct codec {
    unsigned id;        /* of the row, in pages of headers on disk: never changed nor used again */
    const char *name;   /* for people: "gzip" */
    const char *ending; /* of file names: ".nii.gz" */
    struct codec_magic magic[CODEC_MAGICS_MAX]; /* none: what no other codec claims */
    bool plain; /* stored as it is: every byte can be read by itself, and the file's size says how
                   many there are */
    bool parallel;       /* helpers makes reading faster */
    const char *reading; /* in sentences, what fails: "inflate" */
    const char *data;    /* in sentences, what ends early: "inflated data" */

    /* What is opened is freed with free(). ENOMEM. */
    int (*open)(const struct decoder_input *in, struct decoder **out, struct error *err);
    /* Put at most `nbytes` into `buf`; *got is less only at the end of the data, all checksums
     * being right. EIO where the data is unsound; what `pread` returns where that fails. After a
     * failure nothing more is read. */
    int (*read)(struct decoder *z, void *buf, size_t nbytes, size_t *got, struct error *err);
    /* Stored bytes read so far, for progress. */
    uint64_t (*consumed)(const struct decoder *z);
    void (*free)(struct decoder *z);

    /* The rest may be NULL. */

    /* From now on ask `stop` (may be NULL) often, and fail with ECANCELED where it says so. NULL:
     * a read takes no longer than reading as many stored bytes. */
    void (*set_cancel)(struct decoder *z, const struct cancel_token *stop);
    /* Go on at byte `off`, or at the end of the data if that is before it; *at tells which. NULL:
     * what is before `off` is read. */
    int (*seek)(struct decoder *z, uint64_t off, uint64_t *at, struct error *err);
    /* Bytes of memory that it holds. NULL: less than a few hundred KiB, which nobody counts. */
    size_t (*nbytes)(const struct decoder *z);
    /* As gunzip_learned(). NULL: the codec knows no checkpoints. */
    struct checkpoints *(*learned)(struct decoder *z);
};

extern const struct codec codec_plain, codec_gzip, codec_zstd;

/* The rows by preference: of two files that differ only in their endings the one with the first is
 * the run. NULL behind the last. */
const struct codec *codec_at(size_t i);
/* By a file name's ending (case counts), with something before it: *stem_nbytes, which may not be
 * NULL. NULL: no codec's. */
const struct codec *codec_of_name(const char *name, size_t *stem_nbytes);
/* By what a file starts with. Never NULL. */
const struct codec *codec_of_bytes(const unsigned char *bytes, size_t nbytes);
/* NULL: there is none with that id. */
const struct codec *codec_with_id(unsigned id);

#endif
