/* SPDX-License-Identifier: MIT
 *
 * The cache: results on disk under their keys, complete or absent, never in between.
 *
 * May be shared by several daemons and hosts. Crash-only: whatever is killed whenever, the next
 * start finds complete entries or none. Advisory locks only keep two collectors from working at
 * once; correctness comes from link(2) of a complete file. An entry whose length or checksum is
 * wrong is removed and reported as absent. Where the disk cannot take an entry (full, read-only,
 * larger than the cache may be) the result lives only as long as somebody holds it, in memory under
 * the budget (or in a nameless file, if only naming it failed), and the warning callback is told
 * once per errno until the next entry is published. With cache_size 0 that is what was asked for:
 * no warning, and the directory is neither made nor looked into but by those who look after it
 * (stats, prune, clear, verify).
 * A result that others are computed from may be handed on before it is published
 * (cache_commit_later); what is computed from it is published after it, or not at all. So whatever
 * cache_lookup() finds, or cache_commit() has handed back, outlives a kill.
 * Thread rule: all functions may be called from any thread; a cache_writer belongs to one.
 */
#ifndef DERIVFS_CACHE_H
#define DERIVFS_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "blob.h"
#include "budget.h"
#include "error.h"
#include "helpers.h"
#include "key.h"

struct cache_config {
    const char *dir;       /* made if missing (mode 0700, with parents); copied */
    uint64_t max_nbytes;   /* least recently used entries go above this; 0: keep nothing on disk */
    struct budget *budget; /* for results that must stay in memory; outlives the cache */
    void (*warn)(void *ctx, const struct error *what); /* may be NULL; called from any thread */
    void *warn_ctx;
    const char *const *from; /* [nfrom] directories of caches that are only read; copied */
    size_t nfrom;
    const uid_t *owners; /* [nowners] who may own them besides root and this user; copied */
    size_t nowners;
    int64_t (*clock_s)(void); /* seconds since the epoch for LRU; NULL: the real clock */
};

struct cache;

/* An unusable directory is a warning, not a failure. Fails with ENOMEM only. Costs the same for an
 * empty and for a full cache: no scan. */
int cache_open(const struct cache_config *config, struct cache **out, struct error *err) NODISCARD;
/* Publishes what is still to be published. */
void cache_close(struct cache *c);
const char *cache_dir(const struct cache *c);

/* The entry's bytes, of this cache or one that is only read, or -ENOENT. The checksum is verified at first use in this process, and again a
 * day later; a bad entry is unlinked and absent. Counts as a use for LRU (at most one touch an hour). */
int cache_lookup(struct cache *c, const struct key *key, struct blob **out);
/* The same, and besides what cache_commit_later() has not published yet: for tasks, which say so by
 * cache_computed_from(). */
int cache_lookup_early(struct cache *c, const struct key *key, struct blob **out);

/* Read the first `cap` bytes of a file of the cache from[which], if it is believed as an entry is:
 * `name` beneath its v1, or beneath the directory `dir` in there. How many there were, or -errno;
 * -EPERM: it is not believed, or the directory is not used (ENOENT). */
ssize_t cache_read_from(const struct cache *c, size_t which, const char *dir, const char *name,
                        void *bytes, size_t cap) NODISCARD;

/* Compare the bytes with the checksum once more. What is in memory is right. EAGAIN: they differ, or
 * are not there any more; the entry is removed, `b` invalidated, and its task has to run again. */
int cache_check(struct cache *c, struct blob *b, struct error *err) NODISCARD;
/* The same, by the XXH3 of the bytes that the caller has read: all of them, in order. */
int cache_compare(struct cache *c, struct blob *b, uint64_t xxh3, struct error *err) NODISCARD;
/* The same of each; idle threads of `helpers` help. NULL: nobody does. */
int cache_check_all(struct cache *c, struct blob *const *blobs, size_t n,
                    struct helper_pool *helpers, struct error *err) NODISCARD;
/* Read all bytes, and compare these. Errors as above. */
int cache_read_whole(struct cache *c, struct blob *b, void *bytes, struct error *err) NODISCARD;

/* Is an entry of `nbytes` one that the cache would keep on disk? */
bool cache_keeps(const struct cache *c, uint64_t nbytes);

/* Can entries be kept on disk? Tries it. The sentence names the directory and the reason. */
int cache_try(struct cache *c, struct error *err) NODISCARD;

/* Is there an entry of the right length, or will there be as soon as it is published? Cheap: no
 * open of the payload, no checksum, no touch. */
