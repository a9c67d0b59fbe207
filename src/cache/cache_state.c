/* SPDX-License-Identifier: MIT
 *
 * The state of an open cache: its clock, its warnings, the payloads known to be sound, its size.
 *
 * A payload's checksum is computed once in the process. It is remembered under (inode, size,
 * mtime). Two threads that meet an unknown payload at once may both compute it, which costs time and
 * harms nothing.
 */
#include "cache_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

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

bool cache_is_verified(struct cache *c, const struct key *key, const struct stat *st)
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

/* ---- entries ---- */

bool cache_keeps(const struct cache *c, uint64_t nbytes)
{
    return nbytes <= c->max_nbytes && c->max_nbytes > 0;
}

void cache_remove_damaged(struct cache *c, const struct key *key)
{
    atomic_fetch_add(&c->corrupt, 1);
    cache_forget(c, key);
    disk_remove(&c->disk, key);
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
