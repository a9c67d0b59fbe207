/* SPDX-License-Identifier: MIT
 *
 * The state of an open cache: its clock, its warnings, the payloads known to be sound, its size.
 *
 * A payload's checksum is computed at first use in the process, and again after a day: disks decay.
 * It is remembered under (device, inode, size, mtime, ctime). Two threads that meet an unknown
 * payload at once may both compute it, which costs time and harms nothing.
 */
#include "cache_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <xxhash.h>

#define CHECKED_HOLDS_NS (24 * HOUR_NS)

struct payload_id {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtim, ctim;
};

struct verified {
    struct key key;
    struct payload_id id;
    int64_t checked_ns;
    enum payload_state state;
    UT_hash_handle hh;
};

static struct payload_id id_of(const struct stat *st)
{
    return (struct payload_id){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_payload(const struct payload_id *a, const struct payload_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           same_time(a->mtim, b->mtim) && same_time(a->ctim, b->ctim);
}

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

void cache_forget(struct cache *c, const struct key *key)
{
    struct verified *v;
    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, v);
    if (v)
        HASH_DELETE(hh, c->verified, v);
    pthread_mutex_unlock(&c->mutex);
    free(v);
}

void cache_forget_all(struct cache *c)
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

bool cache_is_known(struct cache *c, const struct key *key, const struct stat *st,
                    enum payload_state state)
{
    struct payload_id id = id_of(st);
    int64_t now_ns = cache_now_ns(c);
    struct verified *v;

    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, v);
    /* a clock that was set back makes it old, too */
    bool yes = v && v->state == state && same_payload(&v->id, &id) &&
               llabs(now_ns - v->checked_ns) < CHECKED_HOLDS_NS;
    pthread_mutex_unlock(&c->mutex);
    return yes;
}

void cache_remember(struct cache *c, const struct key *key, const struct stat *st,
                    enum payload_state state)
{
    struct verified *fresh = calloc(1, sizeof(*fresh)), *old;

    if (state == PAYLOAD_REFUSED)
        atomic_fetch_add(&c->corrupt, 1);
    if (!fresh)
        return;
    fresh->key = *key;
    fresh->id = id_of(st);
    fresh->checked_ns = cache_now_ns(c);
    fresh->state = state;
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

void cache_remember_touched(struct cache *c, const struct key *key, int fd)
{
    struct verified *v;
    struct stat st;

    if (fstat(fd, &st) != 0)
        return;
    pthread_mutex_lock(&c->mutex);
    HASH_FIND(hh, c->verified, key->hex, KEY_HEX, v);
    if (v)
        v->id = id_of(&st);
    pthread_mutex_unlock(&c->mutex);
}

/* ---- entries ---- */

bool cache_keeps(const struct cache *c, uint64_t nbytes)
{
    return nbytes <= c->max_nbytes && c->max_nbytes > 0;
}

int cache_try(struct cache *c, struct error *err)
{
    struct key none = {"0000000000000000000000000000000000000000"};
    struct disk_temp temp;
    int ret;

    if (c->max_nbytes == 0)
        return error_set(err, ENOSPC, "cache_size=0: no result is kept");
    ret = disk_temp_open(&c->disk, &none, 0, &temp);
    if (ret < 0)
        return error_set(err, -ret, "cache directory %s: %s: no result is kept", c->disk.root,
                         strerror(-ret));
    disk_temp_discard(&temp);
    return 0;
}

int cache_remove_damaged(struct cache *c, const struct key *key)
{
    atomic_fetch_add(&c->corrupt, 1);
    cache_forget(c, key);
    return disk_remove(&c->disk, key);
}

/* Nobody reads from it any more; if it has its name still, it loses that. */
static int lose(struct cache *c, struct blob *b, int why, struct error *err)
{
    const struct key *key = &blob_entry(b)->key;
    struct stat st;

    if (why == -ENOMEM)
        return error_set(err, ENOMEM, "checking cache entry %s: %s", key->hex, strerror(ENOMEM));
    blob_invalidate(b);
    cache_forget(c, key);
    if (why == -ESTALE)
        return error_set(err, EAGAIN, "cache %s: entry %s was removed by another host",
                         c->disk.root, key->hex);
    if (fstat(blob_fd(b), &st) < 0 || st.st_nlink == 0)
        ; /* nobody finds it */
    else if (blob_entry(b)->foreign)
        cache_remember(c, key, &st, PAYLOAD_REFUSED);
    else
        (void)cache_remove_damaged(c, key);
    return error_set(err, EAGAIN, "cache %s: entry %s is damaged", c->disk.root, key->hex);
}

int cache_check(struct cache *c, struct blob *b, struct error *err)
{
    const struct blob_entry *e = blob_entry(b);
    int ret = e ? disk_check(blob_fd(b), e->nbytes, e->xxh3) : 0;

    return ret < 0 ? lose(c, b, ret, err) : 0;
}

int cache_compare(struct cache *c, struct blob *b, uint64_t xxh3, struct error *err)
{
    const struct blob_entry *e = blob_entry(b);

    return e && e->xxh3 != xxh3 ? lose(c, b, -EBADMSG, err) : 0;
}

int cache_read_whole(struct cache *c, struct blob *b, void *bytes, struct error *err)
{
    uint64_t nbytes = blob_nbytes(b);
    int ret = blob_read(b, 0, bytes, nbytes, err);

    if (ret == 0)
        return cache_compare(c, b, XXH3_64bits(bytes, nbytes), err);
    return ret == -EAGAIN && blob_entry(b) ? lose(c, b, -EBADMSG, err) : ret;
}

bool cache_account(struct cache *c, uint64_t nbytes)
{
    bool due;

    atomic_fetch_add(&c->published, 1);
    atomic_fetch_add(&c->published_nbytes, nbytes);
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
