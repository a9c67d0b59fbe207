/* SPDX-License-Identifier: MIT
 *
 * The inside of waits, for their kinds: reader_wait.c, engine_fetch.c, engine_table.c.
 *
 * A kind embeds `struct wait` as its first member and supplies the operations. wait.c keeps the
 * rules of wait.h for all kinds.
 */
#ifndef DERIVFS_WAIT_PRIVATE_H
#define DERIVFS_WAIT_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "scheduler.h"
#include "wait.h"

struct wait_kind {
    /* Begin the work, which ends with one call of wait_end(), after a cancellation too. */
    void (*start)(struct wait *w);
    /* Make the work end soon, after start() has returned. NULL: its job (wait_submit()) is all. */
    void (*cancel)(struct wait *w);
    /* The owner is about to be called; may be NULL. */
    void (*ending)(struct wait *w);
    /* The last reference is gone. */
    void (*free)(struct wait *w);
};

struct wait {
    const struct wait_kind *kind;
    wait_done_fn *done;
    void *arg;
    atomic_int refs;    /* the owner's, and the work's until wait_end() */
    atomic_bool called; /* `done` has been or is being called */
    pthread_mutex_t lock;
    bool started;        /* guarded by lock: kind->start() has returned */
    bool cancelled;      /* guarded by lock */
    struct sched *sched; /* guarded by lock: of the job */
    uint64_t job_id;     /* guarded by lock: the latest; 0: none */
};

/* Initialise with the owner's reference. */
void wait_init(struct wait *w, const struct wait_kind *kind);

/* End the work: call the owner, unless wait_cancel() did, and drop the work's reference. */
void wait_end(struct wait *w, const struct error *err);

bool wait_is_cancelled(struct wait *w);

/* Submit the next job; `done` gets the wait as its argument. ECANCELED: the wait was cancelled. */
int wait_submit(struct wait *w, struct sched *sched, struct graph *g, sched_done_fn *done,
                struct error *err) NODISCARD;

#endif
