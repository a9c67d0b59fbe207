/* SPDX-License-Identifier: MIT
 *
 * Batches: many derived files read from front to back, a window of them at a time.
 *
 * So all workers are busy, what files share is computed once, and memory does not grow with their
 * number. Files start in the order in which next() gives them.
 *
 * Thread rule: batch_run() and batch_cancel() from any thread. The functions of the user are called
 * one at a time and, but for wake(), without a lock; those of one batch on whichever thread runs
 * it. batch_progress() may be called from within them, or while nobody runs the batch.
 */
#ifndef DERIVFS_BATCH_H
#define DERIVFS_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct reader;

struct batch_file {
    struct reader *reader; /* opened by next(); the batch closes it */
    double weight;         /* for batch_progress() */
    void *of;              /* the user's */
};

struct batch_user {
    /* The next file; false: there are no more. */
    bool (*next)(void *ctx, struct batch_file *out);
    /* The next bytes of a file. A failure ends the file. */
    int (*take)(void *ctx, const struct batch_file *file, const void *bytes, size_t nbytes,
                struct error *err);
    /* A file has ended. err NULL: all of it has been taken. */
    void (*ended)(void *ctx, const struct batch_file *file, const struct error *err);
    /* All files have ended; after a cancellation, those that were under way. Once, and the last
     * call of all: it may free the batch. */
    void (*done)(void *ctx);
    /* batch_run() has something to do: wake the thread that calls it. Called under the batch's
     * lock. NULL: the thread on which a file becomes available runs the batch itself. */
    void (*wake)(void *ctx);
    void *ctx;
};

struct batch;

struct batch *batch_new(const struct batch_user *user) NODISCARD; /* NULL: out of memory */
/* Before the first batch_run(), or once done() is called. NULL is allowed. */
void batch_free(struct batch *b);
/* Start, and with wake() go on: start files, pass on what is there, ask for what is not. Waits for
 * nothing. */
void batch_run(struct batch *b);
/* Start no more files, and cancel those under way. The engine's stop does the same. */
void batch_cancel(struct batch *b);
/* The weight of what has been done of the files under way. */
double batch_progress(struct batch *b);

#endif
