/* SPDX-License-Identifier: MIT
 *
 * The engine's life: dataset, cache, recipes and workers are put together here and taken apart in
 * the reverse order.
 */
#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_private.h"
#include "monotonic.h"
#include "program.h"

/* Walks that are under way at a time: a slow one holds up no short one. */
enum { ERRANDS_NTHREADS = 2 };

void engine_log(struct engine *e, enum log_level level, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    if (!e->config.log)
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        e->config.log(e->config.log_ctx, level, text);
    free(text);
}

void engine_failed(struct engine *e, const char *path, const struct error *what)
{
    struct error told = *what;
    size_t len = strlen(path);

    /* a sentence about the file itself starts with its path, which stands before it anyhow */
    if (strncmp(told.text, path, len) == 0 && strncmp(told.text + len, ": ", 2) == 0)
        memmove(told.text, told.text + len + 2, strlen(told.text + len + 2) + 1);
    if (errlog_add(e->errors, path, &told))
        engine_log(e, LOG_LEVEL_ERROR, "%s: %s", path, told.text);
}

char *join_path(const char *dir, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
        return NULL;
    return path;
}

static void warn_of_cache(void *ctx, const struct error *what)
{
    struct engine *e = ctx;

    errlog_add(e->errors, ".derivfs/cache", what);
    engine_log(e, LOG_LEVEL_WARN, "%s", what->text);
}

static int copy_config(struct engine *e, const struct engine_config *config, struct error *err)
{
    e->config = *config;
    e->config.dataset = strdup(config->dataset);
    e->config.cache_dir = strdup(config->cache_dir);
    e->config.recipes = config->recipes ? strdup(config->recipes) : NULL;
    if (!e->config.dataset || !e->config.cache_dir || (config->recipes && !e->config.recipes))
        return error_set(err, ENOMEM, "%s: out of memory", config->dataset);
    return 0;
}

static int open_parts(struct engine *e, struct error *err)
{
    struct cache_config cache = {
        .dir = e->config.cache_dir,
        .max_nbytes = e->config.cache_nbytes,
        .warn = warn_of_cache,
        .warn_ctx = e,
    };
    int ret = dataset_open(e->config.dataset, monotonic_ns, &e->dataset, err);

    if (ret < 0)
        return ret;
    e->errors = errlog_new();
    e->budget = budget_new(e->config.memory_nbytes);
    e->sizes = sizes_new();
    if (!e->errors || !e->budget || !e->sizes)
        return error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    cache.budget = e->budget;
    ret = cache_open(&cache, &e->cache, err);
    if (ret == 0 && e->config.cache_nbytes > 0) {
        e->headers = headers_new(cache_dir(e->cache));
        dataset_keep_headers(e->dataset, e->headers);
    }
    if (ret == 0)
        ret = recipes_open(e, err);
    e->trace = trace_new(TRACE_NEVENTS, NULL);
    if (!e->trace)
        ret = error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    return ret;
}

int engine_open(const struct engine_config *config, struct engine **out, struct error *err)
{
    struct engine *e = calloc(1, sizeof *e);
    int ret;

    if (!e)
        return error_set(err, ENOMEM, "%s: out of memory", config->dataset);
    e->start_s = time(NULL);
    pthread_mutex_init(&e->requests.lock, NULL);
    ret = copy_config(e, config, err);
    if (ret == 0)
        ret = open_parts(e, err);
    if (ret < 0) {
        engine_close(e);
        return ret;
    }
    *out = e;
    return 0;
}

int engine_start(struct engine *e, struct error *err)
{
    struct sched_config config = {
        .nthreads = e->config.nthreads,
        .budget = e->budget,
        .run = compute_task,
        .ctx = &e->compute,
        .trace = e->trace,
    };
    int ret;

    program_dirs_sweep();
    ret = sched_new(&config, &e->sched, err);
    if (ret < 0)
        return ret;
    e->pool = cursor_pool_new(&(struct cursor_pool_config){.rootfd = dataset_rootfd(e->dataset),
                                                           .cache = e->cache,
                                                           .crew = sched_crew(e->sched),
                                                           .budget = e->budget});
    e->compute = (struct compute){.rootfd = dataset_rootfd(e->dataset),
                                  .cache = e->cache,
                                  .pool = e->pool,
                                  .dataset = dataset_path(e->dataset)};
    if (!e->pool)
        return error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    ret = errands_new(ERRANDS_NTHREADS, &e->errands, err);
    if (ret == 0)
        ret = fetcher_open(e, err);
    if (ret == 0)
        ret = joiner_open(e, err);
    return ret;
}

void engine_stop(struct engine *e)
{
    errands_free(e->errands); /* these submit jobs */
    e->errands = NULL;
    /* each calls back into the other: neither goes before both have come to rest */
    if (e->sched)
        sched_stop(e->sched);
    if (e->fetcher)
        sched_stop(e->fetcher);
    sched_free(e->joiner); /* calls back into neither */
    cursor_pool_free(e->pool);
    sched_free(e->sched);
    sched_free(e->fetcher);
    e->sched = e->fetcher = e->joiner = NULL;
    e->pool = NULL;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    engine_stop(e);
    trace_free(e->trace);
    recipes_close(e);
    if (e->cache)
        cache_close(e->cache);
    budget_free(e->budget);
    errlog_free(e->errors);
    sizes_free(e->sizes);
    if (e->dataset)
        dataset_close(e->dataset);
    headers_free(e->headers);
    pthread_mutex_destroy(&e->requests.lock);
    free((char *)e->config.dataset);
    free((char *)e->config.cache_dir);
    free((char *)e->config.recipes);
    free(e);
}

const struct engine_config *engine_config(const struct engine *e)
{
    return &e->config;
}

uint64_t engine_cache_evicted(const struct engine *e)
{
    return cache_evicted(e->cache);
}

uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d)
{
    uint64_t nbytes;

    if (!d->recipe->command || !d->key.hex[0] || d->format->kind == OUTPUT_DRAWING)
        return d->nbytes;
    if (sizes_find(e->sizes, &d->key, &nbytes) || cache_size_of(e->cache, &d->key, &nbytes))
        return nbytes;
    return 0;
}

static bool is_cached(void *ctx, const struct key *key)
{
    return cache_has(ctx, key);
}

struct graph *engine_cut(struct engine *e, struct graph *g)
{
    return graph_cut(g, is_cached, e->cache);
}
