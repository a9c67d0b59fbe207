/* SPDX-License-Identifier: MIT
 *
 * Joining: the parts of a 4-D file that are in the cache become one more entry, the file as it is.
 *
 * Only a file in one piece can be passed through by the kernel: `cat` of one of 500 MB went from
 * 0.69 of the speed of a plain copy to all of it. A scheduler of its own with one thread does it,
 * so that copying takes no thread that computes. Thread rule: any thread.
 */
#ifndef DERIVFS_JOIN_H
#define DERIVFS_JOIN_H

#include "cache.h"
#include "graph.h"
#include "scheduler.h"

/* A task_run_fn; ctx is the cache. The parts stay, as the least recently used: what the cache needs
 * room for next goes in their place. ENOENT: one has gone; ENOSPC: the disk has no room for both;
 * ECANCELED. Nothing is lost by any failure. */
int join_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
              const struct task_control *ctl, struct blob **out, struct error *err) NODISCARD;

#endif
