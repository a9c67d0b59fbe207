/* SPDX-License-Identifier: MIT
 *
 * Writing an entry.
 *
 *     begin ── space set aside ── write, write, ... ── commit ── sync, publish ── blob of the file
 *        └───────── disk refuses ─────────┴───────────────┘
 *                         └── what is on disk is read back; on in memory ── blob in memory
 *
 * The reader gets his bytes either way. The checksum is computed as the bytes pass; it also proves
 * that what was read back from a failing disk is what was written to it. A complete file that
 * cannot get its name (the directory is read-only, say) needs no reading back: the blob holds the
 * nameless file.
 *
 * cache_commit_later() hands on the nameless file first (cache_later.c). Nothing reads that back
 * when the sync fails: somebody may have read wrong bytes by then. It is invalidated, and whatever was
 * computed from it is thrown away before it is published.
 */
#include "cache_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "fd.h"
#include "keyed_hash.h"

/* The disk begins when so much is there: of the moments of 64x64x30 voxels, 4 MB, 0.8 to 1.6 ms of
 * 2.5 are left for the sync at the end. */
enum { BEGIN_NBYTES = 512 << 10 };

struct cache_writer {
    struct cache *cache;
    struct key key;
    struct disk_meta meta; /* nbytes and label from the start, the rest at commit */
    uint64_t written_nbytes;
    uint64_t begun_nbytes; /* of these are on their way to the disk */
    bool failed;           /* only cache_abort(), or a commit that fails */
    bool spare;            /* CACHE_KEEP_SPARE: no eviction, never in memory */
    bool room;             /* meta.nbytes are taken from the budget, but not in use */
    struct disk_temp temp; /* fd -1: in memory */
    unsigned char *memory; /* [meta.nbytes], taken from the budget; NULL: on disk */
    void *sum;             /* xxh3() of what is written to temp */
    size_t nsources;
    struct blob *sources[CACHE_LATER_MAX]; /* [nsources] references: pending when it was begun */
};

static int take_memory(struct cache_writer *w, struct error *err)
{
    uint64_t nbytes = w->meta.nbytes;
    struct budget *budget = w->cache->budget;
    if (nbytes > SIZE_MAX || (budget && !w->room && !budget_take(budget, (size_t)nbytes)))
        return error_set(err, ENOMEM,
                         "%s: its %" PRIu64 " bytes cannot be kept on disk and are over the limit "
                         "on memory: free space on disk, or raise the option memory",
                         w->meta.label, nbytes);
    w->room = false;
    w->memory = malloc(nbytes > 0 ? (size_t)nbytes : 1);
    if (w->memory)
        return 0;
    if (budget)
        budget_give(budget, (size_t)nbytes);
    return error_set(err, ENOMEM, "%s: no memory for %" PRIu64 " bytes", w->meta.label, nbytes);
}

static bool read_back(const struct cache_writer *w)
{
    ssize_t n = fd_pread(w->temp.fd, w->memory, w->written_nbytes, 0);

    return n >= 0 && (uint64_t)n == w->written_nbytes &&
           XXH3_64bits(w->memory, w->written_nbytes) == xxh3()->value(w->sum);
}

static void warn_not_kept(const struct cache_writer *w, int code)
{
    cache_warn(w->cache, code, "cache %s: %s: %s; the result is not kept", w->cache->disk.root,
               w->meta.label, strerror(code));
}

static int refuse_spare(const struct cache_writer *w, int code, struct error *err)
{
    return error_set(err, code, "cache %s: %s: %s", w->cache->disk.root, w->meta.label,
                     strerror(code));
}

/* The disk refused with `code`: go on in memory with what was written so far. */
static int go_to_memory(struct cache_writer *w, int code, struct error *err)
{
    if (w->spare)
        return refuse_spare(w, code, err);
    warn_not_kept(w, code);
    int ret = take_memory(w, err);
    if (ret == 0 && !read_back(w))
        ret = error_set(err, EIO, "%s: writing to the cache failed (%s), and so did reading back",
                        w->meta.label, strerror(code));
    disk_temp_discard(&w->temp);
    return ret;
}

static bool is_full(int ret)
{
    return ret == -ENOSPC || ret == -EDQUOT;
}

static int reserve(struct cache_writer *w)
{
    struct cache *c = w->cache;
    int ret = disk_temp_open(&c->disk, &w->key, w->meta.nbytes, &w->temp);
    if (!is_full(ret) || w->spare)
        return ret;
    cache_make_room(c, w->meta.nbytes);
    return disk_temp_open(&c->disk, &w->key, w->meta.nbytes, &w->temp);
}

