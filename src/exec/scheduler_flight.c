/* SPDX-License-Identifier: MIT
 *
 * Flights: how they start, end, fail and are dropped.
 *
 * Interest is structural: a flight is needed as long as a job or an edge from another flight leads
 * to it, so nobody counts who needs what through how many tasks. When the last one lets go, the
 * flight lets go of its own dependencies, and so on down. A running flight that nobody needs is
 * doomed: told to stop and taken out of the table, so that whoever asks for its key again gets a
 * new flight, which starts without waiting for the old one.
 * Failure goes the other way: up along the edges, to every job that depends on it.
 * No step allocates, so none can fail half-way. A table that cannot grow costs the joining of one
 * flight, not the flight.
 */
#include "scheduler_private.h"

#include <stdlib.h>

struct flight *flight_new(struct graph *g, size_t index)
{
    struct flight *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->graph = graph_get(g);
    f->index = index;
    f->task = &g->tasks[index];
    f->control.flight = f;
    f->ndeps = graph_need(g, f->task) == NEED_RUN ? f->task->ndeps : 0;
    f->missing = f->ndeps;
    /* One more than needed: calloc(0) may be NULL. */
    f->inputs = calloc(f->ndeps + 1, sizeof *f->inputs);
    f->edges = calloc(f->ndeps + 1, sizeof *f->edges);
    if (!f->inputs || !f->edges) {
        flight_free(f);
        return NULL;
    }
    return f;
}

void flight_free(struct flight *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->inputs && i < f->ndeps; i++)
        blob_put(f->inputs[i]);
    free(f->inputs);
    free(f->edges);
    graph_put(f->graph);
    free(f);
}

void outcome_deliver(struct outcome *out)
{
    struct job *job, *next_job;
    struct flight *f, *next_flight;

    DL_FOREACH_SAFE(out->jobs, job, next_job)
    {
        job->done(job->arg, out->result, &out->err);
        free(job);
    }
    DL_FOREACH_SAFE(out->dead, f, next_flight)
    flight_free(f);
    blob_put(out->result);
}

/* The order of starting: below 0 where `a` goes first. */
static int compare_flights(const struct flight *a, const struct flight *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->task->work_nbytes != b->task->work_nbytes)
        return a->task->work_nbytes > b->task->work_nbytes ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Searched from the tail, for most of what comes belongs to the latest job. */
void flight_make_ready(struct sched *s, struct flight *f)
{
    struct flight *after = s->queue ? s->queue->queue_prev : NULL;

    f->state = FLIGHT_READY;
    while (after && compare_flights(f, after) < 0)
        after = after == s->queue ? NULL : after->queue_prev;
    if (after)
        DL_APPEND_ELEM2(s->queue, after, f, queue_prev, queue_next);
    else
        DL_PREPEND2(s->queue, f, queue_prev, queue_next);
}

static void leave_table(struct sched *s, struct flight *f)
{
    if (f->hh.tbl)
        HASH_DELETE(hh, s->table, f);
    f->hh.tbl = NULL;
}

/* fresh[] holds the flights of all dependencies, for those come first. */
static void start_flight(struct sched *s, struct flight *f, struct flight *const *fresh)
{
    for (size_t i = 0; i < f->ndeps; i++) {
        struct edge *e = &f->edges[i];
        *e = (struct edge){.dependent = f, .dep = fresh[f->task->deps[i]], .slot = i};
        DL_APPEND(e->dep->dependents, e);
    }
    HASH_ADD_KEYPTR(hh, s->table, f->task->key.hex, KEY_HEX, f);
    DL_APPEND(s->flights, f);
    f->state = FLIGHT_WAITING;
    if (f->missing == 0)
        flight_make_ready(s, f);
}

struct flight *flights_start(struct sched *s, const struct graph *g, uint64_t rank,
                             struct flight **fresh, struct outcome *out)
{
    /* Down from the root: what is in flight already is joined, and what lies below it not needed
     * on its account. */
    fresh[g->ntasks - 1]->needed = true;
    for (size_t i = g->ntasks; i-- > 0;) {
        struct flight *f = fresh[i];
        struct flight *there = NULL;

        if (!f)
            continue;
        if (f->needed)
            HASH_FIND(hh, s->table, f->task->key.hex, KEY_HEX, there);
        f->rank = rank;
        if (there) {
            s->stats.tasks_joined++;
            fresh[i] = there;
        }
        if (there || !f->needed) {
            DL_APPEND(out->dead, f);
            continue;
        }
        for (size_t d = 0; d < f->ndeps; d++)
            fresh[g->tasks[i].deps[d]]->needed = true;
    }
    for (size_t i = 0; i < g->ntasks; i++)
        if (fresh[i] && fresh[i]->state == FLIGHT_NEW && fresh[i]->needed)
            start_flight(s, fresh[i], fresh);
    return fresh[g->ntasks - 1];
}

