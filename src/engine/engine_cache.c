/* SPDX-License-Identifier: MIT
 *
 * Maintenance of a cache directory: open the cache, do one thing, close it.
 */
#include <errno.h>

#include "budget.h"
#include "cache.h"
#include "engine.h"

static void warn(void *ctx, const struct error *what)
{
    const struct engine_config *config = ctx;

    if (config->log)
        config->log(config->log_ctx, LOG_LEVEL_WARN, what->text);
}

static int look_after(struct cache *c, const struct engine_config *config, enum cache_care care,
                      struct cache_report *out, struct error *err)
{
    struct cache_stats s;
    int ret;

    switch (care) {
    case CACHE_VERIFY:
        return cache_verify(c, &out->entries, &out->bad, warn, (void *)config, err);
    case CACHE_PRUNE:
        return cache_prune(c, &out->freed_nbytes, err);
    case CACHE_CLEAR:
        return cache_clear(c, &out->freed_nbytes, err);
    case CACHE_COUNT:
        break;
    }
    ret = cache_stats(c, &s, err);
    if (ret == 0) {
        out->entries = s.entries;
        out->nbytes = s.nbytes;
    }
    return ret;
}

int engine_cache_care(const struct engine_config *config, enum cache_care care,
                      struct cache_report *out, struct error *err)
{
    struct cache_config cache = {
        .dir = config->cache_dir,
        .max_nbytes = config->cache_nbytes,
        .budget = budget_new(config->memory_nbytes),
        .warn = warn,
        .warn_ctx = (void *)config,
    };
    struct cache *c;
    int ret = cache.budget ? cache_open(&cache, &c, err) : error_set(err, ENOMEM, "out of memory");

    *out = (struct cache_report){.entries = 0};
    if (ret == 0) {
        ret = look_after(c, config, care, out, err);
        cache_close(c);
    }
    budget_free(cache.budget);
    return ret;
}
