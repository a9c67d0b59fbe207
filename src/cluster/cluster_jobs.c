/* SPDX-License-Identifier: MIT
 *
 * The clerk: one thread that submits jobs and follows them.
 *
 * A worker is believed about its results, and the batch system about life and death: the state file
 * of a worker that was killed stays as it was, and a requeued job has a silent one for a while. What
 * takes time (commands, files of a shared file system) runs without the lock; jobs and elements change
 * on this thread alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster_private.h"
#include "grow.h"
#include "monotonic.h"
#include "text.h"

#define SECOND_NS INT64_C(1000000000)

enum {
    COLLECT_S = 1,  /* orders that come within it go together */
    LEAVE_S = 5,    /* a reader may come back */
    GONE_S = 3,     /* what a worker wrote last may take so long to be seen here */
    POLL_MIN_S = 1, /* a young job is looked at more often: wrong options end it at once */
    POLL_MAX_S = 10,
    GROUP_S = 60, /* of work in an element */
    TRIES_MAX = 2,
};

static bool is_older(int64_t since_ns, int seconds)
{
    return monotonic_ns() - since_ns >= seconds * SECOND_NS;
}

/* ---- submitting ---- */

/* Orders that are new, and their work; false: there are none, or more may come. */
static bool is_time(const struct cluster *c, uint64_t *work_nbytes)
{
    const struct order *o;
    bool yes = false;

    *work_nbytes = 0;
    DL_FOREACH(c->orders, o)
    if (o->state == ORDER_NEW) {
        *work_nbytes += o->work_nbytes;
        yes = yes || is_older(o->since_ns, COLLECT_S);
    }
    return yes;
}

static unsigned count_elements(const struct cluster *c)
{
    const struct job *job;
    unsigned n = 0;

    DL_FOREACH(c->jobs, job)
    for (unsigned i = 0; i < job->n; i++)
        n += !job->elements[i].over;
    return n;
}

static int add_order(struct element *e, struct order *o)
{
    if (GROW(e->orders, e->norders) < 0)
        return -ENOMEM;
    e->orders[e->norders++] = o;
    e->nleft++;
    e->work_nbytes += o->work_nbytes;
    o->state = ORDER_SENT;
    o->at = e;
    return 0;
}

/* A job of at most `nmax` elements for the new orders. NULL: out of memory. */
static struct job *group(struct cluster *c, unsigned nmax, uint64_t work_nbytes)
{
    double least = GROUP_S * c->rate, share = (double)work_nbytes / nmax;
    double target = share > least ? share : least;
    struct job *job = calloc(1, sizeof *job);
    struct element *e = NULL;
    struct order *o;

    if (job)
        job->elements = calloc(nmax, sizeof *job->elements);
    if (!job || !job->elements) {
        free(job);
        return NULL;
    }
    DL_FOREACH(c->orders, o)
    {
        if (o->state != ORDER_NEW)
            continue;
        if (!e || ((double)e->work_nbytes >= target && job->n < nmax)) {
            e = &job->elements[job->n++];
            *e = (struct element){.job = job, .number = job->n};
        }
        if (add_order(e, o) < 0)
            break; /* the rest stays new */
    }
    return job;
}

static int write_tasks(const struct job *job, const struct element *e, struct error *err)
{
    char *text = NULL, name[32];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int ret;

    if (!f)
        return error_set(err, ENOMEM, "%s: out of memory", job->dir);
    for (size_t i = 0; i < e->norders; i++)
        fprintf(f, "%" PRIu64 " %" PRIu64 " %zu %s\n", e->orders[i]->off, e->orders[i]->work_nbytes,
                e->orders[i]->name_at, e->orders[i]->path);
    text = text_end(f, &text);
    snprintf(name, sizeof name, "%u.tasks", e->number);
    ret = text ? job_dir_write(job->dir, name, text, err)
               : error_set(err, ENOMEM, "%s: out of memory", job->dir);
    free(text);
    return ret;
}

/* Without the lock. */
static int send_job(const struct cluster *c, struct job *job, char id[BATCH_ID_MAX],
                    struct error *err)
{
    struct batch_request q = {
        .njobs = job->n, .nthreads = c->nthreads, .memory_nbytes = c->memory_nbytes};
    int ret = job_dir_make(c->jobs_dir, &job->dir, err);

