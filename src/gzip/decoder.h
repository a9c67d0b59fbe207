/* SPDX-License-Identifier: MIT
 *
 * What a codec opens: it reads stored bytes by a function that it is given, and gives the bytes that
 * they stand for from front to back. gunzip.h has one; ../dataset/codec.h has the table of them.
 */
#ifndef DERIVFS_DECODER_H
#define DERIVFS_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "checkpoints.h"
#include "error.h"
#include "helpers.h"

/* Only the codec that opened it knows what is inside. */
struct decoder;

/* Put at most `cap` stored bytes from `off` on into `buf`; *got is less at their end only. */
typedef int decoder_pread(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                          struct error *err);

/* The stored bytes. */
struct decoder_source {
    decoder_pread *pread; /* called from several threads at once where helpers decode */
    void *ctx;
};

/* What a decoder reads from, and what may help it. */
struct decoder_input {
    struct decoder_source source;
    uint64_t stored_nbytes;      /* of the file */
    struct helper_pool *helpers; /* decode while they are idle; NULL: none */
    struct budget *budget;       /* of the helpers' pieces, which begin only if it has enough to
                                    spare; NULL: no limit */
    struct checkpoints *known;   /* of this very file; NULL: none. A reference is taken */
    bool learn;                  /* note checkpoints on the way */
};

#endif
