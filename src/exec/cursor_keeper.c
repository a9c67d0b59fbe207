/* SPDX-License-Identifier: MIT
 *
 * Checkpoints on their way into the cache.
 *
 *     pass over a run ──> keeper_add() ──> the list ──> an idle worker packs and publishes them
 *                                            └──> meanwhile keeper_find() knows them
 *
 * Packing and publishing those of a 30 MB run takes 4 to 5 ms, for which whoever waits for the
 * pass's result would wait too. So it is offered to the helpers, like a piece, and is done when no
 * task has run for a moment. Guarantee: what was added is in the cache when the keeper is gone.
 * Where there is no helpers, or much is waiting already, it is published at once.
 */
#include <pthread.h>
#include <stdlib.h>

#include <utlist.h>

#include "cursor_private.h"

enum { PENDING_MAX = 16 }; /* what is more is not left for later: it takes memory */

struct keeping {
    struct helper_job job; /* must be first */
    struct keeper *keeper;
    struct run *run;             /* a reference */
    struct checkpoints *learned; /* a reference */
    struct keeping *prev, *next;
};

struct keeper {
    struct cache *cache;
    struct helper_pool *helpers;
    pthread_mutex_t lock;
    pthread_cond_t kept;  /* one less is pending */
    struct keeping *list; /* not yet in the cache; guarded by lock */
    unsigned pending;     /* those, and those that are being let go; guarded by lock */
};

struct keeper *keeper_new(struct cache *cache, struct helper_pool *helpers)
{
    struct keeper *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->cache = cache;
    k->helpers = helpers;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->kept, NULL);
    return k;
}

static void keep(struct helper_job *job)
{
    struct keeping *one = (struct keeping *)job;
    struct keeper *k = one->keeper;

    if (checkpoints_are_trusted(one->learned))
        cursor_keep_checkpoints(k->cache, one->run, one->learned);
    pthread_mutex_lock(&k->lock);
    DL_DELETE(k->list, one);
    pthread_mutex_unlock(&k->lock);
    checkpoints_put(one->learned);
    run_put(one->run);
    free(one);
    pthread_mutex_lock(&k->lock);
    k->pending--;
    pthread_cond_signal(&k->kept);
    pthread_mutex_unlock(&k->lock); /* from here on the keeper may be gone */
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    while (k->pending > 0) {
        struct helper_job *job = k->list ? &k->list->job : NULL;

        if (job && k->helpers->take_back(k->helpers, job)) {
            pthread_mutex_unlock(&k->lock);
            keep(job);
            pthread_mutex_lock(&k->lock);
        } else {
            pthread_cond_wait(&k->kept, &k->lock);
        }
    }
    pthread_mutex_unlock(&k->lock);
    pthread_cond_destroy(&k->kept);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void keeper_add(struct keeper *k, struct run *run, struct checkpoints *learned)
{
    struct keeping *one = NULL;

    pthread_mutex_lock(&k->lock);
    bool crowded = k->pending >= PENDING_MAX;
    pthread_mutex_unlock(&k->lock);
    if (k->helpers && !crowded)
        one = calloc(1, sizeof *one);
    if (!one) {
        cursor_keep_checkpoints(k->cache, run, learned);
        return;
    }
    one->job.run = keep;
    one->job.kind = HELPER_CHECKPOINTS;
    one->keeper = k;
    one->run = run_get(run);
    one->job.helped = run->path;
    one->learned = checkpoints_get(learned);
    pthread_mutex_lock(&k->lock);
    DL_APPEND(k->list, one);
    k->pending++;
    pthread_mutex_unlock(&k->lock);
    k->helpers->offer(k->helpers, &one->job);
}

struct checkpoints *keeper_find(struct keeper *k, const struct run *run)
{
    struct checkpoints *found = NULL;
    struct keeping *one;

    pthread_mutex_lock(&k->lock);
    DL_FOREACH(k->list, one)
    if (!found && checkpoints_are_trusted(one->learned) && source_id_equal(&one->run->id, &run->id))
        found = checkpoints_get(one->learned);
    pthread_mutex_unlock(&k->lock);
    return found;
}
