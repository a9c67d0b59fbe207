/* SPDX-License-Identifier: MIT
 *
 * Extra helpers: a worker without a task runs pieces that running tasks have offered.
 *
 *     task on worker 0:   offer ──> s->offers ──> worker 1, which has found nothing startable
 *                         take_back <──┘          (first come, first served)
 *
 * Guarantee: a piece never keeps a task from starting for longer than that one piece takes, for a
 * worker looks into the queue of tasks before each. An offer is run once or taken back, and whoever
 * offered can always take it back and do the work himself: so nothing waits for a free worker, and
 * a scheduler that is being taken down runs no more pieces but waits for those that run.
 * Nobody counts as free while a task waits in the queue: it is about to take a worker, or waits for
 * memory, of which pieces would take more.
 * What can wait does until no task has run for a moment. The answer to a reader wakes him, mostly
 * on the core of the worker that gives it: if that worker went on with something else, the reader
 * would wait for it, though other cores are idle (2 ms of the 60 that the first tsnr of one gzip
 * run of 64x64x30x238 takes).
 */
#include "scheduler_private.h"

#include <stdio.h>
#include <string.h>

#include "monotonic.h"

enum { SECOND_NS = 1000000000 };

static struct sched *sched_of(struct helper_pool *helpers)
{
    return (struct sched *)((char *)helpers - offsetof(struct sched, helpers));
}

static void offer(struct helper_pool *helpers, struct helper_job *job)
{
    struct sched *s = sched_of(helpers);

    pthread_mutex_lock(&s->lock);
    if (job->kind == HELPER_PIECE)
        job->helped = "work";
    for (unsigned i = 0; job->kind == HELPER_PIECE && i < s->config.nthreads; i++) {
        const struct worker *w = &s->workers[i];

        if (w->flight && pthread_equal(w->thread, pthread_self()))
            job->helped = w->flight->task->label; /* the task outlives its pieces */
    }
    DL_APPEND(s->offers, job);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

static bool take_back(struct helper_pool *helpers, struct helper_job *job)
{
    struct sched *s = sched_of(helpers);

    pthread_mutex_lock(&s->lock);
    bool there = job->prev != NULL;
    if (there) {
        DL_DELETE(s->offers, job);
        job->prev = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return there;
}

static unsigned idle(struct helper_pool *helpers)
{
    struct sched *s = sched_of(helpers);

    pthread_mutex_lock(&s->lock);
    unsigned n = s->queue || s->stopping ? 0 : s->config.nthreads - s->stats.running;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void helpers_start(struct sched *s)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    s->helpers = (struct helper_pool){.offer = offer, .take_back = take_back, .idle = idle};
}

struct helper_pool *sched_helpers(struct sched *s)
{
    return &s->helpers;
}

struct helper_job *helpers_take(struct sched *s, struct worker *w)
{
    struct helper_job *job = s->offers;
    bool quiet = s->stats.running == 0 && monotonic_ns() >= s->busy_ns + HELPER_MOMENT_NS;

    while (job && job->kind != HELPER_PIECE && !quiet)
        job = job->next;
    if (!job)
        return NULL;
    DL_DELETE(s->offers, job);
    job->prev = NULL;
    w->helps_with = job->kind;
    snprintf(w->helping, sizeof w->helping, "%s of %s",
             job->kind == HELPER_PIECE ? "piece" : "checkpoints", job->helped);
    s->stats.helping++;
    return job;
}

/* What is on offer now has not been taken because it can wait: it may be, in a moment. */
void helpers_wait(struct sched *s)
{
    int64_t until_ns = memory_deadline(s);

    if (s->offers && s->stats.running == 0 && s->busy_ns + HELPER_MOMENT_NS < until_ns)
        until_ns = s->busy_ns + HELPER_MOMENT_NS;
    struct timespec until = {.tv_sec = until_ns / SECOND_NS, .tv_nsec = until_ns % SECOND_NS};
    if (until_ns < INT64_MAX)
        pthread_cond_timedwait(&s->wake, &s->lock, &until);
    else
        pthread_cond_wait(&s->wake, &s->lock);
}

/* What is said of the piece afterwards comes from the worker: the job may be gone once it has run.
 */
void helpers_run(struct sched *s, struct worker *w, struct helper_job *job)
{
    struct trace_event e = {.thread = w->index, .helping = true, .outcome = TRACE_DONE};

    pthread_mutex_unlock(&s->lock);
    if (s->config.trace)
        e.start_ns = trace_now(s->config.trace);
    job->run(job);
    if (s->config.trace) {
        e.stop_ns = trace_now(s->config.trace);
        snprintf(e.name, sizeof e.name, "%s", w->helping);
        trace_add(s->config.trace, &e);
    }
    pthread_mutex_lock(&s->lock);
    w->helping[0] = '\0';
    s->stats.helping--;
    s->stats.pieces_done += w->helps_with == HELPER_PIECE;
}
