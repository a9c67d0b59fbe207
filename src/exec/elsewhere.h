/* SPDX-License-Identifier: MIT
 *
 * Work for other nodes, as tasks of a scheduler of its own: its threads only wait (cluster.h).
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_ELSEWHERE_H
#define DERIVFS_ELSEWHERE_H

#include "graph.h"
#include "scheduler.h"

/* Parts of files that may be elsewhere at a time: a thread waits for each. */
enum { ELSEWHERE_NTHREADS = 512 };

/* A task_run_fn; ctx is a struct cluster. The result is a blob of nothing. EIO; ECANCELED. */
int elsewhere_task(void *ctx, const struct graph *g, const struct task *t,
                   struct blob *const *inputs, const struct task_control *ctl, struct blob **out,
                   struct error *err) NODISCARD;

#endif
