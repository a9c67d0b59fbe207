/* SPDX-License-Identifier: MIT
 *
 * What cache.c (finding, evicting) and cache_write.c (publishing) share. Nobody else includes it.
 *
 * Thread rule: as in cache.h.
 */
#ifndef DERIVFS_CACHE_INTERNAL_H
#define DERIVFS_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache.h"
#include "cache_disk.h"

enum { CACHE_NREASONS = 256 }; /* more than there are errnos */

struct verified; /* a payload whose checksum was found right */

struct cache {
    struct disk disk;
    uint64_t max_nbytes;
    struct budget *budget; /* NULL: no ceiling */
    void (*warn)(void *ctx, const struct error *what);
    void *warn_ctx;
    int64_t (*clock_s)(void);
    atomic_uint_fast64_t hits, misses, published, evicted, corrupt;

    pthread_mutex_t mutex;       /* never held across I/O or a callback */
    struct verified *verified;   /* guarded by mutex: hash table by key */
    bool warned[CACHE_NREASONS]; /* guarded by mutex: by errno, since the last success */
    bool total_known;            /* guarded by mutex */
    bool collecting;             /* guarded by mutex: a publication made somebody collect; */
    bool published_meanwhile;    /* guarded by mutex: he may not have seen another one */
    uint64_t total_nbytes;       /* guarded by mutex: last scan + added; an estimate */
    uint64_t added_nbytes;       /* guarded by mutex: published here since the last scan */
};

/* The time for LRU, nanoseconds since the epoch. */
int64_t cache_now_ns(const struct cache *c);

/* Tell the warning callback, unless it was told of this errno since the last success. */
void cache_warn(struct cache *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The payload of `key` that `fd` is open on is known to be sound. */
void cache_remember(struct cache *c, const struct key *key, int fd);

/* An entry of `nbytes` was published: forget the warnings, count it, and evict when it is time. */
void cache_account(struct cache *c, const struct key *key, uint64_t nbytes);

/* Evict, least recently used first, so that `nbytes` more fit on the disk. */
void cache_make_room(struct cache *c, uint64_t nbytes);

#endif
