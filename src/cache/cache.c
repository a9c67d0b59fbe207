/* SPDX-License-Identifier: MIT
 *
 * Finding entries and keeping the cache within its size.
 *
 * A hit is a descriptor: it pins the bytes, so eviction never asks who is reading. A payload's
 * checksum is computed once per process and remembered under (inode, size, mtime); two threads that
 * meet an unknown payload at once may both compute it, which costs time and harms nothing.
 *
 * Least recently used is by mtime, which a use moves only when it is more than an hour old. The
 * total size is an estimate: what the last scan found plus what this process has published since.
 * A scan is due at the first publication, when the estimate passes the maximum, and after each
 * tenth of the maximum published here; so n processes on one directory pass it by n tenths at the
 * most. Eviction goes from over 100 % down to 80 %, so that it is rare.
 */
#include "cache_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define NS_PER_S INT64_C(1000000000)
#define HOUR_NS (3600 * NS_PER_S)

/* Headers of runs are small, and go by age alone. */
#define HEADERS_NS (180 * 24 * HOUR_NS)

struct verified {
    struct key key;
    ino_t ino;
    off_t size;
    int64_t mtime_ns;
    UT_hash_handle hh;
};

int64_t cache_now_ns(const struct cache *c)
{
    if (c->clock_s)
        return c->clock_s() * NS_PER_S;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void cache_warn(struct cache *c, int code, const char *fmt, ...)
{
    bool *warned = &c->warned[code < CACHE_NREASONS ? code : 0];
    pthread_mutex_lock(&c->mutex);
    bool news = !*warned;
    *warned = true;
    pthread_mutex_unlock(&c->mutex);
    if (!news || !c->warn)
        return;
    char text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct error what;
    error_set(&what, code, "%s", text);
    c->warn(c->warn_ctx, &what);
}

/* ---- verified payloads ---- */

static void forget(struct cache *c, const struct key *key)
{
    struct verified *v;
    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, v);
    if (v)
        HASH_DELETE(hh, c->verified, v);
    pthread_mutex_unlock(&c->mutex);
    free(v);
}

static void forget_all(struct cache *c)
{
    struct verified *v, *next;
    pthread_mutex_lock(&c->mutex);
    struct verified *table = c->verified;
    c->verified = NULL;
    pthread_mutex_unlock(&c->mutex);
    HASH_ITER(hh, table, v, next)
    {
        HASH_DELETE(hh, table, v); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(v);
    }
}

static bool is_verified(struct cache *c, const struct key *key, const struct stat *st)
{
    struct verified *v;
    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, v);
    bool yes =
        v && v->ino == st->st_ino && v->size == st->st_size && v->mtime_ns == disk_mtime_ns(st);
    pthread_mutex_unlock(&c->mutex);
    return yes;
}

/* Where memory is out it is not remembered, and verified again next time. */
void cache_remember(struct cache *c, const struct key *key, int fd)
{
    struct stat st;
    struct verified *fresh = calloc(1, sizeof(*fresh));
    if (!fresh || fstat(fd, &st) != 0) {
        free(fresh);
        return;
    }
    fresh->key = *key;
    fresh->ino = st.st_ino;
    fresh->size = st.st_size;
    fresh->mtime_ns = disk_mtime_ns(&st);
    struct verified *old;
    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, old);
    if (old)
        HASH_DELETE(hh, c->verified, old);
    HASH_ADD(hh, c->verified, key.hex, KEY_HEX, fresh);
    bool kept = fresh->hh.tbl != NULL;
    pthread_mutex_unlock(&c->mutex);
    free(old);
    if (!kept)
        free(fresh);
}

/* ---- open, look up ---- */

int cache_open(const struct cache_config *config, struct cache **out, struct error *err)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(err, ENOMEM, "opening the cache: %s", strerror(ENOMEM));
    int ret = disk_init(&c->disk, config->dir, err);
    if (ret < 0) {
        free(c);
        return ret;
    }
    c->max_nbytes = config->max_nbytes;
    c->budget = config->budget;
    c->warn = config->warn;
    c->warn_ctx = config->warn_ctx;
    c->clock_s = config->clock_s;
    pthread_mutex_init(&c->mutex, NULL);
    later_init(&c->later);
    ret = c->max_nbytes > 0 ? disk_prepare(&c->disk) : 0;
    if (ret < 0)
        cache_warn(c, -ret, "cache directory %s: %s; results are kept in memory only", c->disk.root,
                   strerror(-ret));
    *out = c;
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    later_fini(c);
    forget_all(c);
    pthread_mutex_destroy(&c->mutex);
    disk_fini(&c->disk);
    free(c);
}

