/* SPDX-License-Identifier: MIT
 *
 * Keys and sizes of results.
 */
#include "engine_private.h"

int store_key(const struct store *s, const struct derived *d, size_t part, struct key *out,
              struct error *err)
{
    struct graph *g;
    int ret = derived_plan(d, derived_part(d, part), s->memory_nbytes, &g, err);

    if (ret < 0)
        return ret;
    *out = graph_root(g)->key;
    graph_put(g);
    return 0;
}

static bool is_cached(void *ctx, const struct key *key)
{
    return cache_has(ctx, key);
}

struct graph *store_cut(const struct store *s, struct graph *g)
{
    return graph_cut(g, is_cached, s->cache);
}

uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d)
{
    const struct store *s = &e->store;
    uint64_t nbytes;

    if (!d->recipe->command || !d->key.hex[0] || d->format->kind == OUTPUT_DRAWING)
        return d->nbytes;
    if (sizes_find(s->sizes, &d->key, &nbytes) || cache_size_of(s->cache, &d->key, &nbytes))
        return nbytes;
    return 0;
}
