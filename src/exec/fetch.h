/* SPDX-License-Identifier: MIT
 *
 * Fetching: content that is elsewhere is got by git-annex, as tasks of a scheduler of its own.
 *
 * A task is named by repository and annex key, so that however many readers want a file, and under
 * however many names, it is fetched once. Waiting for a network takes no thread that computes.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_FETCH_H
#define DERIVFS_FETCH_H

#include "annex.h"
#include "graph.h"
#include "scheduler.h"

/* How many files are fetched at a time. */
enum { FETCH_NTHREADS = 4 };

/* A task_run_fn; ctx is an int, the descriptor of the dataset's root. The result is a blob of
 * nothing. ENODATA with git-annex's own last lines; ECANCELED. */
int fetch_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
               const struct task_control *ctl, struct blob **out, struct error *err) NODISCARD;

#endif
