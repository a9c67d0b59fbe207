/* SPDX-License-Identifier: MIT
 *
 * The threads that compute, and the requests that wait for them.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_WORKERS_H
#define DERIVFS_WORKERS_H

#include <pthread.h>

#include "compute.h"
#include "scheduler.h"
#include "store.h"
#include "trace.h"
#include "tree.h"
#include "work_queue.h"

/* All but budget and trace are NULL before engine_start(). */
struct workers {
    struct budget *budget;
    struct trace *trace;
    struct compute compute;
    struct cursor_pool *pool;
    struct sched *sched;
    struct sched *fetcher;   /* NULL without annex_get */
    struct cluster *cluster; /* NULL without config.engine, as the next */
    struct sched *elsewhere;
    struct sched *joiner;
    struct work_queue *work_queue; /* walks through the dataset */
};

/* A reader that waits (engine_requests.c); its owner keeps it in place from begin to end. */
struct request {
    const char *path;            /* outlives the request */
    int64_t began_ns;            /* CLOCK_MONOTONIC */
    struct key key;              /* guarded by requests.lock: of the task; "" before it */
    uint64_t found_nbytes;       /* guarded by requests.lock: done before it began */
    struct request *prev, *next; /* guarded by requests.lock */
};

struct requests {
    pthread_mutex_t lock;
    struct request *list; /* guarded by lock: in the order of beginning */
};

void request_begin(struct requests *all, struct request *r, const char *path);
/* Note that the request waits for the root of `g`, which is about to be submitted. */
void request_at(struct requests *all, struct request *r, const struct workers *w,
                const struct graph *g);
void request_end(struct requests *all, struct request *r);
/* From 0 to 1. */
double request_progress(struct requests *all, struct request *r, const struct workers *w);

/* Start the fetcher. */
int fetcher_open(struct workers *w, struct error *err) NODISCARD;
/* Plan to fetch the absent content of `d`, for the fetcher. ENOENT: all is here. */
int fetch_of_derived(const struct tree *t, const struct derived *d, struct graph **out,
                     struct error *err) NODISCARD;
/* Plan to fetch the runs that `g`, planned from known headers, reads. ENOENT: they, or their
 * results, are here. */
int fetch_of_graph(const struct tree *t, const struct store *s, const struct graph *g,
                   struct graph **out, struct error *err) NODISCARD;
/* Plan to find the names of the contents of runs that `g` reads and that may be known. -ENOENT: there
 * are none. */
int identify_of_graph(const struct store *s, const struct graph *g, struct graph **out,
                      struct error *err) NODISCARD;
/* Is fetch_of_derived() under way? Then *percent is its progress. */
bool fetch_progress(const struct workers *w, const struct tree *t, const struct derived *d,
                    double *percent);

/* Start the thread that joins parts (join.h). */
int joiner_open(struct workers *w, struct cache *cache, struct error *err) NODISCARD;
/* Join the file if all its parts are in the cache. Nothing waits for it. */
void joined_start(const struct workers *w, const struct store *s, struct errlog *errors,
                  const struct derived *d);

#endif