const char *cache_dir(const struct cache *c)
{
    return c->disk.root;
}

static void remove_damaged(struct cache *c, const struct key *key)
{
    atomic_fetch_add(&c->corrupt, 1);
    forget(c, key);
    disk_remove(&c->disk, key);
}

static void touch(struct cache *c, const struct key *key, int fd, const struct stat *st)
{
    int64_t now_ns = cache_now_ns(c);
    int64_t age_ns = now_ns - disk_mtime_ns(st);
    /* A time far ahead (somebody's clock was wrong) is as bad as one far back. Where the touch is
     * refused (read-only), the entry looks older than it is, and that is all. */
    if (llabs(age_ns) > HOUR_NS && disk_touch(fd, now_ns))
        cache_remember(c, key, fd);
}

/* An entry that is there and sound. */
static int find(struct cache *c, const struct key *key, int *fd, struct stat *st)
{
    struct disk_meta meta;
    int ret = disk_open(&c->disk, key, &meta, fd, st);
    if (ret == 0 && !is_verified(c, key, st)) {
        ret = disk_check(*fd, &meta);
        if (ret == 0)
            cache_remember(c, key, *fd);
        else
            close(*fd);
    }
    if (ret == -EBADMSG)
        remove_damaged(c, key);
    return ret;
}

int cache_lookup(struct cache *c, const struct key *key, struct blob **out)
{
    int fd;
    struct stat st;
    int ret = c->max_nbytes > 0 ? find(c, key, &fd, &st) : -ENOENT;
    if (ret < 0) {
        atomic_fetch_add(&c->misses, 1);
        return -ENOENT;
    }
    touch(c, key, fd, &st);
    atomic_fetch_add(&c->hits, 1);
    *out = blob_from_fd(fd, (uint64_t)st.st_size);
    return *out ? 0 : -ENOENT;
}

int cache_lookup_early(struct cache *c, const struct key *key, struct blob **out)
{
    *out = later_find(c, key);
    if (!*out)
        return cache_lookup(c, key, out);
    atomic_fetch_add(&c->hits, 1);
    return 0;
}

void cache_drop(struct cache *c, const struct key *key)
{
    if (c->max_nbytes == 0)
        return;
    later_wait(c, key);
    forget(c, key);
    disk_remove(&c->disk, key);
}

void cache_retire(struct cache *c, const struct key *key)
{
    struct disk_meta meta;
    struct stat st;
    int fd;

    if (c->max_nbytes == 0 || disk_open(&c->disk, key, &meta, &fd, &st) < 0)
        return;
    bool verified = is_verified(c, key, &st);
    if (disk_touch(fd, 0) && verified)
        cache_remember(c, key, fd);
    close(fd);
}

bool cache_keeps(const struct cache *c, uint64_t nbytes)
{
    return nbytes <= c->max_nbytes && c->max_nbytes > 0;
}

bool cache_has(struct cache *c, const struct key *key)
{
    uint64_t nbytes;
    return cache_size_of(c, key, &nbytes);
}

/* Pending ones first: these are on disk before they cease to be pending. */
bool cache_size_of(struct cache *c, const struct key *key, uint64_t *nbytes)
{
    struct disk_meta meta;
    struct stat st;

    if (c->max_nbytes == 0)
        return false;
    struct blob *pending = later_find(c, key);
    if (pending) {
        *nbytes = blob_nbytes(pending);
        blob_put(pending);
        return true;
    }
    if (disk_open(&c->disk, key, &meta, NULL, &st) < 0)
        return false;
    *nbytes = (uint64_t)st.st_size;
    return true;
}

/* ---- evict ---- */

struct collection {
    bool wait;              /* for another collector to finish; else leave it to him */
    const struct key *keep; /* never evicted; may be NULL */
    uint64_t room_nbytes;   /* evict as much as this even below the maximum */
    uint64_t freed_nbytes;  /* the result */
};

