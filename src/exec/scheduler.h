/* SPDX-License-Identifier: MIT
 *
 * The scheduler: runs the tasks of graphs on worker threads.
 *
 * Readiness by counter: a finished task decrements its dependents, at zero they are ready; ready
 * tasks start in the order of their submission, larger work first. Single flight: a task whose key
 * is already queued or running is joined, not run again. A task that nobody waits for any more is
 * taken from the queue or told to stop. A task starts only when its memory fits the budget (a lone
 * task starts in any case, unless it alone is over the limit: ENOMEM). A task whose result has to
 * stay in memory, where there is no room for it now, is run again when there is. A failure travels to every
 * waiting job with its sentence and is forgotten afterwards. Workers that find no task to start
 * help those that run: they take the pieces that these offer (helpers.h). Thread rule: all functions
 * from any thread; none waits for a task but sched_free().
 */
#ifndef DERIVFS_SCHEDULER_H
#define DERIVFS_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "blob.h"
#include "budget.h"
#include "error.h"
#include "graph.h"
#include "helpers.h"
#include "trace.h"

/* A running task's line to the scheduler. */
struct task_control;
bool task_cancelled(const struct task_control *ctl);                      /* ask often: stop soon */
void task_progress(const struct task_control *ctl, uint64_t done_nbytes); /* of work_nbytes */
void task_found(const struct task_control *ctl); /* the result was there already */
/* Before it fails with ENOMEM: the result needs so much memory of the budget besides the task's own.
 * The task is run again when that is there, if it can ever be. */
void task_wants_room(const struct task_control *ctl, size_t nbytes);
/* Has so much been taken from the budget for the result, as the task wanted? Then it is the caller's
 * from now on. */
bool task_take_room(const struct task_control *ctl, size_t nbytes) NODISCARD;

/* Run one task: inputs[i] is the result of deps[i]. Called on a worker thread without locks. On
 * success *out is the result (a reference for the scheduler); ECANCELED when it was told to stop.
 */
typedef int task_run_fn(void *ctx, const struct graph *g, const struct task *t,
                        struct blob *const *inputs, const struct task_control *ctl,
                        struct blob **out, struct error *err);

struct sched_config {
    unsigned nthreads;     /* at least 1 */
    struct budget *budget; /* outlives the scheduler */
    task_run_fn *run;
    void *ctx;
    struct trace *trace; /* told of every task that has run; outlives the scheduler; may be NULL */
    /* So long a task that waits for room waits while nothing runs and no memory comes back, for
     * readers may keep theirs for ever: then ENOMEM. 0: half a minute */
    int64_t patience_ns;
};

struct sched;

int sched_new(const struct sched_config *config, struct sched **out, struct error *err) NODISCARD;
/* Cancels what is left (jobs get ECANCELED), joins the threads. Afterwards nothing can be
 * submitted, and nothing is called back. By the owner; a second time it does nothing. */
void sched_stop(struct sched *s);
/* sched_stop(), and free. NULL is allowed. */
void sched_free(struct sched *s);

/* The workers, as extra helpers for what runs on them. Nothing may be on offer any more when
 * sched_free() returns. */
struct helper_pool *sched_helpers(struct sched *s);

/* Called once per job, on a worker thread (or on the thread that cancels) without locks: the root's
 * result (the callee takes a reference if it keeps it) or NULL and the reason; `err` is never NULL,
 * its code is 0 beside a result. It may submit and cancel other jobs. The job is gone when it
 * returns. */
typedef void sched_done_fn(void *arg, struct blob *result, const struct error *err);

/* Start computing the root of `g` (the job takes a reference to the graph). *job_id (never 0, never
 * used again) is set before `done` can be called. On failure (ENOMEM; ECANCELED once sched_stop()
 * has begun) `done` is not called. */
int sched_submit(struct sched *s, struct graph *g, sched_done_fn *done, void *arg, uint64_t *job_id,
                 struct error *err) NODISCARD;

/* Lose interest: `done` is called with ECANCELED before this returns. Where `done` has been or is
 * being called already, nothing happens. A task that is stopped because of it is not joined any
 * more: a new job for its key starts a run of its own, perhaps beside the old one's last moments.
 */
void sched_cancel(struct sched *s, uint64_t job_id);

/* One line of sched_snapshot(): a task that is queued or running, or a piece of one. */
struct sched_task_info {
    struct key key; /* empty for a piece */
    char label[256];
    bool running;
    bool helping;    /* a piece of a task, on a thread that has none itself */
    unsigned thread; /* worker index where running */
    uint64_t done_nbytes, work_nbytes;
    unsigned waiters; /* jobs that need it */
};

struct sched_stats {
    unsigned nthreads, running, queued, jobs;
    unsigned helping; /* workers that run pieces of tasks that others have */
    /* Since the start. Each task counts as done, as failed (by itself or with a dependency) or as
     * cancelled, queued or running; besides as joined for each further job that found it. */
    uint64_t tasks_done, tasks_failed, tasks_cancelled, tasks_joined;
    uint64_t tasks_found; /* of those that are done: by nothing but looking */
    uint64_t pieces_done; /* by helping */
};

void sched_stats(struct sched *s, struct sched_stats *out);
/* What is queued and running now, the pieces last; *out is malloced, NULL for none. Returns the
 * number. */
size_t sched_snapshot(struct sched *s, struct sched_task_info **out);

/* The line of the task of `key`, but for its waiters; false where it is neither queued nor running.
 */
bool sched_find(struct sched *s, const struct key *key, struct sched_task_info *out);

/* Work done so far on the way to the task of `key`, and all there is (its dependencies, finished or
 * not, included): false where it is neither queued nor running. Both in bytes. */
bool sched_progress(struct sched *s, const struct key *key, uint64_t *done_nbytes,
                    uint64_t *work_nbytes);

#endif
