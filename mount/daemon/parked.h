/* SPDX-License-Identifier: MIT
 *
 * Requests that are answered when a wait of the engine ends, so that no thread of libfuse waits for
 * a task. Thread rule: any thread; one lock inside.
 */
#ifndef DERIVFS_PARKED_H
#define DERIVFS_PARKED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "engine.h"
#include "files.h"

struct mount;
struct node;

enum parked_state {
    PARKED_WAITS,
    PARKED_INTERRUPTED,
    PARKED_LEFT, /* answered; if it is still in the list, its work goes on */
};

struct parked {
    fuse_req_t req;
    struct mount *m;
    /* Answer the request after a wait that succeeded. If this fails, the caller answers it. */
    int (*reply)(struct parked *p, struct wait *w, struct error *err);
    struct file *file; /* closed if the request fails; NULL: none */
    struct node *node; /* the kernel keeps it while it uses it */
    bool unbounded;    /* waits for a program: the daemon's end does not */
    /* for `reply`; only those that it needs are set */
    const struct file *reads; /* the file that is read, which stays open until the answer */
    struct fuse_file_info fi;
    uint64_t off;
    size_t nbytes;
    unsigned nlost; /* times that the cache lost the bytes between the wait and the reply */
    /* the rest belongs to parked.c */
    struct wait *wait; /* a reference */
    pid_t caller;      /* thread */
    enum parked_state state;
    int64_t give_up_ns; /* PARKED_LEFT: when the work is cancelled */
    struct parked *prev, *next;
};

/* Zero but for lock and condition at first. */
struct parking {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct parked *all; /* guarded by lock, like the states in it */
    bool ending;        /* guarded by lock */
    bool is_watched;
    pthread_t watcher;
};

/* Answer p->req when `w` ends, or with EINTR when the caller leaves. Copies *p, and takes over the
 * reference to `w`, which is not started yet. `w` NULL: answer ENOMEM. */
void park(const struct parked *p, struct wait *w);

/* Does a request wait, other than for a program? */
bool parked_any(struct parking *t);

/* Watch for callers that leave. Returns 0 or -errno. */
int parking_start(struct parking *t) NODISCARD;
/* To be called after engine_stop(), which ends all waits. */
void parking_stop(struct parking *t);

#endif
