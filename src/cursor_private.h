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
#include "run.h"

/* Those of the run's very file, or NULL: there are none, or they cannot be had. */
struct checkpoints *cursor_load_checkpoints(struct cache *cache, const struct run *run,
                                            struct budget *budget) NODISCARD;

/* Keep them for the next one, if the cache keeps anything and the file's identity is sure to tell
 * when it changes; that it cannot is no failure. */
void cursor_keep_checkpoints(struct cache *cache, const struct run *run,
                             const struct checkpoints *learned);

/* They do not fit the run. */
void cursor_drop_checkpoints(struct cache *cache, const struct run *run);

#endif
