/* SPDX-License-Identifier: MIT
 *
 * The pool is two short lists: the cursors in use, and those that are parked, the latest first; of
 * these the oldest goes when there are too many. A cursor is identified by its run's source id, so
 * that one of a changed file is never taken.
 *
 *     asked for:              volume 40
 *     parked:      20 ───────────┘        goes on: the nearest before it
 *                                   60    goes back, if that is no pass from the start
 *
 * Who has little to read takes a parked cursor and reads alone: what helpers would inflate ahead
 * would often be for nobody. Who has much to read opens the file for himself, and free helpers help;
 * such a cursor is not parked, so that no piece of a helper outlives a task.
 * What a run's codec holds counts for the task that reads it (run.h); while the cursor is parked it
 * is taken from what the budget can spare, or else the cursor goes.
 * Checkpoints are loaded once for all cursors of a run that are there at a time. They take 4 to
 * 16 KiB of memory for each MiB of the run's inflated bytes, from what the budget can spare, and
 * ever less of it beyond 2 GiB.
 */
#include "cursor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <utlist.h>

#include "cursor_private.h"
#include "recheck.h"

enum {
    POOL_MAX = 8,
    MUCH_NBYTES = 16 << 20, /* inflated; a piece is 10 to 30 MiB */
};

struct cursor {
    struct cursor_pool *pool;
    struct source *source;
    struct run *run;           /* a reference */
    struct checkpoints *known; /* a reference, or NULL */
    uint64_t off;              /* of the next sample, bytes from the first one */
    uint64_t begun;            /* source_consumed() when it was opened or taken from the pool */
    bool was_settled;          /* source_is_settled() before it was opened */
    bool helped;               /* has the helpers: not for the pool */
    struct recheck *recheck;   /* of a plain file that may be being written; else NULL */
    size_t spared_nbytes;      /* taken from the budget while it is parked */
    struct cursor *prev, *next;
};

struct cursor_pool {
    struct cursor_pool_config config;
    struct keeper *keeper;
    pthread_mutex_t lock;
    struct cursor *used;   /* guarded by lock */
    struct cursor *parked; /* guarded by lock */
    size_t nparked;        /* guarded by lock */
};

struct cursor_pool *cursor_pool_new(const struct cursor_pool_config *config)
{
    struct cursor_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->config = *config;
    pool->keeper = keeper_new(config->rootfd, config->cache, config->helpers);
    if (!pool->keeper) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

/* Take from the budget what it holds while it is parked; false: there is nothing to spare. */
static bool spare(struct cursor *c)
{
    struct budget *budget = c->pool->config.budget;
    size_t nbytes = c->run->reading_nbytes;

    if (!budget || nbytes == 0)
        return true;
    if (!budget_take_spare(budget, nbytes))
        return false;
    c->spared_nbytes = nbytes;
    return true;
}

static void give_spared(struct cursor *c)
{
    if (c->spared_nbytes > 0)
        budget_give(c->pool->config.budget, c->spared_nbytes);
    c->spared_nbytes = 0;
}

static void free_cursor(struct cursor *c)
{
    if (!c)
        return;
    give_spared(c);
    source_close(c->source);
    recheck_free(c->recheck);
    checkpoints_put(c->known);
    run_put(c->run);
    free(c);
}

void cursor_pool_free(struct cursor_pool *pool)
{
    struct cursor *c, *next;

    if (!pool)
        return;
    DL_FOREACH_SAFE(pool->parked, c, next)
    free_cursor(c);
    keeper_free(pool->keeper);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void cursor_close(struct cursor *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->pool->lock);
    DL_DELETE(c->pool->used, c);
    pthread_mutex_unlock(&c->pool->lock);
    free_cursor(c);
}

static uint64_t volume_nbytes(const struct run *run)
{
    return (uint64_t)nifti_nvox(&run->nifti) * run->nifti.sample_nbytes;
}

/* Is it so much that helpers help? */
static bool is_much(const struct run *run, int64_t nvol)
{
    return run->codec->parallel && (uint64_t)nvol * volume_nbytes(run) >= MUCH_NBYTES;
}

const char *cursor_way(struct cache *cache, struct run *run)
{
    bool much = is_much(run, run->nifti.nvol);

    if (run->codec->plain)
        return NULL;
    if (cache && cursor_has_checkpoints(cache, run))
        return much ? "from checkpoints, free threads help" : "from checkpoints";
    return much ? "in sequence, free threads help" : "in sequence";
}

static bool is_of(const struct cursor *c, const struct run *run)
{
    return source_id_equal(&c->run->id, &run->id);
}

/* Without a pass from the start. */
static bool can_go_back(const struct cursor *c)
{
    return c->run->codec->plain || c->known;
}

static bool is_trusted(const struct cursor *c)
{
    return !c->known || checkpoints_are_trusted(c->known);
}

/* Would `c` be a better one to read from `off` on than `best`? */
static bool is_nearer(const struct cursor *c, const struct cursor *best, uint64_t off)
{
    bool before = c->off <= off;

    if (!before && !can_go_back(c))
        return false;
    if (!best || before != (best->off <= off))
        return !best || before;
    return before ? c->off > best->off : c->off < best->off;
}

/* A parked cursor from which `off` is not far, now in use; or NULL. */
static struct cursor *take_parked(struct cursor_pool *pool, const struct run *run, uint64_t off)
{
    struct cursor *c, *best = NULL;

