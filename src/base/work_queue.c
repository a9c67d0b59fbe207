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
#include <utlist.h>

#include "thread.h"

struct work_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct work_item *waiting; /* guarded by lock: the first one starts next */
    atomic_bool ending;        /* set under lock */
    unsigned nthreads;
    pthread_t threads[]; /* [nthreads] */
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
            pthread_cond_wait(&q->changed, &q->lock);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

int work_queue_new(unsigned nthreads, struct work_queue **out, struct error *err)
{
    struct work_queue *q = calloc(1, sizeof *q + nthreads * sizeof *q->threads);
    int code = 0;

    if (!q)
        return error_set(err, ENOMEM, "cannot start threads: out of memory");
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    for (; q->nthreads < nthreads && code == 0; q->nthreads += code == 0)
        code = thread_start(&q->threads[q->nthreads], run_items, q);
    if (code == 0) {
        *out = q;
        return 0;
    }
    work_queue_free(q);
    return error_set(err, code, "cannot start threads: %s", strerrordesc_np(code));
}

void work_queue_free(struct work_queue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->ending = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->nthreads; i++)
        pthread_join(q->threads[i], NULL);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool work_queue_ending(struct work_queue *q)
{
    return q->ending;
}

void work_queue_add(struct work_queue *q, struct work_item *item)
{
    pthread_mutex_lock(&q->lock);
    DL_APPEND(q->waiting, item);
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
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