static int by_age(const void *a, const void *b)
{
    const struct disk_entry *x = a;
    const struct disk_entry *y = b;
    return (x->mtime_ns > y->mtime_ns) - (x->mtime_ns < y->mtime_ns);
}

/* What a writer left that was killed between meta and payload, or an evictor between payload and
 * meta. An hour is longer than anybody alive needs from the one to the other. */
static bool is_left_over(const struct disk_entry *entry, int64_t now_ns)
{
    return entry->payload != entry->meta && entry->mtime_ns < now_ns - HOUR_NS;
}

static uint64_t target_nbytes(const struct cache *c, uint64_t total, uint64_t room)
{
    uint64_t target = total > c->max_nbytes ? c->max_nbytes - c->max_nbytes / 5 : total;
    if (room > 0 && room < total / 5)
        room = total / 5;
    if (room > total)
        room = total;
    return target < total - room ? target : total - room;
}

static void remove_entry(struct cache *c, const struct disk_entry *entry, uint64_t *freed_nbytes)
{
    forget(c, &entry->key);
    disk_remove(&c->disk, &entry->key);
    *freed_nbytes += entry->nbytes;
}

/* Returns the bytes that stay. */
static uint64_t evict(struct cache *c, struct disk_list *list, struct collection *how)
{
    int64_t now_ns = cache_now_ns(c);
    uint64_t total = 0;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct disk_entry *entry = &list->entries[i];
        if (is_left_over(entry, now_ns)) {
            remove_entry(c, entry, &how->freed_nbytes);
        } else if (entry->payload) {
            total += entry->nbytes;
            list->entries[n++] = *entry;
        }
    }
    uint64_t target = target_nbytes(c, total, how->room_nbytes);
    if (total <= target)
        return total;
    qsort(list->entries, n, sizeof(*list->entries), by_age);
    for (size_t i = 0; i < n && total > target; i++) {
        const struct disk_entry *entry = &list->entries[i];
        if (how->keep && key_equal(how->keep, &entry->key))
            continue;
        remove_entry(c, entry, &how->freed_nbytes);
        atomic_fetch_add(&c->evicted, 1);
        total -= entry->nbytes;
    }
    return total;
}

static int collect(struct cache *c, struct collection *how)
{
    int lock = disk_lock(&c->disk, how->wait);
    if (lock < 0)
        return lock;
    struct disk_list list;
    int ret = disk_scan(&c->disk, &list);
    if (ret == 0) {
        uint64_t total = evict(c, &list, how);
        ret = disk_sweep(&c->disk, cache_now_ns(c) - HOUR_NS, &how->freed_nbytes);
        disk_sweep_headers(&c->disk, cache_now_ns(c) - HEADERS_NS);
        pthread_mutex_lock(&c->mutex);
        c->total_known = true;
        c->total_nbytes = total;
        c->added_nbytes = 0;
        pthread_mutex_unlock(&c->mutex);
    }
    disk_list_free(&list);
    close(lock);
    return ret;
}

bool cache_account(struct cache *c, uint64_t nbytes)
{
    bool due;

    atomic_fetch_add(&c->published, 1);
    pthread_mutex_lock(&c->mutex);
    memset(c->warned, 0, sizeof(c->warned));
    c->total_nbytes += nbytes;
    c->added_nbytes += nbytes;
    c->published_meanwhile = c->collecting;
    due = !c->collecting && (!c->total_known || c->total_nbytes > c->max_nbytes ||
                             c->added_nbytes > c->max_nbytes / 10);
    c->collecting = c->collecting || due;
    pthread_mutex_unlock(&c->mutex);
    return due;
}

void cache_tidy(struct cache *c, const struct key *key)
{
    bool again = true;

    while (again) {
        struct collection how = {.keep = key};

        pthread_mutex_lock(&c->mutex);
        c->published_meanwhile = false;
        pthread_mutex_unlock(&c->mutex);
        /* The entry is published in any case; whoever publishes next tries again. */
        int ret = collect(c, &how);
        pthread_mutex_lock(&c->mutex);
        again = ret == 0 && c->published_meanwhile;
        c->collecting = again;
        pthread_mutex_unlock(&c->mutex);
    }
}