    pthread_mutex_lock(&pool->lock);
    DL_FOREACH(pool->parked, c)
    if (is_of(c, run) && is_trusted(c) && is_nearer(c, best, off))
        best = c;
    if (best) {
        DL_DELETE(pool->parked, best);
        pool->nparked--;
        DL_APPEND(pool->used, best);
    }
    pthread_mutex_unlock(&pool->lock);
    if (best)
        give_spared(best);
    return best;
}

/* The checkpoints that some cursor of this run has, or NULL; a reference. */
static struct checkpoints *shared_checkpoints(struct cursor_pool *pool, const struct run *run)
{
    struct checkpoints *known = NULL;
    struct cursor *c;

    pthread_mutex_lock(&pool->lock);
    DL_FOREACH(pool->parked, c)
    if (!known && c->known && is_trusted(c) && is_of(c, run))
        known = checkpoints_get(c->known);
    DL_FOREACH(pool->used, c)
    if (!known && c->known && is_trusted(c) && is_of(c, run))
        known = checkpoints_get(c->known);
    pthread_mutex_unlock(&pool->lock);
    return known;
}

static int open_new(struct cursor_pool *pool, struct run *run, bool helped, struct cursor **out,
                    struct error *err)
{
    const struct cursor_pool_config *config = &pool->config;
    struct cursor *c = calloc(1, sizeof *c);
    struct source_id linked;
    int ret;

