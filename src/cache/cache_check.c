/* SPDX-License-Identifier: MIT
 *
 * Checking what a result was computed from, by all threads that are idle.
 *
 *     inputs  |0|1|2|3|4|     each thread takes the next one that nobody has taken
 *
 * Nobody depends on a helper: those that have not come when all are taken are sent away.
 */
#include "cache_private.h"

#include <stdatomic.h>

enum { HELPERS_MAX = 7, WORTH_NBYTES = 1 << 20 }; /* less is checked before a helper has woken up */

struct checks {
    struct cache *cache;
    struct blob *const *blobs; /* [n] */
    size_t n;
    atomic_size_t next;
    pthread_mutex_t lock;
    pthread_cond_t left;
    size_t nhelpers; /* that may come or are at work; guarded by lock */
    int ret;         /* of the first that failed, with its error; guarded by lock */
    struct error err;
};

struct check_job {
    struct helper_job job; /* must be first */
    struct checks *of;
};

static void check_next_ones(struct checks *k)
{
    struct error err;
    size_t i;
    int ret = 0;

    while (ret == 0 && (i = atomic_fetch_add(&k->next, 1)) < k->n)
        ret = cache_check(k->cache, k->blobs[i], &err);
    if (ret == 0)
        return;
    atomic_store(&k->next, k->n); /* the result is lost anyway */
    pthread_mutex_lock(&k->lock);
    if (k->ret == 0) {
        k->ret = ret;
        k->err = err;
    }
    pthread_mutex_unlock(&k->lock);
}

static void help(struct helper_job *job)
{
    struct checks *k = ((struct check_job *)job)->of;

    check_next_ones(k);
    pthread_mutex_lock(&k->lock);
    k->nhelpers--;
    pthread_cond_signal(&k->left);
    pthread_mutex_unlock(&k->lock); /* from here on it may be gone */
}

/* Bytes of those that are entries. */
static uint64_t nbytes_of(struct blob *const *blobs, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += blob_entry(blobs[i]) ? blob_nbytes(blobs[i]) : 0;
    return sum;
}

int cache_check_all(struct cache *c, struct blob *const *blobs, size_t n,
                    struct helper_pool *helpers, struct error *err)
{
    struct checks k = {.cache = c,
                       .blobs = blobs,
                       .n = n,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .left = PTHREAD_COND_INITIALIZER};
    struct check_job jobs[HELPERS_MAX];
    bool worth = helpers && n > 1 && nbytes_of(blobs, n) > WORTH_NBYTES;
    size_t nidle = worth ? helpers->idle(helpers) : 0, njobs = nidle < n - 1 ? nidle : n - 1;

    njobs = !worth ? 0 : njobs < HELPERS_MAX ? njobs : HELPERS_MAX;
    k.nhelpers = njobs;
    for (size_t i = 0; i < njobs; i++) {
        jobs[i] = (struct check_job){.job = {.run = help, .kind = HELPER_PIECE}, .of = &k};
        helpers->offer(helpers, &jobs[i].job);
    }
    check_next_ones(&k);
    for (size_t i = 0; i < njobs; i++)
        if (helpers->take_back(helpers, &jobs[i].job)) {
            pthread_mutex_lock(&k.lock);
            k.nhelpers--;
            pthread_mutex_unlock(&k.lock);
        }
    pthread_mutex_lock(&k.lock);
    while (k.nhelpers > 0)
        pthread_cond_wait(&k.left, &k.lock);
    pthread_mutex_unlock(&k.lock);
    pthread_cond_destroy(&k.left);
    pthread_mutex_destroy(&k.lock);
    if (k.ret < 0 && err)
        *err = k.err;
    return k.ret;
}
