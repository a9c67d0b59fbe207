/* SPDX-License-Identifier: MIT
 *
 * Shared by cluster.c (orders and who waits for them) and cluster_jobs.c (the thread that submits
 * jobs and follows them).
 *
 *     ORDER_NEW ----> ORDER_SENT ----> ORDER_OVER
 *         ^               |
 *         '--- once more -'   its job has ended without the result
 *
 * Thread rule: everything is guarded by c->lock, but for the members of jobs and elements that only
 * the clerk uses.
 */
#ifndef DERIVFS_CLUSTER_PRIVATE_H
#define DERIVFS_CLUSTER_PRIVATE_H

#include <pthread.h>

#include <utlist.h>

#include "batch_system.h"
#include "cluster.h"
#include "job_dir.h"

enum order_state { ORDER_NEW, ORDER_SENT, ORDER_OVER };

struct order {
    char *key, *path;
    size_t name_at;
    uint64_t off, work_nbytes;
    enum order_state state;
    struct error error;   /* ORDER_OVER: code 0 or why not */
    unsigned nwaiting;    /* callers */
    int64_t since_ns;     /* of the state, or since when nobody waits */
    unsigned ntries;      /* jobs that lost it */
    struct element *at;   /* ORDER_SENT */
    uint64_t done_nbytes; /* of work_nbytes, as far as known */
    struct order *prev, *next;
};

/* One job of an array: some orders. */
struct element {
    struct job *job;
    unsigned number;       /* from 1 on */
    struct order **orders; /* [norders] lines of N.tasks; NULL: over, or nobody waits any more */
    size_t norders;
    size_t nleft; /* that are not NULL */
    uint64_t work_nbytes;
    bool over;       /* has ended, and all its results were taken */
    int64_t gone_ns; /* since when the batch system does not know it; 0: it does */
    char state[BATCH_STATE_MAX];
    struct job_state told;
};

struct job {
    char *dir;
    char id[BATCH_ID_MAX];
    struct element *elements; /* [n] */
    unsigned n;
    int64_t sent_ns, polled_ns;
    bool lost;      /* an element has ended without its results: the logs stay */
    bool abandoned; /* nobody waits for some of it any more */
    struct job *prev, *next;
};

struct cluster {
    struct batch_system system;
    char *jobs_dir, *settings, *recipes, **worker;
    unsigned nthreads, njobs_max;
    size_t memory_nbytes;
    double above_s;
    pthread_t clerk;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an order is over, or there is work for the clerk */
    bool stopping;
    struct order *orders;
    struct job *jobs;
    uint64_t nsubmitted;
    double rate; /* bytes a second of one element */
};

/* The clerk's thread: `arg` is the cluster. Ends when it is stopping, and has cancelled all jobs. */
void *cluster_clerk(void *arg);

/* With the lock: the order is over, with this error or NULL. */
void order_over(struct cluster *c, struct order *o, const struct error *err);
/* With the lock: take it out and free it. */
void order_free(struct cluster *c, struct order *o);

#endif
