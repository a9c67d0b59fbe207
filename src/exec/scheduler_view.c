/* SPDX-License-Identifier: MIT
 *
 * Looking into the scheduler: counts, what is queued and running, progress.
 *
 * Dependencies stand before their dependents in s->flights, so one walk backwards from a flight
 * meets everything it waits for. Costs jobs times flights, under the lock: for status displays.
 * Deliberate imprecision: finished work that two unfinished tasks share counts for each of them.
 */
#include "scheduler_private.h"

#include <stdio.h>
#include <stdlib.h>

/* With the lock held: `root` and all unfinished flights below it have `seen` set to what is
 * returned. */
static uint64_t mark_below(struct sched *s, struct flight *root)
{
    uint64_t seen = ++s->last_seen;

    root->seen = seen;
    for (struct flight *f = root; f; f = f == s->flights ? NULL : f->prev) {
        if (f->seen != seen)
            continue;
        for (size_t i = 0; i < f->ndeps; i++)
            if (f->edges[i].dep)
                f->edges[i].dep->seen = seen;
    }
    return seen;
}

/* A task may say more than it announced. */
static uint64_t flight_done_nbytes(const struct flight *f)
{
    uint64_t done = atomic_load_explicit(&f->done_nbytes, memory_order_relaxed);
    return done < f->task->work_nbytes ? done : f->task->work_nbytes;
}

void sched_stats(struct sched *s, struct sched_stats *out)
{
    struct flight *f;
    unsigned nflights;

    pthread_mutex_lock(&s->lock);
    DL_COUNT(s->flights, f, nflights);
    *out = s->stats;
    out->nthreads = s->config.nthreads;
    out->queued = nflights - s->stats.running;
    out->jobs = HASH_COUNT(s->jobs);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held: count for each flight the jobs that need it. */
static void count_waiters(struct sched *s)
{
    struct flight *root, *f;
    struct job *job;

    DL_FOREACH(s->flights, f)
    f->waiters = 0;
    DL_FOREACH(s->flights, root)
    {
        unsigned njobs;
        DL_COUNT(root->jobs, job, njobs);
        if (njobs == 0)
            continue;
        uint64_t seen = mark_below(s, root);
        DL_FOREACH(s->flights, f)
        if (f->seen == seen)
            f->waiters += njobs;
    }
}

static void describe(const struct flight *f, struct sched_task_info *out)
{
    out->key = f->task->key;
    snprintf(out->label, sizeof out->label, "%s", f->task->label);
    out->running = f->state == FLIGHT_RUNNING;
    out->thread = f->thread;
    out->done_nbytes = flight_done_nbytes(f);
    out->work_nbytes = f->task->work_nbytes;
    out->waiters = f->waiters;
}

static void describe_piece(const struct worker *w, struct sched_task_info *out)
{
    snprintf(out->label, sizeof out->label, "%s", w->helping);
    out->running = out->helping = true;
    out->thread = w->index;
    out->waiters = 1;
}

size_t sched_snapshot(struct sched *s, struct sched_task_info **out)
{
    struct flight *f;
    size_t n, i = 0;

    pthread_mutex_lock(&s->lock);
    DL_COUNT(s->flights, f, n);
    n += s->stats.helping;
    *out = n > 0 ? calloc(n, sizeof **out) : NULL;
    if (*out) {
        count_waiters(s);
        DL_FOREACH(s->flights, f)
        describe(f, &(*out)[i++]);
        for (unsigned w = 0; w < s->config.nthreads; w++)
            if (s->workers[w].helping[0])
                describe_piece(&s->workers[w], &(*out)[i++]);
    }
    pthread_mutex_unlock(&s->lock);
    return i;
}

bool sched_find(struct sched *s, const struct key *key, struct sched_task_info *out)
{
    struct flight *f;

    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->table, key->hex, KEY_HEX, f);
    if (f)
        describe(f, out);
    pthread_mutex_unlock(&s->lock);
    return f != NULL;
}

bool sched_progress(struct sched *s, const struct key *key, uint64_t *done_nbytes,
                    uint64_t *work_nbytes)
{
    struct flight *root, *f;

    *done_nbytes = *work_nbytes = 0;
    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->table, key->hex, KEY_HEX, root);
    if (root) {
        uint64_t seen = mark_below(s, root);
        DL_FOREACH(s->flights, f)
        if (f->seen == seen) {
            *done_nbytes += flight_done_nbytes(f) + f->below_nbytes;
            *work_nbytes += f->task->work_nbytes + f->below_nbytes;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return root != NULL;
}
