/* SPDX-License-Identifier: MIT
 *
 * The tasks behind compute_task(), each writing its result from front to back.
 */
#ifndef DERIVFS_COMPUTE_PRIVATE_H
#define DERIVFS_COMPUTE_PRIVATE_H

#include "compute.h"
#include "stream_reader.h"

/* What every task is handed. All borrowed. */
struct work {
    const struct compute *c;
    const struct graph *g;
    const struct task *t;
    struct blob *const *inputs; /* [t->ndeps] */
    const struct task_control *ctl;
    struct cancel_token stop; /* asks ctl */
    struct cache_writer *w;
    size_t nvox; /* voxels of a volume that the task is about: all, or those of some slices */
};

/* ECANCELED when the task was told to stop. */
int work_go_on(const struct work *k, struct error *err) NODISCARD;

/* Called for each volume of each stream of the task, in time: `r` is the reader of `s`, which has
 * read the volume. */
typedef int take_volume_fn(void *ctx, struct stream_reader *r, const struct stream *s,
                           struct error *err);
/* `kept` (NULL: they are closed) gets the readers, [k->t->nstreams] with NULL for those that were not
 * opened, also after a failure; they give values from samples (stream_reader_values_of()). */
int work_take_volumes(const struct work *k, take_volume_fn *take, void *ctx,
                      struct stream_reader **kept, struct error *err) NODISCARD;

/* Called with each of these volumes: values[k->nvox], which it may overwrite, aligned as vectors need
 * it. */
typedef int each_volume_fn(void *ctx, double *values, struct error *err);
int work_for_each_volume(const struct work *k, each_volume_fn *each, void *ctx,
                         struct error *err) NODISCARD;

/* Write float64 values into k->w, with settled NaN (kernel.h). */
int work_write(const struct work *k, const double *values, size_t n, struct error *err) NODISCARD;

/* Begin the result, of `nbytes`; `key` NULL: it is not kept. */
int work_begin(const struct work *k, const struct key *key, uint64_t nbytes,
               struct cache_writer **out, struct error *err) NODISCARD;

/* A function for each kind of task whose result is written into k->w. */
#define COMPUTE(name, operation, version, verb, result, function)                                  \
    int compute_##function(const struct work *k, struct error *err) NODISCARD;
TASK_KINDS_WRITTEN(COMPUTE)
#undef COMPUTE

/* compute_command.c: begins and commits its entry by itself, whose length it learns. */
int compute_command(const struct work *k, struct blob **out, struct error *err) NODISCARD;

#endif
