/* SPDX-License-Identifier: MIT
 *
 * The life of a wait.
 *
 * Two ends are independent. The owner is called once (`called`): when the work ends, or when the
 * wait is cancelled. The work ends once, perhaps a moment after the cancellation.
 *
 * A cancellation during kind->start() takes effect when that has returned: no kind must handle
 * work that has begun in part.
 */
#include <errno.h>

#include "wait_private.h"

void wait_init(struct wait *w, const struct wait_kind *kind)
{
    *w = (struct wait){.kind = kind};
    atomic_init(&w->refs, 1);
    pthread_mutex_init(&w->lock, NULL);
}

struct wait *wait_get(struct wait *w)
{
    atomic_fetch_add(&w->refs, 1);
    return w;
}

void wait_put(struct wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&w->lock);
    w->kind->free(w);
}

void wait_end(struct wait *w, const struct error *err)
{
    if (!atomic_exchange(&w->called, true)) {
        if (w->kind->ending)
            w->kind->ending(w);
        w->done(w->arg, w, err);
    }
    wait_put(w);
}

/* Cancel a wait that has been started. */
static void cancel(struct wait *w)
{
    struct sched *sched;
    uint64_t job_id;
    struct error err;

    pthread_mutex_lock(&w->lock);
    sched = w->sched;
    job_id = w->job_id;
    pthread_mutex_unlock(&w->lock);
    if (w->kind->cancel)
        w->kind->cancel(w);
    if (job_id != 0)
        sched_cancel(sched, job_id);
    error_set(&err, ECANCELED, "cancelled");
    wait_get(w); /* wait_end() drops one; the work drops its own */
    wait_end(w, &err);
}

void wait_start(struct wait *w, wait_done_fn *done, void *arg)
{
    bool cancelled;

    w->done = done;
    w->arg = arg;
    atomic_fetch_add(&w->refs, 2); /* the work's, and one for this call */
    w->kind->start(w);
    pthread_mutex_lock(&w->lock);
    w->started = true;
    cancelled = w->cancelled;
    pthread_mutex_unlock(&w->lock);
    if (cancelled)
        cancel(w);
    wait_put(w);
}

void wait_cancel(struct wait *w)
{
    bool started;

    wait_get(w); /* `done` may drop the last one */
    pthread_mutex_lock(&w->lock);
    w->cancelled = true;
    started = w->started;
    pthread_mutex_unlock(&w->lock);
    if (started)
        cancel(w);
    wait_put(w);
}

bool wait_is_cancelled(struct wait *w)
{
    bool cancelled;

    pthread_mutex_lock(&w->lock);
    cancelled = w->cancelled;
    pthread_mutex_unlock(&w->lock);
    return cancelled;
}

/* Submits under the lock: a cancellation comes before the job, or when its id is known; of two jobs
 * the id of the later one stays. */
int wait_submit(struct wait *w, struct sched *sched, struct graph *g, sched_done_fn *done,
                struct error *err)
{
    int ret;

    atomic_fetch_add(&w->refs, 1); /* the job and the wait may end before this returns */
    pthread_mutex_lock(&w->lock);
    if (w->cancelled) {
        ret = error_set(err, ECANCELED, "cancelled");
    } else {
        w->sched = sched;
        ret = sched_submit(sched, g, done, w, &w->job_id, err);
    }
    pthread_mutex_unlock(&w->lock);
    wait_put(w);
    return ret;
}
