/* SPDX-License-Identifier: MIT
 *
 * Computes many files without a mount, with a progress bar, through a batch of the engine.
 * Thread rule: one thread calls, the engine's workers call back.
 */
#ifndef DERIVFS_ORDERS_H
#define DERIVFS_ORDERS_H

#include "ctl.h"

/* The next file to compute and its share of the work; `out` owns both members. False: no more. */
typedef bool orders_next_fn(void *ctx, struct found *out, double *weight);

struct orders_request {
    struct engine *engine; /* started */
    orders_next_fn *next;
    void *ctx;
    size_t nfiles;    /* expected, for the bar */
    double weight;    /* the sum of their weights */
    const char *out;  /* -o: the file for the result of the only file; NULL: only the cache */
    bool skip_cached; /* do not read, and so not check, files that are in the cache */
};

struct orders_outcome {
    size_t ncomputed, ncached, nfailed; /* ncached: skipped */
    int signal;                         /* the signal that ended it early; else 0 */
};

/* Shows the bar if stderr is a terminal, and prints the failures on stderr at the end. After a
 * signal, workers may be running: then the caller must end the process. */
int orders_run(const struct orders_request *q, struct orders_outcome *out) NODISCARD;

#endif
