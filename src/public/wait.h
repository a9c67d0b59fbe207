/* SPDX-License-Identifier: MIT
 *
 * Waits: one request for something that is not there yet.
 *
 *     ..._wait_new ---- wait_start ---- done ---- wait_put
 *
 * What is waited for decides how a wait is made (reader_wait_new(), fetch_wait_new(),
 * table_wait_new(), page_wait_new() in engine.h) and what it yields. Everything else is the same
 * for all of them:
 *
 * - The maker owns one reference. It gives it up with wait_put() whenever it likes: before the
 *   start, while the wait is under way, or in `done`.
 * - wait_start() is called at most once. From then on `done` is called exactly once, on any thread,
 *   perhaps before wait_start() returns. A wait that is never started calls nobody.
 * - `done` gets NULL when what was waited for is there. Otherwise it gets the reason, which is
 * noted and logged already.
 * - wait_cancel() may be called at any time, any number of times. Once wait_start() has returned,
 *   `done` gets ECANCELED before wait_cancel() returns, unless it has been called, or is being
 *   called on another thread. Before that, wait_start() itself calls it before it returns.
 * - ECANCELED has no other cause, except that the engine stops (engine_stop()).
 * - Several waits may share the same work. The last one that is cancelled stops it.
 *
 * No lock is held while `done` runs: it may call the engine, and make and start other waits.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_WAIT_H
#define DERIVFS_WAIT_H

#include "error.h"

struct wait;

typedef void wait_done_fn(void *arg, struct wait *w, const struct error *err);

/* Start the work, or join it where it is under way already. */
void wait_start(struct wait *w, wait_done_fn *done, void *arg);
void wait_cancel(struct wait *w);
/* Add a reference. Returns `w`. */
struct wait *wait_get(struct wait *w);
void wait_put(struct wait *w);

#endif