static int start(struct cache_writer *w, struct error *err)
{
    struct cache *c = w->cache;
    if (w->spare) {
        int refused = cache_keeps(c, w->meta.nbytes) ? reserve(w) : -ENOSPC;
        return refused < 0 ? refuse_spare(w, -refused, err) : 0;
    }
    if (c->max_nbytes == 0)
        return take_memory(w, err);
    if (w->meta.nbytes > c->max_nbytes) {
        cache_warn(c, EFBIG,
                   "cache %s: %s: %" PRIu64 " bytes are more than the cache may hold (%" PRIu64
                   "); the result is not kept",
                   c->disk.root, w->meta.label, w->meta.nbytes, c->max_nbytes);
        return take_memory(w, err);
    }
    int ret = reserve(w);
    if (ret == 0)
        return 0;
    warn_not_kept(w, -ret);
    return take_memory(w, err);
}

/* What is known from the start. NULL: out of memory. */
static struct cache_writer *writer_new(struct cache *c, const struct key *key, const char *label,
                                       uint64_t nbytes)
{
    struct cache_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->cache = c;
    if (key)
        w->key = *key;
    w->meta.nbytes = nbytes;
    snprintf(w->meta.label, sizeof(w->meta.label), "%s", label);
    w->temp.fd = -1;
    w->sum = xxh3()->begin();
    if (w->sum)
        return w;
    cache_abort(w);
    return NULL;
}

int cache_begin(struct cache *c, const struct key *key, const char *label, uint64_t nbytes,
                enum cache_how how, struct cache_writer **out, struct error *err)
{
    struct cache_writer *w = writer_new(c, key, label, nbytes);
    if (!w) {
        if (how == CACHE_KEEP_IN_ROOM && c->budget)
            budget_give(c->budget, (size_t)nbytes);
        return error_set(err, ENOMEM, "%s: %s", label, strerror(ENOMEM));
    }
    w->spare = how == CACHE_KEEP_SPARE;
    w->room = how == CACHE_KEEP_IN_ROOM && c->budget;
    int ret = key ? start(w, err) : take_memory(w, err);
    if (ret < 0) {
        cache_abort(w);
        return ret;
    }
    *out = w;
    return 0;
}

int cache_write(struct cache_writer *w, const void *bytes, size_t nbytes, struct error *err)
{
    int ret = 0;
    if (w->failed)
        return error_set(err, EIO, "%s: writing it has failed before", w->meta.label);
    if (nbytes > w->meta.nbytes - w->written_nbytes) {
        w->failed = true;
        return error_set(err, EIO, "%s: more than the %" PRIu64 " bytes announced", w->meta.label,
                         w->meta.nbytes);
    }
    if (!w->memory) {
        int refused = fd_write(w->temp.fd, bytes, nbytes);
        if (refused < 0)
            ret = go_to_memory(w, -refused, err);
        else
            xxh3()->add(w->sum, bytes, nbytes);
    }
    if (ret < 0) {
        w->failed = true;
        return ret;
    }
    if (w->memory && nbytes > 0)
        memcpy(w->memory + w->written_nbytes, bytes, nbytes);
    w->written_nbytes += nbytes;
    if (!w->memory && w->written_nbytes - w->begun_nbytes >= BEGIN_NBYTES) {
        disk_temp_begin_sync(&w->temp, w->begun_nbytes, w->written_nbytes);
        w->begun_nbytes = w->written_nbytes;
    }
    return 0;
}

