/* SPDX-License-Identifier: MIT
 *
 * Results in the cache, and their keys.
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
    struct sizes *sizes;  /* of all results of commands, cached or not */
    size_t memory_nbytes; /* limit for a task; plans depend on it */
};

/* The key of a part's result: plans the part. */
int store_key(const struct store *s, const struct derived *d, size_t part, struct key *out,
              struct error *err) NODISCARD;
/* Does the task read the run? */
bool task_reads(const struct task *t, const struct run *run);
/* Will a task of the graph read the run? (A cached result is not computed again.) */
bool store_reads(const struct store *s, const struct graph *g, const struct run *run);
/* Is the size of the file known? Of a command's file once it was computed. */
bool store_knows_nbytes(const struct store *s, const struct derived *d, uint64_t *nbytes);
/* graph_cut() by the contents of the cache. */
struct graph *store_cut(const struct store *s, struct graph *g) NODISCARD;

/* The whole file of a series, if it is in the cache as one entry: a reference, or NULL. */
struct blob *joined_lookup(const struct store *s, const struct derived *d);
/* Is it? Then *key is that of the entry. */
bool joined_is_cached(const struct store *s, const struct derived *d, struct key *key);

#endif