    if (ret == 0)
        ret = job_dir_write_script(job->dir, c->worker, err);
    if (ret == 0)
        ret = job_dir_write(job->dir, "settings", c->settings, err);
    if (ret == 0)
        ret = job_dir_copy_recipes(job->dir, c->recipes, err);
    for (unsigned i = 0; ret == 0 && i < job->n; i++)
        ret = write_tasks(job, &job->elements[i], err);
    q.jobdir = job->dir;
    return ret == 0 ? batch_submit(&c->system, &q, id, err) : ret;
}

static void free_job(struct job *job)
{
    for (unsigned i = 0; i < job->n; i++)
        free(job->elements[i].orders);
    free(job->elements);
    free(job->dir);
    free(job);
}

static void fail_orders(struct cluster *c, struct job *job, const struct error *err)
{
    for (unsigned i = 0; i < job->n; i++)
        for (size_t k = 0; k < job->elements[i].norders; k++)
            if (job->elements[i].orders[k])
                order_over(c, job->elements[i].orders[k], err);
}

/* With the lock, which is released meanwhile. */
static void submit_new(struct cluster *c)
{
    unsigned nunderway = count_elements(c);
    char id[BATCH_ID_MAX];
    struct error err;
    struct job *job;
    uint64_t work;
    int ret;

    if (nunderway >= c->njobs_max || !is_time(c, &work))
        return;
    job = group(c, c->njobs_max - nunderway, work);
    if (!job)
        return; /* the next time */
    pthread_mutex_unlock(&c->lock);
    ret = send_job(c, job, id, &err);
    pthread_mutex_lock(&c->lock);
    if (ret < 0) {
        fail_orders(c, job, &err);
        if (job->dir)
            job_dir_remove(job->dir);
        free_job(job);
        return;
    }
    memcpy(job->id, id, sizeof id);
    job->sent_ns = job->polled_ns = monotonic_ns();
    c->nsubmitted += job->n;
    DL_APPEND(c->jobs, job);
}

/* ---- following ---- */

struct results {
    struct cluster *c;
    struct element *e;
    const struct job_state *told;
};

/* A job_result_fn, called without the lock. */
static void take_result(void *ctx, size_t task, const char *failure)
{
    struct results *r = ctx;
    struct order *o;
    struct error err;

    pthread_mutex_lock(&r->c->lock);
    o = task < r->e->norders ? r->e->orders[task] : NULL;
    if (o && failure)
        error_set(&err, EIO, "%s (on %s)", failure, r->told->node);
    if (o)
        order_over(r->c, o, failure ? &err : NULL);
    pthread_mutex_unlock(&r->c->lock);
}

/* The element has ended without the results of these orders. */
static void lose(struct cluster *c, struct element *e)
{
    struct error err;

    e->over = true;
    for (size_t i = 0; i < e->norders; i++) {
        struct order *o = e->orders[i];

        if (!o)
            continue;
        e->job->lost = true;
        if (++o->ntries < TRIES_MAX) {
            e->orders[i] = NULL;
            e->nleft--;
            o->at = NULL;
            o->state = ORDER_NEW;
            o->done_nbytes = 0;
            continue;
        }
        error_set(&err, EIO, "%s: job %s (%u) of %s ended without a result: %s%s (log: %s/%u.log)",
                  o->path, e->job->id, e->number, c->system.name,
                  batch_state_is_over(e->state) ? "" : "state unknown, at last ",
                  *e->state ? e->state : "submitted", e->job->dir, e->number);
        order_over(c, o, &err);
    }
}

static void note_rate(struct cluster *c, const struct job_state *told)
{
    enum { MIN_S = 2 };

    if (told->seconds >= MIN_S && told->done_nbytes > 0)
        c->rate = (c->rate + (double)told->done_nbytes / told->seconds) / 2;
}

/* With the lock, which is released meanwhile. */
static void hear(struct cluster *c, struct element *e)
{
    struct job_state told;
    struct results r = {c, e, &told};
    bool spoke;

    pthread_mutex_unlock(&c->lock);
    spoke = job_dir_read_state(e->job->dir, e->number, &told, take_result, &r);
    pthread_mutex_lock(&c->lock);
    if (!spoke)
        return;
    e->told = told;
    for (size_t i = 0; i < e->norders; i++)
        if (e->orders[i] && e->work_nbytes > 0)
            e->orders[i]->done_nbytes =
                (uint64_t)((double)e->orders[i]->work_nbytes *
                           ((double)told.done_nbytes / (double)e->work_nbytes));
    if (told.ended) {
        note_rate(c, &told);
        lose(c, e);
    }
}

