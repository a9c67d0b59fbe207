/* SPDX-License-Identifier: MIT
 *
 * Work for other nodes: orders are collected, grouped, submitted to a batch system as the elements of
 * arrays of jobs, and followed until their results are in the shared cache.
 *
 *     order --+                        +-- element: derivctl work JOBDIR 1 --+
 *     order --+-- a second -- groups --+                                     +-- the shared cache
 *     order --+                        +-- element: derivctl work JOBDIR 2 --+
 *
 * A group is at least a minute of work, by the rate measured so far, so that starting a job costs
 * little beside it. One thread submits, reads what the workers say (job_dir.h) and asks the batch
 * system whether they are alive. What a job loses is submitted once more. An order that nobody waits
 * for is forgotten after some seconds; a job without orders is cancelled. Nothing here runs on the
 * worker's node, and no socket connects the two. Thread rule: any thread; cluster_free() by the owner
 * once no cluster_wait_for() is under way.
 */
#ifndef DERIVFS_CLUSTER_H
#define DERIVFS_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { CLUSTER_PLACE_MAX = 160 };

struct cluster_config {
    const char *engine;   /* batch_system.h */
    const char *engines;  /* path of the settings file; NULL: none */
    const char *jobs;     /* directory for those of jobs, absolute, which all nodes see */
    const char *settings; /* of the workers, as in job_dir.h */
    const char *recipes;  /* file of recipes, of which each job gets a copy; NULL: none */
    char *const *worker;  /* the command line of a worker before JOBDIR N; ends with NULL */
    unsigned nthreads;    /* of each worker */
    size_t memory_nbytes; /* of each worker */
    double above_s;       /* what takes less here is not worth a job */
    unsigned njobs_max;   /* elements at a time */
};

struct cluster;

/* Copies the configuration. EINVAL: no such batch system. */
int cluster_new(const struct cluster_config *config, struct cluster **out,
                struct error *err) NODISCARD;
/* Cancels the jobs that are left. NULL is allowed. */
void cluster_free(struct cluster *c);

/* Is so much to read worth a job? */
bool cluster_wants(struct cluster *c, uint64_t work_nbytes);

struct cluster_order {
    const char *key;      /* equal orders are one */
    const char *path;     /* in the mount; without a newline */
    size_t name_at;       /* where in `path` the name begins, which may have a slash */
    uint64_t off;         /* of the first byte that is wanted */
    uint64_t work_nbytes; /* to read */
};

/* How a waiting caller hears of it. */
struct cluster_waiter {
    bool (*cancelled)(const void *ctx);                      /* asked often */
    void (*progress)(const void *ctx, uint64_t done_nbytes); /* of work_nbytes */
    const void *ctx;
};

/* Wait until a worker says that the result is in the cache. EIO: job, state and log; the worker's own
 * reason; what the batch system said. ECANCELED. */
int cluster_wait_for(struct cluster *c, const struct cluster_order *order,
                     const struct cluster_waiter *w, struct error *err) NODISCARD;

/* Where an order is now: "job 12 (element 3) on node n1: RUNNING", "to be submitted"; false: there is
 * none of this key. */
bool cluster_find(struct cluster *c, const char *key, char place[CLUSTER_PLACE_MAX]);

struct cluster_stats {
    unsigned norders, nelements; /* under way */
    uint64_t nsubmitted;         /* elements since the start */
    double rate;                 /* bytes a second of one element */
};
void cluster_stats(struct cluster *c, struct cluster_stats *out);

#endif
