/* SPDX-License-Identifier: MIT
 *
 * Batches: many derived files read from front to back, a window of them at a time.
 *
 * This keeps all workers busy, computes shared tasks once, and bounds the memory. Files start in
 * the order of next().
 *
 * Thread rule: batch_run() and batch_cancel() from any thread. The callbacks of one batch run one
 * at a time, without a lock except wake(), on the thread that runs the batch. batch_progress() may
 * be called in a callback, or while no thread runs the batch.
 */
#ifndef DERIVFS_BATCH_H
#define DERIVFS_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct engine;
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
    /* All files have ended; after a cancellation, those under way. The last call, once: it may free
     * the batch. */
    void (*done)(void *ctx);
    /* Wake the thread that calls batch_run(). Called under the batch's lock. NULL: the thread on
     * which a file becomes available runs the batch. */
    void (*wake)(void *ctx);
    void *ctx;
};

struct batch;

/* For files of `e`, which was started. NULL: out of memory. */
struct batch *batch_new(struct engine *e, const struct batch_user *user) NODISCARD;
/* Before the first batch_run(), or once done() was called. NULL is allowed. */
void batch_free(struct batch *b);
/* Start files, pass available bytes on, wait for others. Does not block. Call it once, and after
 * each wake(). */
void batch_run(struct batch *b);
/* Start no more files, and cancel those under way. engine_stop() has the same effect. */
void batch_cancel(struct batch *b);
/* The part of the weights of the files under way that is done. */
double batch_progress(struct batch *b);

#endif
