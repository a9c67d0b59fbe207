/* SPDX-License-Identifier: MIT
 *
 * Private to the scheduler: its state, and the moves by which flights change state.
 *
 * A flight is one task that is queued or running, for whoever needs it. Flights and jobs form a
 * graph of their own: a job holds its root's flight, a flight holds those of its dependencies by
 * edges. A flight lives as long as a job or an edge holds it.
 *
 *     FLIGHT_NEW ──> FLIGHT_WAITING ──> FLIGHT_READY ──> FLIGHT_RUNNING ──> retired
 *                    (dependencies)     (in the queue)   (a worker has it)
 *
 * Thread rule: every function here is called with s->lock held, unless it says otherwise. None of
 * them calls out or frees: what is to be told and freed is collected in a struct outcome, for
 * outcome_deliver() to do when the lock is released.
 */
#ifndef DERIVFS_SCHEDULER_PRIVATE_H
#define DERIVFS_SCHEDULER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

/* A table that cannot grow leaves the new item out, with hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "scheduler.h"

struct flight;

struct task_control {
    struct flight *flight;
};

/* "dependent needs the result of dep as inputs[slot]" */
struct edge {
    struct flight *dependent;
    struct flight *dep; /* NULL once its result is there, or nobody needs it any more */
    size_t slot;
    struct edge *prev, *next; /* in dep->dependents */
};

struct job {
    uint64_t id;
    sched_done_fn *done;
    void *arg;
    struct flight *root;
    UT_hash_handle hh;       /* in s->jobs, by id */
    struct job *prev, *next; /* in root->jobs, then in an outcome */
};

enum flight_state { FLIGHT_NEW, FLIGHT_WAITING, FLIGHT_READY, FLIGHT_RUNNING };

struct flight {
    /* Fixed from flight_new() on. */
    struct graph *graph; /* a reference */
    size_t index;        /* of the task in graph->tasks */
    const struct task *task;
    struct task_control control; /* what the task is given; leads back here */

    /* Atomic: the task reads and writes them while it runs. */
    atomic_bool cancelled;
    _Atomic uint64_t done_nbytes;
    bool found;           /* only the worker that runs it sets and reads it, as the next two */
    size_t wanted_nbytes; /* for the result; 0: nothing */
    size_t room_nbytes;   /* of charged_nbytes, taken for the result; otherwise what it waits for */

    /* Guarded by s->lock (inputs only until it runs: then they are the worker's). */
    enum flight_state state;
    uint64_t rank;           /* the job that brought it: earlier ones go first */
    bool needed;             /* while FLIGHT_NEW: the job lacks it */
    bool failing;            /* it, or something it depends on, has just failed */
    bool doomed;             /* running, told to stop, out of the table */
    unsigned thread;         /* where FLIGHT_RUNNING */
    size_t charged_nbytes;   /* taken from the budget */
    unsigned nwaits;         /* how often it has waited for room */
    bool refused;            /* there is none: it is taken to fail */
    size_t ndeps;            /* dependencies: none where the graph is cut; fixed */
    size_t missing;          /* those that are not finished */
    uint64_t below_nbytes;   /* work of the dependencies that are */
    struct blob **inputs;    /* [ndeps]; references */
    struct edge *edges;      /* [ndeps] */
    struct edge *dependents; /* the edges that lead here */
    struct job *jobs;        /* whose root this is */
    uint64_t seen;           /* scratch of scheduler_view.c */
    unsigned waiters;        /* scratch of scheduler_view.c */

    /* Guarded by s->lock. */
    UT_hash_handle hh;                          /* in s->table, by key; hh.tbl NULL: not there */
    struct flight *prev, *next;                 /* in s->flights, then in an outcome */
    struct flight *queue_prev, *queue_next;     /* in s->queue */
    struct flight *pending_prev, *pending_next; /* in a list of flights to be retired */
};

struct worker {
    struct sched *sched;
    unsigned index;
    pthread_t thread;
    const struct flight *flight; /* that it runs, or NULL; guarded by sched->lock */
    enum helper_kind helps_with;
    char helping[TRACE_NAME_MAX]; /* the piece it runs, or ""; changed by the worker alone, with
                                     sched->lock held */
};

struct sched {
    struct sched_config config;
    struct worker *workers; /* [config.nthreads] */
    pthread_mutex_t lock;
    pthread_cond_t wake;        /* the head of the queue may be able to start, or a piece; waits for
                                 it are by the monotonic clock */
    struct flight *table;       /* those that can be joined, by key; guarded by lock */
    struct flight *flights;     /* all, dependencies before dependents; guarded by lock */
    struct flight *queue;       /* FLIGHT_READY in the order of starting; guarded by lock */
    struct job *jobs;           /* by id; guarded by lock */
    struct helper_pool helpers; /* what sched_helpers() gives out; fixed */
    struct helper_job *offers;  /* pieces that nobody has taken; guarded by lock */
    struct sched_stats stats;   /* running, helping, and the counts since the start; guarded by lock
                               */
    int64_t starving_ns; /* since when nothing runs, no memory comes back, and a task waits for
                                   room; 0: that is not so; guarded by lock */
    int64_t busy_ns;     /* when a task ended, or that was told, last; guarded by lock */
    uint64_t last_job;   /* guarded by lock */
    uint64_t
        beyond_job; /* the last that went beyond the limit of memory; 0: none; guarded by lock */
    uint64_t last_seen;              /* guarded by lock */
    bool stopping;                   /* guarded by lock */
    struct budget_listener listener; /* fixed; on the budget's list until sched_stop() returns */
};

/* What a change of state leaves to do without the lock. */
struct outcome {
    struct job *jobs;    /* to be told */
    struct flight *dead; /* to be freed */
    struct blob *result; /* for the jobs, or NULL with the reason; a reference */
    struct error err;
};

/* Without the lock. */
void outcome_deliver(struct outcome *out);
/* Without the lock: NULL when out of memory. */
struct flight *flight_new(struct graph *g, size_t index) NODISCARD;
void flight_free(struct flight *f);

/* Put the flights that `g` lacks into the scheduler: fresh[i] is FLIGHT_NEW for g->tasks[i], or
 * NULL where that is not needed. Returns the root's flight, its own or one joined. What of `fresh`
 * was not needed is dead. */
struct flight *flights_start(struct sched *s, const struct graph *g, uint64_t rank,
                             struct flight **fresh, struct outcome *out);

/* The task is done: pass its result on (out->result), or its failure (out->err). */
void flight_succeed(struct sched *s, struct flight *f, struct outcome *out);
void flight_fail(struct sched *s, struct flight *f, struct outcome *out);

/* Take `job` off its root; what nobody needs then is dropped or told to stop. */
void job_leave(struct sched *s, struct job *job, struct outcome *out);

/* ---- scheduler_memory.c ---- */

/* The flight that starts now, its memory taken; or NULL. One that cannot have its memory is taken to
 * fail (flight_memory_fails()). */
struct flight *memory_next(struct sched *s);
/* Without the lock: tell why, if it has to fail for its memory. */
bool flight_memory_fails(const struct sched *s, const struct flight *f, struct error *err);
/* Has it failed for lack of room, and may it wait for that? Then it is in the queue again. */
bool flight_waits_for_room(struct sched *s, struct flight *f, int ret);
/* Memory has come back. */
void memory_came_back(struct sched *s);
/* When a flight's patience with readers ends, by the monotonic clock; INT64_MAX: none waits. */
int64_t memory_deadline(const struct sched *s);

/* Put a flight whose dependencies are done into the queue. */
void flight_make_ready(struct sched *s, struct flight *f);

#endif
