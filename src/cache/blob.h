/* SPDX-License-Identifier: MIT
 *
 * A blob: the finished, immutable bytes of one task's result, in a cache file or in memory.
 *
 * Reference-counted, so that a reader, a dependent task and the cache may share it; the bytes stay
 * readable until the last reference goes, also when the cache entry has been evicted meanwhile.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_BLOB_H
#define DERIVFS_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "error.h"
#include "key.h"

struct blob;

/* An entry of the cache, or what is to become one. */
struct blob_entry {
    struct key key;
    uint64_t nbytes;
    uint64_t xxh3; /* XXH3 (64 bits) of the bytes */
    bool remote;   /* other hosts may remove the file while it is open */
    bool foreign;  /* it is in a cache that is only read */
};

/* Both own what they are given from the call on, also when they fail (NULL: out of memory).
 * `budget` (may be NULL) is given `nbytes` back when the blob goes. */
struct blob *blob_from_memory(void *malloced, uint64_t nbytes, struct budget *budget) NODISCARD;
struct blob *blob_from_fd(int fd, const struct blob_entry *entry) NODISCARD;

/* NULL: a blob in memory */
const struct blob_entry *blob_entry(const struct blob *b);

struct blob *blob_get(struct blob *b);
void blob_put(struct blob *b); /* NULL is allowed */

uint64_t blob_nbytes(const struct blob *b);
int blob_fd(const struct blob *b); /* -1 for a blob in memory; stays the blob's */

/* Read exactly [off, off + nbytes), which must lie within the blob. EAGAIN: it is
 * invalidated, or the disk does not give the bytes; its task has to run again. */
int blob_read(const struct blob *b, uint64_t off, void *buf, size_t nbytes,
              struct error *err) NODISCARD;

/* The disk has lost bytes of it: from now on it gives none. What was read before may be wrong. */
void blob_invalidate(struct blob *b);
bool blob_is_invalidated(const struct blob *b);

#endif
