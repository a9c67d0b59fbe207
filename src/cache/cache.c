/* SPDX-License-Identifier: MIT
 *
 * Finding entries, and looking after all of them.
 *
 * A hit is a descriptor: it pins the bytes, so eviction never asks who is reading.
 */
#include "cache_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    pthread_cond_init(&c->later.more, NULL);
    pthread_cond_init(&c->later.less, NULL);
    ret = c->max_nbytes > 0 ? disk_prepare(&c->disk) : 0;
    c->disk.remote = disk_is_remote(c->disk.root);
    if (ret < 0)
        cache_warn(
            c, -ret,
            "cache directory %s: %s; results are kept in memory only (see the option cache_dir)",
            c->disk.root, strerror(-ret));
    *out = c;
    if (from_open(c, config) < 0) {
        cache_close(c);
        return error_set(err, ENOMEM, "opening the cache: %s", strerror(ENOMEM));
    }
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    later_fini(c);
    from_close(c);
    cache_forget_all(c);
    pthread_mutex_destroy(&c->mutex);
    disk_fini(&c->disk);
    free(c);
}

const char *cache_dir(const struct cache *c)
{
    return c->disk.root;
}

static void touch(struct cache *c, const struct key *key, int fd, const struct stat *st)
{
    int64_t now_ns = cache_now_ns(c);
    int64_t age_ns = now_ns - disk_mtime_ns(st);
    /* A time far ahead (somebody's clock was wrong) is as bad as one far back. Where the touch is
     * refused (read-only), the entry looks older than it is, and that is all. */
    if (llabs(age_ns) > HOUR_NS && disk_touch(fd, now_ns))
        cache_remember_touched(c, key, fd);
}

/* An entry that is there and sound, in the own cache: a descriptor. */
static int find_own(struct cache *c, const struct key *key, struct blob_entry *out)
{
    struct disk_meta meta;
    struct stat st;
    int fd;
    int ret = c->max_nbytes > 0 ? disk_open(&c->disk, key, &meta, &fd, &st) : -ENOENT;
    if (ret == -ENOENT && c->max_nbytes > 0 && c->disk.remote) {
        disk_refresh(&c->disk, key);
        ret = disk_open(&c->disk, key, &meta, &fd, &st);
    }
    if (ret == 0 && !cache_is_known(c, key, &st, PAYLOAD_SOUND)) {
        ret = disk_check(fd, meta.nbytes, meta.xxh3);
        if (ret == 0)
            cache_remember(c, key, &st, PAYLOAD_SOUND);
        else
            close(fd);
    }
    if (ret == -EBADMSG)
        cache_remove_damaged(c, key);
    if (ret < 0)
        return ret;
    touch(c, key, fd, &st);
    *out = (struct blob_entry){
        .key = *key, .nbytes = meta.nbytes, .xxh3 = meta.xxh3, .remote = c->disk.remote};
    return fd;
}

int cache_lookup(struct cache *c, const struct key *key, struct blob **out)
{
    struct blob_entry entry;
    int fd = find_own(c, key, &entry);
    if (fd < 0)
        fd = from_find(c, key, true, &entry);
    if (fd < 0) {
        atomic_fetch_add(&c->misses, 1);
        return -ENOENT;
    }
    atomic_fetch_add(&c->hits, 1);
    *out = blob_from_fd(fd, &entry);
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
    from_refuse(c, key);
    if (c->max_nbytes == 0)
        return;
    later_wait(c, key);
    cache_forget(c, key);
    disk_remove(&c->disk, key);
}

void cache_retire(struct cache *c, const struct key *key)
{
    struct disk_meta meta;
    struct stat st;
    int fd;

    if (c->max_nbytes == 0 || disk_open(&c->disk, key, &meta, &fd, &st) < 0)
        return;
    bool verified = cache_is_known(c, key, &st, PAYLOAD_SOUND);
    if (disk_touch(fd, 0) && verified)
        cache_remember_touched(c, key, fd);
    close(fd);
}

bool cache_has(struct cache *c, const struct key *key)
{
    uint64_t nbytes;
    return cache_size_of(c, key, &nbytes);
}

int cache_look(struct cache *c, const struct key *key)
{
    struct disk_meta meta;
    struct stat st;

    if (cache_has(c, key))
        return 0;
    return c->max_nbytes == 0 ? -ENOENT : disk_open(&c->disk, key, &meta, NULL, &st);
}

static bool size_in_from(struct cache *c, const struct key *key, uint64_t *nbytes)
{
    struct blob_entry entry;
    int fd = from_find(c, key, false, &entry);

    if (fd < 0)
        return false;
    close(fd);
    *nbytes = entry.nbytes;
    return true;
}

