/* SPDX-License-Identifier: MIT
 *
 * A list under a lock. Looking for one item in it costs a look at each that waits: a few.
 */
#include "work_queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct work_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct work_item *waiting; /* guarded by lock: the first one starts next */
    bool ending;               /* guarded by lock */
    unsigned nthreads;
    pthread_t threads[]; /* [nthreads] */
};

static void *run_items(void *arg)
{
    struct work_queue *e = arg;

    pthread_mutex_lock(&e->lock);
    for (;;) {
        struct work_item *item = e->waiting;

        if (item) {
            DL_DELETE(e->waiting, item);
            pthread_mutex_unlock(&e->lock);
            item->run(item);
            pthread_mutex_lock(&e->lock);
        } else if (e->ending) {
            break;
        } else {
            pthread_cond_wait(&e->changed, &e->lock);
        }
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

int work_queue_new(unsigned nthreads, struct work_queue **out, struct error *err)
{
    struct work_queue *e = calloc(1, sizeof *e + nthreads * sizeof *e->threads);
    int code = 0;

    if (!e)
        return error_set(err, ENOMEM, "threads: out of memory");
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    for (; e->nthreads < nthreads && code == 0; e->nthreads += code == 0)
        code = pthread_create(&e->threads[e->nthreads], NULL, run_items, e);
    if (code == 0) {
        *out = e;
        return 0;
    }
    work_queue_free(e);
    return error_set(err, code, "threads: %s", strerrordesc_np(code));
}

void work_queue_free(struct work_queue *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->ending = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    for (unsigned i = 0; i < e->nthreads; i++)
        pthread_join(e->threads[i], NULL);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

bool work_queue_ending(struct work_queue *e)
{
    bool ending;

    pthread_mutex_lock(&e->lock);
    ending = e->ending;
    pthread_mutex_unlock(&e->lock);
    return ending;
}

void work_queue_add(struct work_queue *e, struct work_item *item)
{
    pthread_mutex_lock(&e->lock);
    DL_APPEND(e->waiting, item);
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

bool work_queue_remove(struct work_queue *e, struct work_item *item)
{
    struct work_item *at;

    pthread_mutex_lock(&e->lock);
    DL_FOREACH(e->waiting, at)
    if (at == item)
        break;
    if (at)
        DL_DELETE(e->waiting, at);
    pthread_mutex_unlock(&e->lock);
    return at;
}