static bool is_needed(const struct flight *f)
{
    return f->jobs || f->dependents;
}

static void job_out(struct sched *s, struct job *job, struct outcome *out)
{
    DL_DELETE(job->root->jobs, job);
    HASH_DELETE(hh, s->jobs, job);
    DL_APPEND(out->jobs, job);
}

/* Let go of the dependencies; those that nobody needs then are appended to *idle. */
static void leave_dependencies(struct flight *f, struct flight **idle)
{
    for (size_t i = 0; i < f->ndeps; i++) {
        struct flight *dep = f->edges[i].dep;
        if (!dep)
            continue;
        DL_DELETE(dep->dependents, &f->edges[i]);
        f->edges[i].dep = NULL;
        if (!dep->failing && !is_needed(dep))
            DL_APPEND2(*idle, dep, pending_prev, pending_next);
    }
}

/* Out of the scheduler; its jobs are to be told. */
static void retire(struct sched *s, struct flight *f, struct outcome *out)
{
    struct job *job, *next;

    leave_table(s, f);
    if (f->state == FLIGHT_READY)
        DL_DELETE2(s->queue, f, queue_prev, queue_next);
    DL_DELETE(s->flights, f);
    DL_FOREACH_SAFE(f->jobs, job, next)
    job_out(s, job, out);
    DL_APPEND(out->dead, f);
}

/* Flights that nobody needs, and what nobody needs after that. */
static void drop_idle(struct sched *s, struct flight *idle, struct outcome *out)
{
    while (idle) {
        struct flight *f = idle;

        DL_DELETE2(idle, f, pending_prev, pending_next);
        s->stats.tasks_cancelled++;
        if (f->state == FLIGHT_RUNNING) {
            f->doomed = true;
            atomic_store(&f->cancelled, true);
            leave_table(s, f);
        } else {
            leave_dependencies(f, &idle);
            retire(s, f, out);
        }
    }
}

void flight_succeed(struct sched *s, struct flight *f, struct outcome *out)
{
    struct edge *e, *next;

    if (!f->doomed) {
        s->stats.tasks_done++;
        s->stats.tasks_found += f->found;
    }
    DL_FOREACH_SAFE(f->dependents, e, next)
    {
        struct flight *d = e->dependent;
        DL_DELETE(f->dependents, e);
        e->dep = NULL;
        d->inputs[e->slot] = blob_get(out->result);
        d->below_nbytes += f->task->work_nbytes + f->below_nbytes;
        if (--d->missing == 0)
            flight_make_ready(s, d);
    }
    retire(s, f, out);
}

void flight_fail(struct sched *s, struct flight *f, struct outcome *out)
{
    struct flight *failing = NULL, *idle = NULL, *g, *next;
    struct edge *e;

    /* First mark everything above, so that no flight is taken for idle that fails anyway. */
    f->failing = true;
    DL_APPEND2(failing, f, pending_prev, pending_next);
    DL_FOREACH2(failing, g, pending_next)
    DL_FOREACH(g->dependents, e)
    if (!e->dependent->failing) {
        e->dependent->failing = true;
        DL_APPEND2(failing, e->dependent, pending_prev, pending_next);
    }
    DL_FOREACH_SAFE2(failing, g, next, pending_next)
    {
        DL_DELETE2(failing, g, pending_prev, pending_next);
        if (!g->doomed)
            s->stats.tasks_failed++;
        leave_dependencies(g, &idle);
        retire(s, g, out);
    }
    drop_idle(s, idle, out);
}

void job_leave(struct sched *s, struct job *job, struct outcome *out)
{
    struct flight *root = job->root, *idle = NULL;

    job_out(s, job, out);
    if (!is_needed(root))
        DL_APPEND2(idle, root, pending_prev, pending_next);
    drop_idle(s, idle, out);
}
