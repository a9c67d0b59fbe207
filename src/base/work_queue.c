/* SPDX-License-Identifier: MIT
 *
 * A list under a lock. Removing an item walks the list, which is short.
 */
#include "work_queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "monotonic.h"
#include "thread.h"

#define NS_PER_S INT64_C(1000000000)

struct work_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_cond_t ends;       /* of CLOCK_MONOTONIC */
    struct work_item *waiting; /* guarded by lock: the first one starts next */
    atomic_bool ending;        /* set under lock */
    unsigned nidle;            /* guarded by lock: threads that wait for an item */
    unsigned nthreads, max;    /* guarded by lock: started so far, and to be started at most */
    pthread_t threads[];       /* [max] */
};

static void *run_items(void *arg)
{
    struct work_queue *q = arg;

    pthread_mutex_lock(&q->lock);
    for (;;) {
        struct work_item *item = q->waiting;

        if (item) {
            DL_DELETE(q->waiting, item);
            pthread_mutex_unlock(&q->lock);
            item->run(item);
            pthread_mutex_lock(&q->lock);
        } else if (q->ending) {
            break;
        } else {
            q->nidle++;
            pthread_cond_wait(&q->changed, &q->lock);
            q->nidle--;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct work_queue *work_queue_new(unsigned nthreads)
{
    struct work_queue *q = calloc(1, sizeof *q + nthreads * sizeof *q->threads);
    pthread_condattr_t attr;

    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->ends, &attr);
    pthread_condattr_destroy(&attr);
    q->max = nthreads;
    return q;
}

void work_queue_free(struct work_queue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->ending = true;
    pthread_cond_broadcast(&q->changed);
    pthread_cond_broadcast(&q->ends);
    pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->nthreads; i++)
        pthread_join(q->threads[i], NULL);
    pthread_cond_destroy(&q->changed);
    pthread_cond_destroy(&q->ends);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool work_queue_ending(struct work_queue *q)
{
    return q->ending;
}

bool work_queue_pause(struct work_queue *q, int64_t ns)
{
    int64_t until_ns = monotonic_ns() + ns;
    struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};
    int ret = 0;

    pthread_mutex_lock(&q->lock);
    while (!work_queue_ending(q) && ret == 0)
        ret = pthread_cond_timedwait(&q->ends, &q->lock, &until);
    pthread_mutex_unlock(&q->lock);
    return !work_queue_ending(q);
}

void work_queue_add(struct work_queue *q, struct work_item *item)
{
    pthread_mutex_lock(&q->lock);
    if ((q->waiting || q->nidle == 0) && q->nthreads < q->max &&
        thread_start(&q->threads[q->nthreads], run_items, q) == 0)
        q->nthreads++;
    bool runs = q->nthreads > 0;
    if (runs) {
        DL_APPEND(q->waiting, item);
        pthread_cond_signal(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    if (!runs)
        item->run(item);
}

bool work_queue_remove(struct work_queue *q, struct work_item *item)
{
    struct work_item *at;

    pthread_mutex_lock(&q->lock);
    DL_FOREACH(q->waiting, at)
    if (at == item)
        break;
    if (at)
        DL_DELETE(q->waiting, at);
    pthread_mutex_unlock(&q->lock);
    return at;
}
