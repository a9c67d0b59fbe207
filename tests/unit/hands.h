/* SPDX-License-Identifier: MIT
 *
 * A crew of threads of a test's own, which take jobs in the order in which they are offered.
 * Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_HANDS_H
#define DERIVFS_TESTS_HANDS_H

#include <pthread.h>

#include <utlist.h>

#include "crew.h"

enum { HANDS_MAX = 16 };

struct hands {
    struct crew crew; /* must be first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct crew_job *offered; /* guarded by lock */
    bool stopping;            /* guarded by lock */
    unsigned nthreads;
    pthread_t threads[HANDS_MAX];
};

static inline void hands_offer(struct crew *crew, struct crew_job *job)
{
    struct hands *h = (struct hands *)crew;

    pthread_mutex_lock(&h->lock);
    DL_APPEND(h->offered, job);
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static inline bool hands_take_back(struct crew *crew, struct crew_job *job)
{
    struct hands *h = (struct hands *)crew;
    struct crew_job *each;
    bool found = false;

    pthread_mutex_lock(&h->lock);
    DL_FOREACH(h->offered, each)
    found = found || each == job;
    if (found)
        DL_DELETE(h->offered, job);
    pthread_mutex_unlock(&h->lock);
    return found;
}

static inline unsigned hands_idle(struct crew *crew)
{
    return ((struct hands *)crew)->nthreads;
}

static inline void *hands_main(void *arg)
{
    struct hands *h = arg;

    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        struct crew_job *job = h->offered;

        if (!job) {
            pthread_cond_wait(&h->changed, &h->lock);
            continue;
        }
        DL_DELETE(h->offered, job);
        pthread_mutex_unlock(&h->lock);
        job->run(job);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static inline void hands_start(struct hands *h, unsigned nthreads)
{
    *h = (struct hands){.crew = {hands_offer, hands_take_back, hands_idle}, .nthreads = nthreads};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    for (unsigned i = 0; i < nthreads; i++)
        assert_int_equal(pthread_create(&h->threads[i], NULL, hands_main, h), 0);
}

static inline void hands_stop(struct hands *h)
{
    pthread_mutex_lock(&h->lock);
    assert_null(h->offered);
    h->stopping = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->nthreads; i++)
        pthread_join(h->threads[i], NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
}

#endif
