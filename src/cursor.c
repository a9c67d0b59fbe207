/* SPDX-License-Identifier: MIT
 *
 * The pool is a short list, the latest first; the oldest cursor goes when it is full. A cursor in
 * it is identified by its run's source id, so that one of a changed file is never taken.
 */
#include "cursor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <utlist.h>

enum { POOL_MAX = 8 };

struct cursor {
    struct source *source;
    struct run *run; /* a reference */
    int64_t vol;     /* the next volume */
    struct cursor *prev, *next;
};

struct cursor_pool {
    int rootfd;
    pthread_mutex_t lock;
    struct cursor *parked; /* guarded by lock */
    size_t nparked;        /* guarded by lock */
};

struct cursor_pool *cursor_pool_new(int rootfd)
{
    struct cursor_pool *pool = calloc(1, sizeof *pool);

    if (pool) {
        pool->rootfd = rootfd;
        pthread_mutex_init(&pool->lock, NULL);
    }
    return pool;
}

void cursor_pool_free(struct cursor_pool *pool)
{
    struct cursor *c, *next;

    if (!pool)
        return;
    DL_FOREACH_SAFE(pool->parked, c, next)
    cursor_close(c);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void cursor_close(struct cursor *c)
{
    if (!c)
        return;
    source_close(c->source);
    run_put(c->run);
    free(c);
}

static uint64_t volume_nbytes(const struct run *run)
{
    return (uint64_t)nifti_nvox(&run->nifti) * run->nifti.sample_nbytes;
}

/* The parked cursor of this run that stands nearest before volume `vol`, taken out; or NULL. */
static struct cursor *take_parked(struct cursor_pool *pool, const struct run *run, int64_t vol)
{
    struct cursor *c, *best = NULL;

    pthread_mutex_lock(&pool->lock);
    DL_FOREACH(pool->parked, c)
    if (c->vol <= vol && (!best || c->vol > best->vol) && source_id_equal(&c->run->id, &run->id))
        best = c;
    if (best) {
        DL_DELETE(pool->parked, best);
        pool->nparked--;
    }
    pthread_mutex_unlock(&pool->lock);
    return best;
}

static int open_at_start(struct cursor_pool *pool, struct run *run, struct cursor **out,
                         struct error *err)
{
    struct cursor *c = calloc(1, sizeof *c);
    int ret;

    if (!c)
        return error_set(err, ENOMEM, "%s: out of memory", run->path);
    c->run = run_get(run);
    ret = source_open(pool->rootfd, run->path, &run->id, &c->source, err);
    if (ret == 0)
        ret = source_skip(c->source, run->nifti.vox_offset, err);
    if (ret < 0) {
        cursor_close(c);
        return ret;
    }
    *out = c;
    return 0;
}

int cursor_open(struct cursor_pool *pool, struct run *run, int64_t vol, struct cursor **out,
                struct error *err)
{
    struct cursor *c = take_parked(pool, run, vol);
    int ret = c ? 0 : open_at_start(pool, run, &c, err);

    if (ret < 0)
        return ret;
    ret = source_skip(c->source, (uint64_t)(vol - c->vol) * volume_nbytes(run), err);
    if (ret < 0) {
        cursor_close(c);
        return ret;
    }
    c->vol = vol;
    *out = c;
    return 0;
}

int cursor_read(struct cursor *c, void *buf, struct error *err)
{
    int ret = source_read(c->source, buf, (size_t)volume_nbytes(c->run), err);

    c->vol++;
    return ret;
}

int cursor_check(struct cursor *c, struct error *err)
{
    if (c->vol >= c->run->nifti.nvol)
        return source_finish(c->source, err);
    return source_check(c->source, err);
}

uint64_t cursor_consumed(const struct cursor *c)
{
    return source_consumed(c->source);
}

void cursor_park(struct cursor_pool *pool, struct cursor *c)
{
    struct cursor *oldest = NULL;

    if (!c)
        return;
    if (c->vol >= c->run->nifti.nvol) { /* nothing comes behind it */
        cursor_close(c);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    DL_PREPEND(pool->parked, c);
    if (++pool->nparked > POOL_MAX) {
        oldest = pool->parked->prev; /* utlist: the head's prev is the tail */
        DL_DELETE(pool->parked, oldest);
        pool->nparked--;
    }
    pthread_mutex_unlock(&pool->lock);
    cursor_close(oldest);
}