/* Pending ones first: these are on disk before they cease to be pending. */
bool cache_size_of(struct cache *c, const struct key *key, uint64_t *nbytes)
{
    struct disk_meta meta;
    struct stat st;

    struct blob *pending = c->max_nbytes > 0 ? later_find(c, key) : NULL;
    if (pending) {
        *nbytes = blob_nbytes(pending);
        blob_put(pending);
        return true;
    }
    if (c->max_nbytes == 0 || disk_open(&c->disk, key, &meta, NULL, &st) < 0)
        return size_in_from(c, key, nbytes);
    *nbytes = (uint64_t)st.st_size;
    return true;
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

struct cache_stats cache_counters(const struct cache *c)
{
    return (struct cache_stats){
        .max_nbytes = c->max_nbytes,
        .hits = atomic_load(&c->hits),
        .misses = atomic_load(&c->misses),
        .published = atomic_load(&c->published),
        .published_nbytes = atomic_load(&c->published_nbytes),
        .evicted = atomic_load(&c->evicted),
        .corrupt = atomic_load(&c->corrupt),
    };
}

int cache_stats(struct cache *c, struct cache_stats *out, struct error *err)
{
    struct disk_list list;
    *out = cache_counters(c); /* before the scan: what is published meanwhile may count twice */
    int ret = scan(c, "counting", &list, err);
    if (ret < 0)
        return ret;
    for (size_t i = 0; i < list.n; i++) {
        if (list.entries[i].payload && list.entries[i].meta) {
            out->entries++;
            out->nbytes += list.entries[i].nbytes;
        }
    }
    disk_list_free(&list);
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
    cache_forget_all(c);
    for (size_t i = 0; i < list.n; i++)
        cache_remove_entry(c, &list.entries[i], freed_nbytes);
    disk_list_free(&list);
    disk_sweep_headers(&c->disk, INT64_MAX);
    /* Temps of writers that may be at work stay. */
    ret = disk_sweep(&c->disk, cache_now_ns(c) - HOUR_NS, freed_nbytes);
    if (ret < 0)
        return error_set(err, -ret, "clearing the cache %s: %s", c->disk.root, strerror(-ret));
    return 0;
}

/* Whatever this process believes of it: the file itself is read. A payload alone is what is left of
 * a damaged entry: a meta is published first and removed last. */
static int verify_entry(struct cache *c, const struct disk_entry *entry, struct disk_meta *meta)
{
    struct stat st;
    int fd;
    int ret = disk_open(&c->disk, &entry->key, meta, &fd, &st);
    if (ret == -ENOENT && entry->payload && !entry->meta)
        return -EBADMSG;
    if (ret < 0)
        return ret;
    ret = disk_check(fd, meta->nbytes, meta->xxh3);
    if (ret == 0)
        cache_remember(c, &entry->key, &st, PAYLOAD_SOUND);
    close(fd);
    return ret;
}

/* A sentence about an entry that is damaged (-EBADMSG) or cannot be read; `stays` is why it was not
 * removed, or 0. */
static void describe(const struct key *key, int found, int stays, const char *label,
                     struct error *out)
{
    if (found != -EBADMSG)
        error_set(out, -found, "cache entry %s (%s) cannot be read: %s", key->hex, label,
                  strerror(-found));
    else if (stays < 0)
        error_set(out, -stays, "cache entry %s (%s) is damaged and cannot be removed: %s", key->hex,
                  label, strerror(-stays));
    else
        error_set(out, EIO, "cache entry %s (%s) is damaged; removed", key->hex, label);
}

int cache_verify(struct cache *c, uint64_t *good, uint64_t *bad,
                 void (*report)(void *ctx, const struct error *what), void *ctx, struct error *err)
{
    *good = *bad = 0;
    uint64_t nkept = 0;
    struct disk_list list;
    int ret = scan(c, "verifying", &list, err);
    if (ret < 0)
        return ret;
    for (size_t i = 0; i < list.n; i++) {
        struct disk_meta meta = {.label = "unreadable label"};
        struct error what;
        const struct key *key = &list.entries[i].key;
        int found = verify_entry(c, &list.entries[i], &meta);
        int stays = found == -EBADMSG ? cache_remove_damaged(c, key) : found;
        *good += found == 0;
        if (found == 0 || stays == -ENOENT || stays == -ESTALE) /* gone meanwhile */
            continue;
        *bad += stays == 0;
        nkept += stays < 0;
        describe(key, found, stays, meta.label, &what);
        if (report)
            report(ctx, &what);
    }
    disk_list_free(&list);
    return nkept > 0
               ? error_set(err, EIO, "cache %s: %" PRIu64 " entries cannot be read or removed",
                           c->disk.root, nkept)
               : 0;
}
