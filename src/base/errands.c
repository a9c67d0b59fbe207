/* SPDX-License-Identifier: MIT
 *
 * A list under a lock. Looking for one errand in it costs a look at each that waits: a few.
 */
#include "errands.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct errands {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct errand *waiting; /* guarded by lock: the first one starts next */
    bool ending;            /* guarded by lock */
    unsigned nthreads;
    pthread_t threads[]; /* [nthreads] */
};

static void *run_errands(void *arg)
{
    struct errands *e = arg;

    pthread_mutex_lock(&e->lock);
    for (;;) {
        struct errand *errand = e->waiting;

        if (errand) {
            DL_DELETE(e->waiting, errand);
            pthread_mutex_unlock(&e->lock);
            errand->run(errand);
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

int errands_new(unsigned nthreads, struct errands **out, struct error *err)
{
    struct errands *e = calloc(1, sizeof *e + nthreads * sizeof *e->threads);
    int code = 0;

    if (!e)
        return error_set(err, ENOMEM, "threads: out of memory");
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    for (; e->nthreads < nthreads && code == 0; e->nthreads += code == 0)
        code = pthread_create(&e->threads[e->nthreads], NULL, run_errands, e);
    if (code == 0) {
        *out = e;
        return 0;
    }
    errands_free(e);
    return error_set(err, code, "threads: %s", strerrordesc_np(code));
}

void errands_free(struct errands *e)
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

bool errands_ending(struct errands *e)
{
    bool ending;

    pthread_mutex_lock(&e->lock);
    ending = e->ending;
    pthread_mutex_unlock(&e->lock);
    return ending;
}

void errands_add(struct errands *e, struct errand *errand)
{
    pthread_mutex_lock(&e->lock);
    DL_APPEND(e->waiting, errand);
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

bool errands_remove(struct errands *e, struct errand *errand)
{
    struct errand *at;

    pthread_mutex_lock(&e->lock);
    DL_FOREACH(e->waiting, at)
    if (at == errand)
        break;
    if (at)
        DL_DELETE(e->waiting, at);
    pthread_mutex_unlock(&e->lock);
    return at;
}
