/* SPDX-License-Identifier: MIT
 *
 * Keeping the cache within its size.
 *
 * Least recently used is by mtime, which a use moves only when it is more than an hour old. The
 * total size is an estimate: what the last scan found plus what this process has published since.
 * A scan is due at the first publication, when the estimate passes the maximum, and after each
 * tenth of the maximum published here; so n processes on one directory pass it by n tenths at the
 * most. Eviction goes from over 100 % down to 80 %, so that it is rare.
 */
#include "cache_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Headers of runs are small, and go by age alone. */
#define HEADERS_NS (180 * 24 * HOUR_NS)

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

static uint64_t target_nbytes(const struct cache *c, uint64_t total, uint64_t room)
{
    uint64_t target = total > c->max_nbytes ? c->max_nbytes - c->max_nbytes / 5 : total;
    if (room > 0 && room < total / 5)
        room = total / 5;
    if (room > total)
        room = total;
    return target < total - room ? target : total - room;
}

void cache_remove_entry(struct cache *c, const struct disk_entry *entry, uint64_t *freed_nbytes)
{
    cache_forget(c, &entry->key);
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
        /* half an entry: left by a writer or evictor that was killed between payload and meta. An
         * hour is longer than any live one needs from the one to the other. */
        if (entry->payload != entry->meta && entry->mtime_ns < now_ns - HOUR_NS) {
            cache_remove_entry(c, entry, &how->freed_nbytes);
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
        cache_remove_entry(c, entry, &how->freed_nbytes);
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
