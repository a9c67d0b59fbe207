/* SPDX-License-Identifier: MIT
 *
 * The scheduler: jobs in, worker threads, results out. scheduler_flight.c has the moves in between.
 *
 *     submit ──> flights ──> queue ──> worker: run the task ──> dependents, jobs
 *
 * One mutex guards all state; it is never held while a task runs, a job is told, or memory of a
 * result is freed. Every change of state that may let the queue's head start wakes one worker, and
 * a worker that has found something wakes the next; so a task that can start never waits for a
 * worker that is busy telling jobs.
 * scheduler_memory.c says what starts when memory is short.
 *
 * A worker without a task runs pieces that running tasks have offered:
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

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monotonic.h"
#include "thread.h"

enum { SECOND_NS = 1000000000 };

bool task_cancelled(const struct task_control *ctl)
{
    return atomic_load_explicit(&ctl->flight->cancelled, memory_order_relaxed);
}

void task_progress(const struct task_control *ctl, uint64_t done_nbytes)
{
    atomic_store_explicit(&ctl->flight->done_nbytes, done_nbytes, memory_order_relaxed);
}

void task_found(const struct task_control *ctl)
{
    ctl->flight->found = true;
}

/* Called with the lock held, as all of the following that take `s` and no outcome. */
static void wake_worker(struct sched *s)
{
    if (s->queue || s->offers)
        pthread_cond_signal(&s->wake);
}

static struct flight *take_next(struct sched *s, unsigned thread)
{
    struct flight *f = memory_next(s);
    if (!f)
        return NULL;
    DL_DELETE2(s->queue, f, queue_prev, queue_next);
    f->state = FLIGHT_RUNNING;
    f->thread = thread;
    s->stats.running++;
    wake_worker(s);
    return f;
}

/* Without the lock. */
static int run_flight(struct sched *s, struct flight *f, struct outcome *out)
{
    if (flight_memory_fails(s, f, &out->err))
        return -ENOMEM;
    int ret = s->config.run(s->config.ctx, f->graph, f->task, f->inputs, &f->control, &out->result,
                            &out->err);
    budget_give(s->config.budget, f->charged_nbytes);
    if (ret == 0)
        out->err = (struct error){0};
    else if (out->err.code == 0)
        error_set(&out->err, -ret, "%s: %s", f->task->label, strerror(-ret));
    return ret;
}

/* Without the lock. */
static void note_run(struct sched *s, const struct flight *f, unsigned thread, int64_t start_ns,
                     int ret)
{
    uint64_t done = atomic_load(&f->done_nbytes); /* 0: the task does not tell */
    struct trace_event e = {
        .key = f->task->key,
        .thread = thread,
        .start_ns = start_ns,
        .stop_ns = trace_now(s->config.trace),
        .read_nbytes = f->found   ? 0
                       : done > 0 ? done
                                  : f->task->work_nbytes,
        .nbytes = f->task->result_nbytes,
        .outcome = ret == 0            ? TRACE_DONE
                   : ret == -ECANCELED ? TRACE_CANCELLED
                                       : TRACE_FAILED,
    };

    snprintf(e.name, sizeof e.name, "%s", f->task->label);
    trace_add(s->config.trace, &e);
}

/* With the lock held, which is released meanwhile. */
static void fly(struct sched *s, struct worker *w, struct flight *f)
{
    struct outcome out = {0};

    w->flight = f;
    pthread_mutex_unlock(&s->lock);
    int64_t start_ns = s->config.trace ? trace_now(s->config.trace) : 0;
    int ret = run_flight(s, f, &out);
    if (s->config.trace)
        note_run(s, f, w->index, start_ns, ret);
    pthread_mutex_lock(&s->lock);
    w->flight = NULL;
    s->stats.running--;
    s->busy_ns = monotonic_ns();
    if (ret == 0)
        flight_succeed(s, f, &out);
    else if (!flight_waits_for_room(s, f, ret))
        flight_fail(s, f, &out);
    wake_worker(s);
    pthread_mutex_unlock(&s->lock);
    outcome_deliver(&out);
    pthread_mutex_lock(&s->lock);
    s->busy_ns = monotonic_ns();
}

/* ---- pieces ---- */

static struct sched *sched_of(struct helper_pool *helpers)
{
    return (struct sched *)((char *)helpers - offsetof(struct sched, helpers));
}

static void offer(struct helper_pool *helpers, struct helper_job *job)
{
    struct sched *s = sched_of(helpers);

    pthread_mutex_lock(&s->lock);
    if (job->kind == HELPER_PIECE) {
        job->what = "piece";
        job->helped = "work";
    }
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

/* Take the first piece on offer for worker `w`, or NULL. With the lock held. */
static struct helper_job *take_piece(struct sched *s, struct worker *w)
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
    snprintf(w->helping, sizeof w->helping, "%s of %s", job->what, job->helped);
    s->stats.helping++;
    return job;
}

/* Wait until there may be something to do; the lock is released meanwhile. What is on offer now has not
 * been taken because it can wait: it may be, in a moment. */
static void wait_for_work(struct sched *s)
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

/* The lock is released meanwhile. What is said of the piece afterwards comes from the worker: the job
 * may be gone once it has run. */
static void run_piece(struct sched *s, struct worker *w, struct helper_job *job)
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