bool cache_has(struct cache *c, const struct key *key);
/* Why not? -ENOENT: there is no entry; -EBADMSG: it is damaged; other codes: it cannot be read; 0: there
 * is one. */
int cache_look(struct cache *c, const struct key *key) NODISCARD;
/* Is there one, and how long is it? */
bool cache_size_of(struct cache *c, const struct key *key, uint64_t *nbytes);

/* Remove an entry that is sound, but no longer right. One that is being published is waited for. */
void cache_drop(struct cache *c, const struct key *key);
/* From now on the entry counts as the least recently used, until it is used again. */
void cache_retire(struct cache *c, const struct key *key);

/* Writing one entry of exactly `nbytes`, from front to back. `label` is one line for people, kept
 * beside the entry ("moments sub-01_task-rest_bold.nii.gz"). Space is set aside first: when the
 * disk is full, evict once, try again, else go on in memory. ENOMEM: that too is over the budget.
 * `key` NULL: not worth an entry: the bytes stay in memory, under the budget, for as long as
 * somebody holds them. */
struct cache_writer;
enum cache_how {
    CACHE_KEEP,
    CACHE_KEEP_IN_ROOM, /* the caller has taken `nbytes` from the budget: they are the writer's from
                           the call on, for the case that it needs them */
    CACHE_KEEP_SPARE,   /* a second form of what the cache has already: on disk where there is free
                           space, or not at all. Nothing is evicted for it before it is there, and no
                           memory taken. ENOSPC: it is not kept */
};
int cache_begin(struct cache *c, const struct key *key, const char *label, uint64_t nbytes,
                enum cache_how how, struct cache_writer **out, struct error *err) NODISCARD;
int cache_write(struct cache_writer *w, const void *bytes, size_t nbytes,
                struct error *err) NODISCARD;
/* What was written is computed from these, which are checked (cache_check_all) after they were read.
 * Committing waits until those of them are published that were handed on early. EAGAIN, from here or
 * from committing: the disk has lost or damaged one of them, and it has to be computed again. */
int cache_computed_from(struct cache_writer *w, struct blob *const *inputs, size_t n,
                        struct helper_pool *helpers, struct error *err) NODISCARD;
/* Publish and hand back the bytes. Frees the writer in any case. Fewer or more bytes written than
 * announced: EIO and nothing is kept. Where another process published the same key first, his
 * entry is used. */
int cache_commit(struct cache_writer *w, struct blob **out, struct error *err) NODISCARD;
/* The same, but hand back the bytes at once, and publish them meanwhile. Where that cannot be (much
 * is waiting already, the result is in memory, this disk has failed before): as cache_commit(). */
int cache_commit_later(struct cache_writer *w, struct blob **out, struct error *err) NODISCARD;
/* Wait until the bytes that cache_commit_later() or cache_lookup_early() gave are published, or
 * else are known not to be kept. EAGAIN: the disk has lost them. */
int cache_settle(struct cache *c, const struct blob *b, struct error *err) NODISCARD;
void cache_abort(struct cache_writer *w); /* NULL is allowed */

struct cache_stats {
    uint64_t entries, nbytes, max_nbytes;
    uint64_t hits, misses, published, evicted, corrupt; /* of this process */
    uint64_t published_nbytes;
};

/* Counts entries on disk: takes as long as the cache is large. */
int cache_stats(struct cache *c, struct cache_stats *out, struct error *err) NODISCARD;
/* All but entries and nbytes, which are 0. */
struct cache_stats cache_counters(const struct cache *c);

/* Entries that this process has evicted so far. */
uint64_t cache_evicted(const struct cache *c);

/* Evict down to max_nbytes and remove left-overs of writers that died (older than an hour). */
int cache_prune(struct cache *c, uint64_t *freed_nbytes, struct error *err) NODISCARD;
/* Remove every entry, those included that are being published. Never removes a file that is not the
 * cache's own. */
int cache_clear(struct cache *c, uint64_t *freed_nbytes, struct error *err) NODISCARD;
/* Check every entry's checksum; remove the bad ones; `report` (may be NULL) is told each. Half an
 * entry that somebody may be publishing is none. EIO at the end: some cannot be read or removed. */
int cache_verify(struct cache *c, uint64_t *good, uint64_t *bad,
                 void (*report)(void *ctx, const struct error *what), void *ctx,
                 struct error *err) NODISCARD;

#endif
