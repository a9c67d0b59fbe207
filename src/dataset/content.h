/* SPDX-License-Identifier: MIT
 *
 * Content ids: what a file's bytes are, whatever the file is called and wherever it is.
 *
 * A content id is the size and a keyed hash (keyed_hash.h) of the stored bytes; a fingerprint is the
 * same of the first, the middle and the last block alone: cheap to have, and no proof. Both are
 * hashes of blocks' hashes, so the bytes may come in any order, from any threads, and more than
 * once. Thread rule: content_add() from any thread; the others when nobody adds.
 */
#ifndef DERIVFS_CONTENT_H
#define DERIVFS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec.h"
#include "error.h"
#include "keyed_hash.h"

enum { CONTENT_BLOCK_NBYTES = 64 << 10 };

struct content_id {
    uint64_t nbytes;
    unsigned char fingerprint[HASH_NBYTES], hash[HASH_NBYTES];
};

struct content;

/* Of a file of `nbytes`. The secret outlives it. NULL: out of memory. */
struct content *content_new(const struct hash_secret *secret, uint64_t nbytes) NODISCARD;
void content_free(struct content *c); /* NULL is allowed */

/* These are the file's bytes from `off` on. Some may be passed over; content_fill() reads them. */
void content_add(struct content *c, uint64_t off, const void *bytes, size_t nbytes);

/* Bytes of the blocks that are not complete. */
uint64_t content_missing(const struct content *c);

/* Read what is missing: of all blocks, or only those of the fingerprint. `cancel` may be NULL. What
 * `pread` returns where that fails; EIO: the file is shorter; ECANCELED. */
int content_fill(struct content *c, bool all, decoder_pread *pread, void *ctx,
                 const struct cancel_token *cancel, struct error *err) NODISCARD;

/* After content_fill(): the fingerprint, and with `all` the hash. ENOMEM. */
int content_end(const struct content *c, bool all, struct content_id *out,
                struct error *err) NODISCARD;

#endif