    if (!c)
        return error_set(err, ENOMEM, "%s: out of memory", run->path);
    c->pool = pool;
    c->run = run_get(run);
    c->helped = helped;
    c->was_settled = source_is_settled(&run->id);
    c->known = shared_checkpoints(pool, run);
    if (!c->known)
        c->known = keeper_find(pool->keeper, run);
    if (!c->known && config->cache)
        c->known = cursor_load_checkpoints(config->cache, run, config->budget);
    struct source_options options = {
        .expect = &run->id,
        .helpers = helped ? config->helpers : NULL,
        .budget = config->budget,
        .known = c->known,
        .learn = config->cache && !c->known,
        .secret = config->cache ? run_hash_secret(run) : NULL,
        .counted_nbytes = run->reading_nbytes,
    };
    ret = source_open(config->rootfd, run->path, &options, &c->source, err);
    if (ret == -ESTALE && run_still_has(config->rootfd, run, NULL, &linked)) {
        options.expect = &linked;
        ret = source_open(config->rootfd, run->path, &options, &c->source, err);
    }
    if (ret < 0) {
        free_cursor(c);
        return ret;
    }
    pthread_mutex_lock(&pool->lock);
    DL_APPEND(pool->used, c);
    pthread_mutex_unlock(&pool->lock);
    *out = c;
    return 0;
}

/* Does a failure come of checkpoints of another file's bytes, or of a fault in the file? Without
 * them it shows. */
static int distrust(struct cursor *c, int ret, struct error *err)
{
    if (ret == -EIO && c->known) {
        checkpoints_distrust(c->known);
        cursor_drop_checkpoints(c->pool->config.cache, c->run);
    }
    if (is_trusted(c) || (ret < 0 && ret != -EIO))
        return ret;
    return error_set(err, ERESTART, "%s: its checkpoints do not fit", c->run->path);
}

/* Before anything is read. */
static int begin_recheck(struct cursor *c, struct error *err)
{
    recheck_free(c->recheck);
    c->recheck = NULL;
    if (!c->run->codec->plain || !source_is_fresh(&c->run->id))
        return 0;
    c->recheck = recheck_new();
    return c->recheck ? 0 : error_set(err, ENOMEM, "%s: out of memory", c->run->path);
}

int cursor_open(struct cursor_pool *pool, struct run *run, int64_t vol, int64_t nvol,
                const struct cancel_token *stop, struct cursor **out, struct error *err)
{
    uint64_t volume = volume_nbytes(run), off = (uint64_t)vol * volume;
    bool helped = pool->config.helpers && is_much(run, nvol);
    struct cursor *c = helped ? NULL : take_parked(pool, run, off);
    int ret = c ? 0 : open_new(pool, run, helped, &c, err);

    if (ret < 0)
        return ret;
    source_set_cancel(c->source, stop);
    c->begun = source_consumed(c->source);
    ret = begin_recheck(c, err);
    if (ret == 0)
        ret = distrust(c, source_seek(c->source, run->nifti.vox_offset + off, err), err);
    if (ret < 0) {
        cursor_close(c);
        return ret;
    }
    if (can_go_back(c)) /* it jumped rather than read on */
        c->begun = source_consumed(c->source);
    c->off = off;
    *out = c;
    return 0;
}

int cursor_read(struct cursor *c, void *buf, size_t nbytes, struct error *err)
{
    uint64_t at = c->run->nifti.vox_offset + c->off;
    int ret = distrust(c, source_read(c->source, buf, nbytes, err), err);

    c->off += nbytes;
    return ret == 0 && c->recheck ? recheck_add(c->recheck, at, buf, nbytes, err) : ret;
}

int cursor_pass(struct cursor *c, uint64_t nbytes, struct error *err)
{
    c->off += nbytes;
    return distrust(c, source_seek(c->source, c->run->nifti.vox_offset + c->off, err), err);
}

static bool at_end(const struct cursor *c)
{
    return c->off >= nifti_data_nbytes(&c->run->nifti);
}

/* What a whole pass has told of the run. */
static void keep_learned(struct cursor *c)
{
    struct checkpoints *learned = c->known ? NULL : source_learned(c->source);
    struct content_id content;
    bool has_content = source_content(c->source, &content);

    if (learned || has_content)
        keeper_add(c->pool->keeper, c->run, learned, has_content ? &content : NULL, c->was_settled);
    checkpoints_put(learned);
}

/* A new hard link, or another one that went, changes the ctime of the file and nothing that was read. */
static int allow_links(struct cursor *c, int ret)
{
    struct content_id content;
    struct source_id now;
    bool hashed = ret == -ESTALE && source_content(c->source, &content);

    if (ret == -ESTALE &&
        run_still_has(c->pool->config.rootfd, c->run, hashed ? &content : NULL, &now))
        return 0;
    return ret;
}

int cursor_check(struct cursor *c, bool of_parts, struct error *err)
{
    bool is_enough = of_parts || c->run->codec->plain || run_is_checked(c->run);
    int ret = c->recheck ? recheck_end(c->recheck, c->source, err) : 0;

    if (ret < 0)
        return error_wrap(err, ret, "%s", c->run->path);
    if (!at_end(c) && is_enough)
        return distrust(c, allow_links(c, source_check(c->source, err)), err);
    ret = distrust(c, allow_links(c, source_finish(c->source, err)), err);
    if (ret == 0) {
        c->off = nifti_data_nbytes(&c->run->nifti); /* there, or behind */
        run_note_checked(c->run);
        keep_learned(c);
    }
    return ret;
}

uint64_t cursor_consumed(const struct cursor *c)
{
    uint64_t now = source_consumed(c->source);

    return now > c->begun ? now - c->begun : 0;
}

void cursor_park(struct cursor *c)
{
    struct cursor_pool *pool = c ? c->pool : NULL;
    struct cursor *oldest = NULL;

    if (!c)
        return;
    /* behind the last volume only one that can go back is of use */
    if (c->helped || (at_end(c) && !can_go_back(c)) || !spare(c)) {
        cursor_close(c);
        return;
    }
    source_set_cancel(c->source, NULL);
    pthread_mutex_lock(&pool->lock);
    DL_DELETE(pool->used, c);
    DL_PREPEND(pool->parked, c);
    if (++pool->nparked > POOL_MAX) {
        oldest = pool->parked->prev; /* utlist: the head's prev is the tail */
        DL_DELETE(pool->parked, oldest);
        pool->nparked--;
    }
    pthread_mutex_unlock(&pool->lock);
    free_cursor(oldest);
}
