/* SPDX-License-Identifier: MIT
 *
 * A wait is a request for a result that is not available yet.
 *
 *     ..._wait_new ---- wait_start ---- done ---- wait_put
 *
 * The functions that make one are in engine.h: reader_wait_new(), fetch_wait_new(),
 * table_wait_new(), page_wait_new(). The rules are the same for all:
 *
 * - The maker owns a reference, and drops it with wait_put() at any time: before the start, while
 *   the wait is under way, or in `done`.
 * - wait_start() is called at most once. It calls `done` exactly once, on any thread, perhaps
 *   before it returns. A wait that is never started calls nothing.
 * - `done` gets NULL if the result is available, else the error, which is noted and logged already.
 * - wait_cancel() may be called at any time and repeatedly. After wait_start() has returned,
 *   `done` gets ECANCELED before wait_cancel() returns, unless it was called, or is being called by
 *   another thread. Before that, wait_start() calls it before it returns.
 * - The only other cause of ECANCELED is engine_stop().
 * - Several waits may share work. Cancelling the last one cancels it.
 *
 * No lock is held while `done` runs: it may call the engine, and make and start other waits.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_WAIT_H
#define DERIVFS_WAIT_H

#include "error.h"

struct wait;

typedef void wait_done_fn(void *arg, struct wait *w, const struct error *err);

/* Start the work, or join work under way. */
void wait_start(struct wait *w, wait_done_fn *done, void *arg);
void wait_cancel(struct wait *w);
/* Add a reference. Returns `w`. */
struct wait *wait_get(struct wait *w);
void wait_put(struct wait *w);

#endif
