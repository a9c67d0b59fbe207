/* SPDX-License-Identifier: MIT
 *
 * Helpers: threads of a test's own, which take jobs in the order in which they are offered.
 * Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_HELPER_THREADS_H
#define DERIVFS_TESTS_HELPER_THREADS_H

#include <pthread.h>

#include <utlist.h>

#include "helpers.h"

enum { HELPER_THREADS_MAX = 16 };

struct helper_threads {
    struct helper_pool helpers; /* must be first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct helper_job *offered; /* guarded by lock */
    bool stopping;              /* guarded by lock */
    unsigned nthreads;
    pthread_t threads[HELPER_THREADS_MAX];
};

static inline void helper_threads_offer(struct helper_pool *helpers, struct helper_job *job)
{
    struct helper_threads *h = (struct helper_threads *)helpers;

    pthread_mutex_lock(&h->lock);
    DL_APPEND(h->offered, job);
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static inline bool helper_threads_take_back(struct helper_pool *helpers, struct helper_job *job)
{
    struct helper_threads *h = (struct helper_threads *)helpers;
    struct helper_job *each;
    bool found = false;

    pthread_mutex_lock(&h->lock);
    DL_FOREACH(h->offered, each)
    found = found || each == job;
    if (found)
        DL_DELETE(h->offered, job);
    pthread_mutex_unlock(&h->lock);
    return found;
}

static inline unsigned helper_threads_idle(struct helper_pool *helpers)
{
    return ((struct helper_threads *)helpers)->nthreads;
}

static inline void *helper_threads_main(void *arg)
{
    struct helper_threads *h = arg;

    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        struct helper_job *job = h->offered;

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

static inline void helper_threads_start(struct helper_threads *h, unsigned nthreads)
{
    *h = (struct helper_threads){
        .helpers = {helper_threads_offer, helper_threads_take_back, helper_threads_idle},
        .nthreads = nthreads};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    for (unsigned i = 0; i < nthreads; i++)
        assert_int_equal(pthread_create(&h->threads[i], NULL, helper_threads_main, h), 0);
}

static inline void helper_threads_stop(struct helper_threads *h)
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
