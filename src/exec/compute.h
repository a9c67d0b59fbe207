/* SPDX-License-Identifier: MIT
 *
 * Compute: what running one task of a graph means. Looks into the cache first; else reads the
 * source or the inputs, calls the kernels and writes the result into the cache.
 *
 * Thread rule: compute_task() from any number of worker threads at once.
 */
#ifndef DERIVFS_COMPUTE_H
#define DERIVFS_COMPUTE_H

#include "cache.h"
#include "cursor.h"
#include "scheduler.h"

struct compute {
    int rootfd; /* the dataset */
    struct cache *cache;
    struct cursor_pool *pool;
    struct helper_pool *helpers;
    const char *dataset; /* the dataset's path, for programs; all borrowed */
};

/* A task_run_fn (scheduler.h); ctx is a const struct compute. ESTALE: a source is no longer the one
 * that the graph was planned for. EAGAIN: an input that the graph was cut at has gone from the
 * cache. In both cases plan again. */
int compute_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
                 const struct task_control *ctl, struct blob **out, struct error *err) NODISCARD;

#endif