/* A second descriptor of the temp that can only read, or -errno. */
static int reopen(const struct cache_writer *w)
{
    char proc[32];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", w->temp.fd);
    int fd = open(proc, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cache_computed_from(struct cache_writer *w, struct blob *const *inputs, size_t n,
                        struct helper_pool *helpers, struct error *err)
{
    w->nsources = later_among(w->cache, inputs, n, w->sources);
    /* in this order: what is not pending any more is invalidated by now, or never */
    for (size_t i = 0; i < n; i++) {
        int ret = blob_is_invalidated(inputs[i]) ? cache_settle(w->cache, inputs[i], err) : 0;
        if (ret < 0)
            return ret;
    }
    return cache_check_all(w->cache, inputs, n, helpers, err);
}

/* Is all safe that the result was computed from? */
static int settle_sources(const struct cache_writer *w, struct error *err)
{
    int ret = 0;
    for (size_t i = 0; i < w->nsources && ret == 0; i++)
        ret = cache_settle(w->cache, w->sources[i], err);
    return ret;
}

/* What is known only when the last byte is written. Then sync it. */
static int seal(struct cache_writer *w)
{
    int64_t now_ns = cache_now_ns(w->cache);
    w->meta.time_s = now_ns / 1000000000;
    w->meta.xxh3 = xxh3()->value(w->sum);
    disk_touch(w->temp.fd, now_ns); /* refused: it has the time of its last write */
    return disk_sync(&w->temp);
}

/* Name the file, which `fd` is open on too. Returns a descriptor of somebody else's entry where
 * that was first, whose meta w->meta then is, else -1; also where the file gets no name. `*full`: it
 * is time for cache_tidy(). */
static int publish(struct cache_writer *w, int fd, bool *full)
{
    struct cache *c = w->cache;
    struct stat st;
    int theirs;
    int refused = disk_publish(&c->disk, &w->key, &w->temp, &w->meta, &theirs);
    if (is_full(refused)) { /* of all things, the meta or a directory did not fit */
        cache_make_room(c, 1);
        refused = disk_publish(&c->disk, &w->key, &w->temp, &w->meta, &theirs);
    }
    *full = false;
    if (refused < 0) {
        warn_not_kept(w, -refused);
        return -1;
    }
    disk_temp_discard(&w->temp);
    if (fstat(theirs >= 0 ? theirs : fd, &st) == 0)
        cache_remember(c, &w->key, &st, PAYLOAD_SOUND);
    if (theirs < 0)
        *full = cache_account(c, w->meta.nbytes);
    return theirs;
}

static struct blob *blob_of(const struct cache_writer *w, int fd)
{
    return blob_from_fd(fd, &(struct blob_entry){.key = w->key,
                                                 .nbytes = w->meta.nbytes,
                                                 .xxh3 = w->meta.xxh3,
                                                 .remote = w->cache->disk.remote});
}

static int commit_file(struct cache_writer *w, struct blob **out, struct error *err)
{
    int refused = seal(w);
    int fd = refused < 0 ? refused : reopen(w);
    if (fd < 0)
        return go_to_memory(w, -fd, err);
    /* only now, so that the disk syncs them and this at the same time */
    int ret = settle_sources(w, err);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    bool full;
    int theirs = publish(w, fd, &full);
    if (theirs >= 0) {
        close(fd);
        fd = theirs;
    }
    if (full)
        cache_tidy(w->cache, &w->key);
    *out = blob_of(w, fd);
    return *out ? 0 : error_set(err, ENOMEM, "%s: %s", w->meta.label, strerror(ENOMEM));
}

static int commit_memory(struct cache_writer *w, struct blob **out, struct error *err)
{
    int ret = settle_sources(w, err);
    if (ret < 0)
        return ret;
    *out = blob_from_memory(w->memory, w->meta.nbytes, w->cache->budget);
    w->memory = NULL;
    return *out ? 0 : error_set(err, ENOMEM, "%s: %s", w->meta.label, strerror(ENOMEM));
}

static bool is_complete(const struct cache_writer *w)
{
    return !w->failed && w->written_nbytes == w->meta.nbytes;
}

int cache_commit(struct cache_writer *w, struct blob **out, struct error *err)
{
    int ret = 0;
    *out = NULL;
    if (!is_complete(w))
        ret = error_set(err, EIO, "%s: %" PRIu64 " bytes announced, %" PRIu64 " written",
                        w->meta.label, w->meta.nbytes, w->written_nbytes);
    else if (!w->memory)
        ret = commit_file(w, out, err);
    if (ret == 0 && w->memory)
        ret = commit_memory(w, out, err);
    cache_abort(w);
    return ret;
}

/* A later_publish_fn. */
static bool publish_handed_on(struct cache_writer *w, struct blob *b, bool *full)
{
    int refused = seal(w);
    *full = false;
    if (refused < 0)
        cache_warn(w->cache, -refused, "cache %s: %s: %s; what needs the result computes it again",
                   w->cache->disk.root, w->meta.label, strerror(-refused));
    if (refused < 0 || settle_sources(w, NULL) < 0) {
        blob_invalidate(b);
    } else {
        int theirs = publish(w, blob_fd(b), full);
        if (theirs >= 0)
            close(theirs);
    }
    cache_abort(w);
    return refused == 0;
}

int cache_commit_later(struct cache_writer *w, struct blob **out, struct error *err)
{
    int fd = is_complete(w) && !w->memory && !w->spare ? reopen(w) : -1;
    w->meta.xxh3 = xxh3()->value(w->sum);
    *out = fd >= 0 ? blob_of(w, fd) : NULL;
    if (*out && later_add(w->cache, &w->key, w, *out, publish_handed_on))
        return 0;
    blob_put(*out);
    return cache_commit(w, out, err);
}

void cache_abort(struct cache_writer *w)
{
    if (!w)
        return;
    disk_temp_discard(&w->temp);
    if ((w->memory || w->room) && w->cache->budget)
        budget_give(w->cache->budget, (size_t)w->meta.nbytes);
    free(w->memory);
    for (size_t i = 0; i < w->nsources; i++)
        blob_put(w->sources[i]);
    xxh3()->free(w->sum);
    free(w);
}