/* Ask the batch system, which must not be asked often. With the lock, which is released meanwhile. */
static void ask(struct cluster *c, struct job *job)
{
    int64_t age_s = (monotonic_ns() - job->sent_ns) / SECOND_NS;
    int64_t pause_s = age_s / 5 < POLL_MIN_S ? POLL_MIN_S : age_s / 5;
    char(*states)[BATCH_STATE_MAX];
    struct error err;
    int ret;

    if (!is_older(job->polled_ns, (int)(pause_s > POLL_MAX_S ? POLL_MAX_S : pause_s)))
        return;
    states = calloc(job->n, sizeof *states);
    if (!states)
        return;
    pthread_mutex_unlock(&c->lock);
    ret = batch_poll(&c->system, job->dir, job->id, job->n, states, &err);
    pthread_mutex_lock(&c->lock);
    job->polled_ns = monotonic_ns();
    for (unsigned i = 0; ret == 0 && i < job->n; i++) {
        struct element *e = &job->elements[i];

        if (*states[i])
            memcpy(e->state, states[i], sizeof e->state);
        if (*states[i] && !batch_state_is_over(states[i]))
            e->gone_ns = 0;
        else if (e->gone_ns == 0)
            e->gone_ns = job->polled_ns;
    }
    free(states);
}

static void follow(struct cluster *c, struct job *job)
{
    for (unsigned i = 0; i < job->n; i++) {
        struct element *e = &job->elements[i];
        bool gone = e->gone_ns > 0 && is_older(e->gone_ns, GONE_S);

        if (e->over)
            continue;
        hear(c, e);
        if (gone && !e->over)
            lose(c, e);
    }
    ask(c, job);
}

/* ---- ends ---- */

static void forget_left(struct cluster *c)
{
    struct order *o, *next;

    DL_FOREACH_SAFE(c->orders, o, next)
    if (o->nwaiting == 0 && (o->state == ORDER_NEW || is_older(o->since_ns, LEAVE_S))) {
        if (o->at)
            o->at->job->abandoned = true;
        order_over(c, o, NULL);
        order_free(c, o);
    }
}

/* Is there nothing more to expect of it? *alive: it still runs. */
static bool is_finished(const struct job *job, bool *alive)
{
    size_t nleft = 0;

    *alive = false;
    for (unsigned i = 0; i < job->n; i++) {
        nleft += job->elements[i].nleft;
        *alive = *alive || !job->elements[i].over;
    }
    return !*alive || (nleft == 0 && job->abandoned); /* else the workers are about to end */
}

/* With the lock, which is released meanwhile. */
static void end_job(struct cluster *c, struct job *job, bool alive)
{
    DL_DELETE(c->jobs, job);
    pthread_mutex_unlock(&c->lock);
    if (alive)
        batch_cancel_jobs(&c->system, job->dir, job->id);
    if (!job->lost)
        job_dir_remove(job->dir);
    free_job(job);
    pthread_mutex_lock(&c->lock);
}

static void end_all(struct cluster *c)
{
    struct error err;
    bool alive;

    error_set(&err, ECANCELED, "cancelled");
    while (c->jobs) {
        struct job *job = c->jobs;

        fail_orders(c, job, &err);
        (void)is_finished(job, &alive);
        end_job(c, job, alive);
    }
}

/* Another look soon: at the pace in which workers speak, or when an order has come. */
static void pause_a_moment(struct cluster *c)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += c->jobs || !c->orders;
    until.tv_nsec += c->jobs ? 0 : 250000000;
    until.tv_sec += until.tv_nsec / SECOND_NS;
    until.tv_nsec %= SECOND_NS;
    if (c->orders || c->jobs)
        pthread_cond_timedwait(&c->changed, &c->lock, &until);
    else
        pthread_cond_wait(&c->changed, &c->lock);
}

void *cluster_clerk(void *arg)
{
    struct cluster *c = arg;
    struct job *job, *next;
    bool alive;

    job_dir_sweep(c->jobs_dir);
    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        forget_left(c);
        submit_new(c);
        DL_FOREACH(c->jobs, job)
        follow(c, job);
        DL_FOREACH_SAFE(c->jobs, job, next)
        if (is_finished(job, &alive))
            end_job(c, job, alive);
        if (!c->stopping)
            pause_a_moment(c);
    }
    end_all(c);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}
