/* SPDX-License-Identifier: MIT
 *
 * The tasks behind compute_task(), each writing its result from front to back.
 */
#ifndef DERIVFS_COMPUTE_PRIVATE_H
#define DERIVFS_COMPUTE_PRIVATE_H

#include "compute.h"

/* What every task is handed. All borrowed. */
struct work {
    const struct compute *c;
    const struct graph *g;
    const struct task *t;
    struct blob *const *inputs; /* [t->ndeps] */
    const struct task_control *ctl;
    struct stop stop; /* asks ctl */
    struct cache_writer *w;
    size_t nvox; /* voxels of a volume that the task is about: all, or those of some slices */
};

/* ECANCELED when the task was told to stop. */
int work_go_on(const struct work *k, struct error *err) NODISCARD;

/* compute_moments.c */
int compute_moments(const struct work *k, struct error *err) NODISCARD;
int compute_trend(const struct work *k, struct error *err) NODISCARD;

/* compute_series.c */
int compute_percentiles(const struct work *k, struct error *err) NODISCARD;
int compute_volume(const struct work *k, struct error *err) NODISCARD;
int compute_chunk(const struct work *k, struct error *err) NODISCARD;
int compute_checksum(const struct work *k, struct error *err) NODISCARD;

/* compute_image.c */
int compute_plane(const struct work *k, struct error *err) NODISCARD;
int compute_image(const struct work *k, struct error *err) NODISCARD;

/* compute_command.c: begins and commits its entry by itself, whose length it learns. */
int compute_command(const struct work *k, struct blob **out, struct error *err) NODISCARD;

#endif