void cache_make_room(struct cache *c, uint64_t nbytes)
{
    struct collection how = {.room_nbytes = nbytes};
    (void)collect(c, &how); /* whether it helped shows when the caller tries again */
}

/* ---- look after the directory ---- */

uint64_t cache_evicted(const struct cache *c)
{
    return atomic_load(&c->evicted);
}

static int scan(struct cache *c, const char *what, struct disk_list *list, struct error *err)
{
    int ret = disk_scan(&c->disk, list);
    if (ret < 0) {
        disk_list_free(list);
        return error_set(err, -ret, "%s the cache %s: %s", what, c->disk.root, strerror(-ret));
    }
    return 0;
}

int cache_stats(struct cache *c, struct cache_stats *out, struct error *err)
{
    struct disk_list list;
    int ret = scan(c, "counting", &list, err);
    if (ret < 0)
        return ret;
    *out = (struct cache_stats){
        .max_nbytes = c->max_nbytes,
        .hits = atomic_load(&c->hits),
        .misses = atomic_load(&c->misses),
        .published = atomic_load(&c->published),
        .evicted = atomic_load(&c->evicted),
        .corrupt = atomic_load(&c->corrupt),
    };
    for (size_t i = 0; i < list.n; i++) {
        if (list.entries[i].payload && list.entries[i].meta) {
            out->entries++;
            out->nbytes += list.entries[i].nbytes;
        }
    }
    disk_list_free(&list);
    return 0;
}

int cache_prune(struct cache *c, uint64_t *freed_nbytes, struct error *err)
{
    struct collection how = {.wait = true};
    int ret = collect(c, &how);
    *freed_nbytes = how.freed_nbytes;
    if (ret == -ENOENT) /* no directory, nothing to prune */
        return 0;
    if (ret < 0)
        return error_set(err, -ret, "pruning the cache %s: %s", c->disk.root, strerror(-ret));
    return 0;
}

int cache_clear(struct cache *c, uint64_t *freed_nbytes, struct error *err)
{
    *freed_nbytes = 0;
    later_wait(c, NULL);
    struct disk_list list;
    int ret = scan(c, "clearing", &list, err);
    if (ret < 0)
        return ret;
    forget_all(c);
    for (size_t i = 0; i < list.n; i++)
        remove_entry(c, &list.entries[i], freed_nbytes);
    disk_list_free(&list);
    disk_sweep_headers(&c->disk, INT64_MAX);
    /* Temps of writers that may be at work stay. */
    ret = disk_sweep(&c->disk, cache_now_ns(c) - HOUR_NS, freed_nbytes);
    if (ret < 0)
        return error_set(err, -ret, "clearing the cache %s: %s", c->disk.root, strerror(-ret));
    return 0;
}

/* Whatever this process believes of it: the file itself is read. */
static int verify_entry(struct cache *c, const struct key *key, struct disk_meta *meta)
{
    struct stat st;
    int fd;
    int ret = disk_open(&c->disk, key, meta, &fd, &st);
    if (ret < 0)
        return ret;
    ret = disk_check(fd, meta);
    if (ret == 0)
        cache_remember(c, key, fd);
    close(fd);
    return ret;
}

int cache_verify(struct cache *c, uint64_t *good, uint64_t *bad,
                 void (*report)(void *ctx, const struct error *what), void *ctx, struct error *err)
{
    *good = *bad = 0;
    struct disk_list list;
    int ret = scan(c, "verifying", &list, err);
    if (ret < 0)
        return ret;
    for (size_t i = 0; ret == 0 && i < list.n; i++) {
        const struct key *key = &list.entries[i].key;
        struct disk_meta meta = {.label = "unreadable label"};
        int found = list.entries[i].payload ? verify_entry(c, key, &meta) : -ENOENT;
        if (found == 0) {
            ++*good;
        } else if (found == -EBADMSG) {
            ++*bad;
            remove_damaged(c, key);
            struct error what;
            error_set(&what, EIO, "cache entry %s (%s) is damaged; removed", key->hex, meta.label);
            if (report)
                report(ctx, &what);
        } else if (found != -ENOENT) {
            ret = error_set(err, -found, "cache entry %s: %s", key->hex, strerror(-found));
        }
    }
    disk_list_free(&list);
    return ret;
}
