/* SPDX-License-Identifier: MIT
 *
 * Computing many files without a mount: what a reader of each would start, a window of them at a
 * time, so that all threads are busy, what files share is computed once, and memory does not grow
 * with their number. Thread rule: one thread calls, the engine's workers call back.
 */
#ifndef DERIVFS_ORDERS_H
#define DERIVFS_ORDERS_H

#include "ctl.h"

/* The next file to compute (its derived and path pass to the caller) with its share of the work:
 * true, or false when there are no more. */
typedef bool orders_next_fn(void *ctx, struct found *out, double *weight);

struct orders_request {
    struct engine *engine; /* started */
    orders_next_fn *next;
    void *ctx;
    size_t nfiles;    /* that will come, as far as is known: for the bar */
    double weight;    /* the sum of theirs */
    const char *out;  /* -o: where the bytes of the only file go; NULL: into the cache alone */
    bool skip_cached; /* what the cache has is not read, and so not checked, again */
};

struct orders_outcome {
    size_t ncomputed, ncached, nfailed; /* ncached: skipped */
    int signal;                         /* the signal that ended it early; else 0 */
};

/* With a progress bar where stderr is a terminal. Each failure is told on stderr at the end. After
 * a signal, workers may still be at work: then only ending the process is left. */
int orders_run(const struct orders_request *q, struct orders_outcome *out) NODISCARD;

#endif