/* ---- threads ---- */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct sched *s = w->sched;

    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct flight *f = take_next(s, w->index);
        struct helper_job *piece = f ? NULL : take_piece(s, w);

        if (f) {
            fly(s, w, f);
        } else if (piece) {
            wake_worker(s);
            run_piece(s, w, piece);
        } else {
            wait_for_work(s);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void memory_given(struct budget_listener *listener)
{
    struct sched *s = (struct sched *)((char *)listener - offsetof(struct sched, listener));

    pthread_mutex_lock(&s->lock);
    memory_came_back(s);
    wake_worker(s);
    pthread_mutex_unlock(&s->lock);
}

static int start_workers(struct sched *s, struct error *err)
{
    int ret = 0;
    unsigned n;

    for (n = 0; n < s->config.nthreads && ret == 0; n++) {
        s->workers[n] = (struct worker){.sched = s, .index = n};
        ret = thread_start(&s->workers[n].thread, worker_main, &s->workers[n]);
    }
    if (ret != 0) {
        s->config.nthreads = n - 1;
        return error_set(err, ret, "cannot start a worker thread: %s", strerror(ret));
    }
    return 0;
}

int sched_new(const struct sched_config *config, struct sched **out, struct error *err)
{
    if (config->nthreads == 0)
        return error_set(err, EINVAL, "the scheduler needs at least one thread");
    struct sched *s = calloc(1, sizeof *s);
    struct worker *workers = calloc(config->nthreads, sizeof *workers);
    pthread_condattr_t attr;
    if (!s || !workers) {
        free(s);
        free(workers);
        return error_set(err, ENOMEM, "cannot start the scheduler: out of memory");
    }
    s->config = *config;
    s->workers = workers;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    s->helpers = (struct helper_pool){.offer = offer, .take_back = take_back, .idle = idle};
    s->listener.given = memory_given;
    budget_listen(config->budget, &s->listener);
    int ret = start_workers(s, err);
    if (ret < 0) {
        sched_free(s);
        return ret;
    }
    *out = s;
    return 0;
}

struct helper_pool *sched_helpers(struct sched *s)
{
    return &s->helpers;
}

void sched_stop(struct sched *s)
{
    struct outcome out = {0};
    struct job *job, *next;

    if (s->stopping) /* set by the owner alone */
        return;
    error_set(&out.err, ECANCELED, "cancelled: the scheduler is shutting down");
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    HASH_ITER(hh, s->jobs, job, next)
    job_leave(s, job, &out);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    outcome_deliver(&out);

    for (unsigned i = 0; i < s->config.nthreads; i++)
        pthread_join(s->workers[i].thread, NULL);
    budget_unlisten(s->config.budget, &s->listener);
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    sched_stop(s);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->workers);
    free(s);
}

/* A flight for each task of `g` that may be needed: then nothing has to be allocated under the
 * lock.
 */
static struct flight **fresh_flights(struct graph *g)
{
    struct flight **fresh = calloc(g->ntasks, sizeof *fresh);
    for (size_t i = 0; fresh && i < g->ntasks; i++) {
        if (graph_need(g, &g->tasks[i]) == NEED_NOTHING)
            continue;
        fresh[i] = flight_new(g, i);
        if (!fresh[i]) {
            while (i-- > 0)
                flight_free(fresh[i]);
            free(fresh);
            return NULL;
        }
    }
    return fresh;
}

/* With the lock held. On failure nothing has changed. */
static int enter_job(struct sched *s, struct job *job, struct error *err)
{
    if (s->stopping)
        return error_set(err, ECANCELED, "cancelled: the scheduler is shutting down");
    job->id = ++s->last_job;
    HASH_ADD(hh, s->jobs, id, sizeof job->id, job);
    if (!job->hh.tbl)
        return error_set(err, ENOMEM, "cannot queue a job: out of memory");
    return 0;
}

int sched_submit(struct sched *s, struct graph *g, sched_done_fn *done, void *arg, uint64_t *job_id,
                 struct error *err)
{
    struct outcome out = {0};
    struct flight **fresh = fresh_flights(g);
    struct job *job = calloc(1, sizeof *job);
    int ret = fresh && job ? 0 : error_set(err, ENOMEM, "cannot queue a job: out of memory");

    if (ret == 0) {
        job->done = done;
        job->arg = arg;
        pthread_mutex_lock(&s->lock);
        ret = enter_job(s, job, err);
        if (ret == 0) {
            *job_id = job->id;
            job->root = flights_start(s, g, job->id, fresh, &out);
            DL_APPEND(job->root->jobs, job);
            wake_worker(s);
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (ret < 0) {
        for (size_t i = 0; fresh && i < g->ntasks; i++)
            flight_free(fresh[i]);
        free(job);
    }
    free(fresh);
    outcome_deliver(&out);
    return ret;
}

void sched_cancel(struct sched *s, uint64_t job_id)
{
    struct outcome out = {0};
    struct job *job;

    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->jobs, &job_id, sizeof job_id, job);
    if (job) {
        error_set(&out.err, ECANCELED, "%s: cancelled", job->root->task->label);
        job_leave(s, job, &out);
        wake_worker(s);
    }
    pthread_mutex_unlock(&s->lock);
    outcome_deliver(&out);
}
