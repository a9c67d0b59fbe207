/* SPDX-License-Identifier: MIT
 *
 * The task graph: what has to be computed for one derived file, as pure data.
 *
 *     run -- moments(run) --+
 *     run -- moments(run) --+-- image(expression) -- the bytes of NAME.nii
 *     run -- moments(run) --+           |
 *                                       +-- output(format) -- the bytes of NAME.nii.gz
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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "expr.h"
#include "key.h"
#include "output.h"
#include "recipe.h"
#include "run.h"

enum task_kind { TASK_MOMENTS, TASK_IMAGE, TASK_OUTPUT };

/* How much of a run is inflated before the kernel takes it: large enough that the calls cost
 * nothing beside the inflating, small enough to stay in the second-level cache. */
enum { TASK_BUFFER_NBYTES = 1 << 20 };

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
    struct recipe_table *table;         /* a reference: keeps `recipe` alive */
    const struct recipe *recipe;        /* what the image task evaluates */
    const struct output_format *format; /* of the file */
};

/* Plan the file of `recipe` (of `table`) in `format` over `runs` joined in time. All runs are
 * RUN_OK and on one grid. ENOTSUP with a sentence for an expression that cannot be planned. */
int graph_build(struct recipe_table *table, const struct recipe *recipe,
                const struct output_format *format, struct run *const *runs, size_t nruns,
                struct graph **out, struct error *err) NODISCARD;
/* Cut what is not needed: a task that `is_cached` loses its dependencies, and tasks that nobody
 * needs any more go. Only before the graph is shared. */
void graph_cut(struct graph *g, bool (*is_cached)(void *ctx, const struct key *key), void *ctx);

struct graph *graph_get(struct graph *g);
void graph_put(struct graph *g); /* NULL is allowed */

const struct task *graph_root(const struct graph *g);

/* Can this expression be planned at all? ENOTSUP with a sentence if not. */
int graph_check(const struct expr *e, struct error *err) NODISCARD;

/* What the image's header says of its origin: "derivfs EXPRESSION". malloced; NULL: out of memory.
 */
char *graph_origin(const struct expr *e) NODISCARD;

/* Bytes of the .nii file of an image on the grid of `first`. */
uint64_t graph_image_nbytes(const struct nifti *first);

#endif
