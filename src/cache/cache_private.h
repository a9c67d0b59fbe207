/* SPDX-License-Identifier: MIT
 *
 * What the files of the cache share. Nobody else includes it.
 *
 * Thread rule: as in cache.h.
 */
#ifndef DERIVFS_CACHE_PRIVATE_H
#define DERIVFS_CACHE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache.h"
#include "cache_disk.h"

enum {
    CACHE_NREASONS = 256, /* more than there are errnos */
    CACHE_LATER_MAX = 8,  /* each takes two descriptors, and disk that nothing can free */
};

struct from;     /* a cache that is only read */
struct verified; /* a payload whose checksum was found right */
struct pending;  /* a result that was handed on and is not published yet */

/* cache_later.c. All guarded by the cache's mutex. */
struct later {
    struct pending *queue;     /* the first is being published */
    uint64_t nadded, nsettled; /* so far */
    pthread_t thread;
    bool started, closing;
    bool failed;         /* the disk has lost a result: no other is handed on early */
    pthread_cond_t more; /* something is queued, or closing */
    pthread_cond_t less; /* something is not pending any more */
};

struct cache {
    struct disk disk;
    struct from *from; /* [nfrom] */
    size_t nfrom;
    uid_t *owners; /* [nowners] of these caches */
    size_t nowners;
    uint64_t max_nbytes;
    struct budget *budget; /* NULL: no ceiling */
    void (*warn)(void *ctx, const struct error *what);
    void *warn_ctx;
    int64_t (*clock_s)(void);
    atomic_uint_fast64_t hits, misses, published, published_nbytes, evicted, corrupt;

    pthread_mutex_t mutex;       /* never held across I/O or a callback */
    struct verified *verified;   /* guarded by mutex: hash table by key */
    bool warned[CACHE_NREASONS]; /* guarded by mutex: by errno, since the last success */
    bool total_known;            /* guarded by mutex */
    bool collecting;             /* guarded by mutex: a publication made somebody collect; */
    bool published_meanwhile;    /* guarded by mutex: he may not have seen another one */
    uint64_t total_nbytes;       /* guarded by mutex: last scan + added; an estimate */
    uint64_t added_nbytes;       /* guarded by mutex: published here since the last scan */
    struct later later;          /* guarded by mutex */
};

#define NS_PER_S INT64_C(1000000000)
#define HOUR_NS (3600 * NS_PER_S)

/* Each file calls only those that stand above it here; cache.c calls all of them. */

/* ---- cache_state.c ---- */

/* The time for LRU, nanoseconds since the epoch. */
int64_t cache_now_ns(const struct cache *c);

/* Call the warning callback, unless it heard of this errno since the last success. */
void cache_warn(struct cache *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What was found when a payload's bytes were compared. */
enum payload_state {
    PAYLOAD_SOUND,
    PAYLOAD_REFUSED, /* damaged, in a cache that is only read */
};

/* The payload of `key` with this stat, from before its bytes were compared, is so. If memory is
 * short it is not remembered, and checked again next time. */
void cache_remember(struct cache *c, const struct key *key, const struct stat *st,
                    enum payload_state state);
/* The same payload has got another time: what is known of it still holds. */
void cache_remember_touched(struct cache *c, const struct key *key, int fd);
/* Was the payload with this stat found so in this process, less than a day ago? */
bool cache_is_known(struct cache *c, const struct key *key, const struct stat *st,
                    enum payload_state state);
void cache_forget(struct cache *c, const struct key *key);
void cache_forget_all(struct cache *c);
/* Remove an entry that was found damaged, and count it. Fails as disk_remove(). */
int cache_remove_damaged(struct cache *c, const struct key *key);

/* An entry of `nbytes` was published: forget the warnings, and count it. True: it is time to evict,
 * for which the caller calls cache_tidy(). */
bool cache_account(struct cache *c, uint64_t nbytes) NODISCARD;

/* ---- cache_from.c ---- */

/* ENOMEM only: an unusable directory is a warning. */
int from_open(struct cache *c, const struct cache_config *config) NODISCARD;
void from_close(struct cache *c);
/* A descriptor of the key's payload in one of the caches that are only read, or -ENOENT. `check`:
 * its bytes are compared where cache_is_known() does not know them. */
int from_find(struct cache *c, const struct key *key, bool check, struct blob_entry *out) NODISCARD;
/* Do not find it again. */
void from_refuse(struct cache *c, const struct key *key);

/* ---- cache_evict.c ---- */

/* Look over the whole cache, and evict, but for the entry of `key`. */
void cache_tidy(struct cache *c, const struct key *key);
/* Evict, least recently used first, so that `nbytes` more fit on the disk. */
void cache_make_room(struct cache *c, uint64_t nbytes);
void cache_remove_entry(struct cache *c, const struct disk_entry *entry, uint64_t *freed_nbytes);

/* ---- cache_later.c ---- */

/* Publish what is queued, and end the thread. */
void later_fini(struct cache *c);

/* Sync and publish what was handed on as `b`, and free the writer. False: the disk refused the
 * sync, and `b` is invalidated. `*full`: now it is time for cache_tidy(). */
typedef bool later_publish_fn(struct cache_writer *w, struct blob *b, bool *full);

/* Have `publish` called on the publisher's thread; the cache takes a reference to `b`. False: not
 * taken. */
bool later_add(struct cache *c, const struct key *key, struct cache_writer *w, struct blob *b,
               later_publish_fn *publish);

/* The pending result of `key`, a reference, or NULL. */
struct blob *later_find(struct cache *c, const struct key *key);
/* Those of `inputs` that are pending, references; returns how many. */
size_t later_among(struct cache *c, struct blob *const *inputs, size_t n,
                   struct blob *out[CACHE_LATER_MAX]);
/* Wait until nothing of `key` (NULL: nothing at all) is pending. */
void later_wait(struct cache *c, const struct key *key);

#endif
