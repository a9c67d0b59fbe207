/* SPDX-License-Identifier: MIT
 *
 * The task graph: what has to be computed for one derived image, as pure data.
 *
 *     run ── moments(run) ──┐
 *     run ── moments(run) ──┼── image(expression) ── the bytes of the .nii file
 *     run ── moments(run) ──┘
 *
 * Joining runs in time is pushed through the reductions: every run's moments are a task of their
 * own with a key of their own, which any other recipe over that run shares; merging them is part of
 * the image task, in the order of the runs. A graph knows shapes, keys, memory and work of its
 * tasks from headers alone. Thread rule: a finished graph is immutable and reference-counted; any
 * thread.
 */
#ifndef DERIVFS_GRAPH_H
#define DERIVFS_GRAPH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "expr.h"
#include "key.h"
#include "recipe.h"
#include "run.h"

enum task_kind { TASK_MOMENTS, TASK_IMAGE };

struct task {
    enum task_kind kind;
    struct key key; /* names the task, wherever it occurs, and its cache entry */
    char *label;    /* one line for people: "moments sub-01_task-rest_bold.nii.gz" */
    size_t ndeps;
    size_t *deps;         /* [ndeps] indices into graph->tasks, each smaller than this task's own */
    uint64_t work_nbytes; /* how much there is to do: stored bytes to read */
    size_t mem_nbytes;    /* buffers the task needs while it runs */
    uint64_t result_nbytes; /* exact size of the result */
    struct run *run;        /* TASK_MOMENTS: a reference owned by the graph */
};

struct graph {
    atomic_int refs;
    struct task *tasks; /* [ntasks], dependencies before dependents; the last is the root */
    size_t ntasks;
    struct run **runs; /* [nruns] in the order in which they are joined; references */
    size_t nruns;
    struct recipe_table *table;  /* reference: keeps `recipe` alive */
    const struct recipe *recipe; /* what the image task evaluates */
};

/* Plan the image of `recipe` (of `table`) over `runs` joined in time. All runs are RUN_OK and on
 * one grid. ENOTSUP with a sentence for an expression that cannot be planned. */
int graph_build(struct recipe_table *table, const struct recipe *recipe, struct run *const *runs,
                size_t nruns, struct graph **out, struct error *err) NODISCARD;
struct graph *graph_get(struct graph *g);
void graph_put(struct graph *g); /* NULL is allowed */

const struct task *graph_root(const struct graph *g);

#endif
