/* SPDX-License-Identifier: MIT
 *
 * The inside of a wait, for what can be waited for: reader_wait.c, engine_fetch.c, engine_table.c.
 *
 * A kind of wait embeds `struct wait` as its first member and supplies the operations. wait.c keeps
 * the rules of wait.h for all of them.
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
    /* Begin the work. It ends with one call of wait_end(), also where it has been cancelled. */
    void (*start)(struct wait *w);
    /* Make the work end soon; NULL: its job in a scheduler is all of it (wait_submit()). Not before
     * start() has returned. */
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
    atomic_int refs;  /* the owner's, and the work's from the start to wait_end() */
    atomic_bool told; /* `done` has been or is being called */
    pthread_mutex_t lock;
    bool started;        /* guarded by lock: kind->start() has returned */
    bool cancelled;      /* guarded by lock */
    struct sched *sched; /* guarded by lock: whose job it is */
    uint64_t job_id;     /* guarded by lock: the latest one; 0: none */
};

/* With the owner's reference. */
void wait_init(struct wait *w, const struct wait_kind *kind);

/* The work has ended: call the owner, unless a wait_cancel() has done so, and give up the work's
 * reference. */
void wait_end(struct wait *w, const struct error *err);

bool wait_is_cancelled(struct wait *w);

/* Submit the next job of the work; `done` gets the wait as its argument. ECANCELED: the wait has
 * been cancelled. */
int wait_submit(struct wait *w, struct sched *sched, struct graph *g, sched_done_fn *done,
                struct error *err) NODISCARD;

#endif
