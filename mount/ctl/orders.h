/* SPDX-License-Identifier: MIT
 *
 * Computes many files without a mount, through a batch of the engine, and writes them where that is
 * asked for. Thread rule: one thread calls, the engine's workers call back.
 */
#ifndef DERIVFS_ORDERS_H
#define DERIVFS_ORDERS_H

#include "ctl.h"
#include "progress.h"

/* A file to compute. */
struct order {
    struct found file; /* owned */
    double weight;     /* its share of the work */
    char *out;         /* the file to write, owned; NULL: only into the cache */
};

/* The next order, which the caller owns then. False: there is none. */
typedef bool orders_next_fn(void *ctx, struct order *out);

struct orders_request {
    struct engine *engine; /* started */
    orders_next_fn *next;
    void *ctx;
    struct progress *progress; /* begun */
    bool skip_cached;          /* do not read, and so not check, files that are in the cache */
    bool keep_times;           /* files that are written get the time that the mount shows */
    /* Called when the file of an order was written; it may fail, too. NULL: nothing to do. */
    int (*written)(void *ctx, const struct order *order, struct error *err);
};

/* Adds to the progress, with a line for each failure. After a signal (ending.h) files
 * under way are given up, and workers may be running: then the caller must end the process. */
int orders_run(const struct orders_request *q) NODISCARD;

/* End the process by the signal that ended orders_run(), if there was one. Jobs on other nodes are
 * cancelled first. */
void orders_raise(struct engine *e);

#endif
