/* SPDX-License-Identifier: MIT
 *
 * Why results are not in the cache. Thread rule: any thread.
 */
#ifndef DERIVFS_ENGINE_MISSING_H
#define DERIVFS_ENGINE_MISSING_H

#include "store.h"

/* For each task whose result is not in the cache set out[i] to the reason, malloced; others stay as they
 * are. `rootfd` is the dataset. -ENOMEM: some are not set. */
int missing_reasons(const struct store *s, int rootfd, const struct graph *g, char **out) NODISCARD;

#endif
