/* SPDX-License-Identifier: MIT
 *
 * Results: what is in the cache, and under which keys.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_STORE_H
#define DERIVFS_STORE_H

#include "cache.h"
#include "derived.h"
#include "sizes.h"

struct store {
    struct cache *cache;
    struct sizes *sizes;  /* of what commands have written: also of what the cache has not kept */
    size_t memory_nbytes; /* what a task may use, which plans depend on */
};

/* The key of the result of a part: plans it. */
int store_key(const struct store *s, const struct derived *d, size_t part, struct key *out,
              struct error *err) NODISCARD;
/* graph_cut() by what is in the cache. */
struct graph *store_cut(const struct store *s, struct graph *g) NODISCARD;

/* The whole file of a series, if it is in the cache in one piece: a reference, or NULL. */
struct blob *joined_lookup(const struct store *s, const struct derived *d);
/* Is it? Then *key names the entry. */
bool joined_is_cached(const struct store *s, const struct derived *d, struct key *key);

#endif
