/* SPDX-License-Identifier: MIT
 *
 * Orders, and who waits for them.
 */
#include "cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster_private.h"
#include "monotonic.h"
#include "thread.h"

/* Before anything was measured: gzip runs are inflated so fast. */
#define FIRST_RATE_OF_A_THREAD 150e6

static int copy_worker(struct cluster *c, char *const *worker)
{
    size_t n = 0;

    while (worker[n])
        n++;
    c->worker = calloc(n + 1, sizeof *c->worker);
    for (size_t i = 0; c->worker && i < n; i++)
        if (!(c->worker[i] = strdup(worker[i])))
            return -ENOMEM;
    return c->worker ? 0 : -ENOMEM;
}

static void free_all(struct cluster *c)
{
    batch_system_clear(&c->system);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    for (size_t i = 0; c->worker && c->worker[i]; i++)
        free(c->worker[i]);
    free(c->worker);
    free(c->jobs_dir);
    free(c->settings);
    free(c->recipes);
    free(c);
}

int cluster_new(const struct cluster_config *config, struct cluster **out, struct error *err)
{
    struct cluster *c = calloc(1, sizeof *c);
    pthread_condattr_t monotonic;
    int ret;

    if (!c)
        return error_set(err, ENOMEM, "engine=%s: out of memory", config->engine);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    c->nthreads = config->nthreads;
    c->memory_nbytes = config->memory_nbytes;
    c->above_s = config->above_s;
    c->njobs_max = config->njobs_max;
    c->rate = FIRST_RATE_OF_A_THREAD * config->nthreads;
    c->jobs_dir = strdup(config->jobs);
    c->settings = strdup(config->settings);
    c->recipes = strdup(config->recipes ? config->recipes : "");
    if (!c->jobs_dir || !c->settings || !c->recipes || copy_worker(c, config->worker) < 0)
        ret = error_set(err, ENOMEM, "engine=%s: out of memory", config->engine);
    else
        ret = batch_system_find(config->engine, config->engines, &c->system, err);
    if (ret == 0 && (ret = thread_start(&c->clerk, cluster_clerk, c)) != 0)
        ret = error_set(err, ret, "engine=%s: cannot start a thread: %s", config->engine,
                        strerror(ret));
    if (ret < 0)
        free_all(c);
    else
        *out = c;
    return ret;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->clerk, NULL);
    while (c->orders)
        order_free(c, c->orders);
    free_all(c);
}

bool cluster_wants(struct cluster *c, uint64_t work_nbytes)
{
    bool yes;

    pthread_mutex_lock(&c->lock);
    yes = work_nbytes > 0 && (double)work_nbytes >= c->above_s * c->rate;
    pthread_mutex_unlock(&c->lock);
    return yes;
}

/* ---- orders ---- */

void order_over(struct cluster *c, struct order *o, const struct error *err)
{
    if (o->at) {
        for (size_t i = 0; i < o->at->norders; i++)
            if (o->at->orders[i] == o)
                o->at->orders[i] = NULL;
        o->at->nleft--;
        o->at = NULL;
    }
    o->state = ORDER_OVER;
    if (err)
        o->error = *err;
    pthread_cond_broadcast(&c->changed);
}

void order_free(struct cluster *c, struct order *o)
{
    DL_DELETE(c->orders, o);
    free(o->key);
    free(o->path);
    free(o);
}

/* The order of this key that is not over yet, or a new one; NULL: out of memory. */
static struct order *order_for(struct cluster *c, const struct cluster_order *wanted)
{
    struct order *o;

    DL_FOREACH(c->orders, o)
    if (o->state != ORDER_OVER && strcmp(o->key, wanted->key) == 0)
        return o;
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    DL_APPEND(c->orders, o);
    *o = (struct order){.key = strdup(wanted->key),
                        .path = strdup(wanted->path),
                        .name_at = wanted->name_at,
                        .off = wanted->off,
                        .work_nbytes = wanted->work_nbytes,
                        .since_ns = monotonic_ns(),
                        .prev = o->prev,
                        .next = o->next};
    if (o->key && o->path)
        return o;
    order_free(c, o);
    return NULL;
}

/* Wait a moment for a change. */
static void wait_a_moment(struct cluster *c)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

/* With the lock, which is released to ask and to tell the caller. */
static int follow(struct cluster *c, struct order *o, const struct cluster_waiter *w,
                  struct error *err)
{
    uint64_t told = 0;

    while (o->state != ORDER_OVER) {
        uint64_t done = o->done_nbytes;
        bool cancelled;

        pthread_mutex_unlock(&c->lock);
        cancelled = w->cancelled(w->ctx);
        if (done != told)
            w->progress(w->ctx, done);
        told = done;
        pthread_mutex_lock(&c->lock);
        if (cancelled)
            return error_set(err, ECANCELED, "cancelled");
        if (o->state != ORDER_OVER)
            wait_a_moment(c);
    }
    return o->error.code ? error_set(err, o->error.code, "%s", o->error.text) : 0;
}

int cluster_wait_for(struct cluster *c, const struct cluster_order *order,
                     const struct cluster_waiter *w, struct error *err)
{
    struct order *o;
    int ret;

    pthread_mutex_lock(&c->lock);
    o = order_for(c, order);
    if (o) {
        o->nwaiting++;
        pthread_cond_broadcast(&c->changed);
        ret = follow(c, o, w, err);
        if (--o->nwaiting == 0) {
            if (o->state == ORDER_OVER)
                order_free(c, o);
            else
                o->since_ns = monotonic_ns(); /* the clerk forgets it later */
        }
    } else {
        ret = error_set(err, ENOMEM, "%s: out of memory", order->path);
    }
    pthread_mutex_unlock(&c->lock);
    return ret;
}

/* ---- looking ---- */

static void describe(const struct cluster *c, const struct order *o, char place[CLUSTER_PLACE_MAX])
{
    const struct element *e = o->at;

    if (o->state != ORDER_SENT || !e)
        snprintf(place, CLUSTER_PLACE_MAX, "%s: to be submitted", c->system.name);
    else if (*e->told.node)
        snprintf(place, CLUSTER_PLACE_MAX, "%s: job %s (%u) on %s", c->system.name, e->job->id,
                 e->number, e->told.node);
    else
        snprintf(place, CLUSTER_PLACE_MAX, "%s: job %s (%u) %s", c->system.name, e->job->id,
                 e->number, *e->state ? e->state : "submitted");
}

bool cluster_find(struct cluster *c, const char *key, char place[CLUSTER_PLACE_MAX])
{
    struct order *o;

    pthread_mutex_lock(&c->lock);
    DL_FOREACH(c->orders, o)
    if (o->state != ORDER_OVER && strcmp(o->key, key) == 0)
        break;
    if (o)
        describe(c, o, place);
    pthread_mutex_unlock(&c->lock);
    return o;
}

void cluster_stats(struct cluster *c, struct cluster_stats *out)
{
    const struct order *o;
    const struct job *job;

    pthread_mutex_lock(&c->lock);
    *out = (struct cluster_stats){.nsubmitted = c->nsubmitted, .rate = c->rate};
    DL_FOREACH(c->orders, o)
    out->norders += o->state != ORDER_OVER;
    DL_FOREACH(c->jobs, job)
    for (unsigned i = 0; i < job->n; i++)
        out->nelements += !job->elements[i].over;
    pthread_mutex_unlock(&c->lock);
}
