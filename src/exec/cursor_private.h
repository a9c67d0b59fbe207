/* SPDX-License-Identifier: MIT
 *
 * Private to cursors: checkpoints as cache entries.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_CURSOR_PRIVATE_H
#define DERIVFS_CURSOR_PRIVATE_H

#include "cache.h"
#include "checkpoints.h"
#include "helpers.h"
#include "run.h"

/* Are there some? Cheap. */
bool cursor_has_checkpoints(struct cache *cache, struct run *run);

/* Those of the run's very file, or NULL: there are none, or they cannot be had. */
struct checkpoints *cursor_load_checkpoints(struct cache *cache, struct run *run,
                                            struct budget *budget) NODISCARD;

/* Publishes such checkpoints, and the names of contents, while nothing else is to be done. */
struct keeper;

/* `cache`: NULL only where nothing is ever added; `helpers`: NULL: everything is done at once. Both
 * borrowed. NULL: out of memory. */
struct keeper *keeper_new(int rootfd, struct cache *cache, struct helper_pool *helpers) NODISCARD;
/* Waits until all is kept. The helpers may have stopped. NULL is allowed. */
void keeper_free(struct keeper *k);
/* References are taken; `content` is copied. Either may be NULL. `was_settled`: as in run_learn(). */
void keeper_add(struct keeper *k, struct run *run, struct checkpoints *learned,
                const struct content_id *content, bool was_settled);
/* Those of the run's very file that are on their way: a reference; or NULL. */
struct checkpoints *keeper_find(struct keeper *k, const struct run *run);

/* They do not fit the run. */
void cursor_drop_checkpoints(struct cache *cache, struct run *run);

#endif
