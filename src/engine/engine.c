/* SPDX-License-Identifier: MIT
 *
 * The engine's life: dataset, cache, recipes and workers are opened here, and closed in the
 * reverse order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budget.h"
#include "cluster.h"
#include "engine_private.h"
#include "filesystem.h"
#include "monotonic.h"
#include "program.h"
#include "rights.h"

/* Concurrent walks: a slow one does not delay a short one. */
enum { WORK_QUEUE_NTHREADS = 2 };

static void warn_of_cache(void *ctx, const struct error *what)
{
    errlog_add(ctx, ".derivfs/cache", what);
    errlog_write(ctx, LOG_LEVEL_WARN, "%s", what->text);
}

static int copy_config(struct engine *e, const struct engine_config *config, struct error *err)
{
    e->config = *config;
    e->config.dataset = strdup(config->dataset);
    e->config.cache_dir = strdup(config->cache_dir);
    e->config.cache_at = strdup(config->cache_at ? config->cache_at : config->cache_dir);
    e->config.recipes = config->recipes ? strdup(config->recipes) : NULL;
    e->config.recipes_at = config->recipes_at ? strdup(config->recipes_at)
                           : config->recipes  ? strdup(config->recipes)
                                              : NULL;
    e->config.trust_ids = config->trust_ids ? strdup(config->trust_ids) : NULL;
    e->config.engine = config->engine ? strdup(config->engine) : NULL;
    e->config.engines = config->engines ? strdup(config->engines) : NULL;
    e->config.worker_settings = config->worker_settings ? strdup(config->worker_settings) : NULL;
    e->config.session = NULL; /* joined by engine_open() */
    if (!e->config.dataset || !e->config.cache_dir || !e->config.cache_at ||
        (config->recipes && (!e->config.recipes || !e->config.recipes_at)) ||
        (config->trust_ids && !e->config.trust_ids) || (config->engine && !e->config.engine) ||
        (config->engines && !e->config.engines) ||
        (config->worker_settings && !e->config.worker_settings))
        return error_set(err, ENOMEM, "%s: out of memory", config->dataset);
    return 0;
}

static int open_store(struct engine *e, struct error *err)
{
    struct cache_config cache = {
        .dir = e->config.cache_at,
        .max_nbytes = e->config.cache_nbytes,
        .from = e->config.cache_from,
        .nfrom = e->config.ncache_from,
        .owners = e->config.cache_owners,
        .nowners = e->config.ncache_owners,
        .budget = e->workers.budget,
        .warn = warn_of_cache,
        .warn_ctx = e->errors,
    };

    e->store.memory_nbytes = e->config.memory_nbytes;
    e->store.sizes = sizes_new();
    if (!e->store.sizes)
        return error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    return cache_open(&cache, &e->store.cache, err);
}

static ssize_t read_from(void *ctx, size_t which, const char *dir, const char *name, void *bytes,
                         size_t cap)
{
    return cache_read_from(ctx, which, dir, name, bytes, cap);
}

/* What is known of runs, here and in the caches that are only read. Without memory: nothing. */
static void open_facts(struct engine *e)
{
    struct cache *cache = e->store.cache;
    const struct names_from from = {.n = e->config.ncache_from, .ctx = cache, .read = read_from};
    bool keeps = e->config.cache_nbytes > 0;

    if (keeps || from.n > 0)
        e->names = names_new(keeps ? cache_dir(cache) : NULL, &from);
    dataset_keep(e->tree.dataset, keeps ? cache_dir(cache) : NULL, e->names);
}

static int open_parts(struct engine *e, struct error *err)
{
    int ret = dataset_open(e->config.dataset, monotonic_ns, &e->tree.dataset, err);

    if (ret < 0)
        return ret;
    if (e->config.join_all)
        dataset_join_all(e->tree.dataset);
    e->errors = errlog_new(e->config.log, e->config.log_ctx);
    e->workers.budget = budget_new(e->config.memory_nbytes);
    e->workers.trace = trace_new(TRACE_NEVENTS, NULL);
    if (!e->errors || !e->workers.budget || !e->workers.trace)
        return error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    e->tree.errors = e->errors;
    e->tree.layout = e->config.layout;
    e->tree.annex_get = e->config.annex_get;
    ret = open_store(e, err);
    if (ret < 0)
        return ret;
    open_facts(e);
    return recipes_open(e->config.recipes_at, e->config.recipes_optional, e->errors,
                        &e->tree.recipes, err);
}

int engine_open(const struct engine_config *config, struct engine **out, struct error *err)
{
    struct engine *e = calloc(1, sizeof *e);
    int ret;

    if (!e)
        return error_set(err, ENOMEM, "%s: out of memory", config->dataset);
    e->start_s = time(NULL);
    rights_use_acls(config->shared);
    pthread_mutex_init(&e->requests.lock, NULL);
    pthread_mutex_init(&e->count.lock, NULL);
    ret = copy_config(e, config, err);
    if (ret == 0)
        ret = filesystem_trust(config->trust_ids, err);
    if (ret == 0 && config->session)
        filesystem_join_session(config->session);
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
    struct workers *w = &e->workers;
    struct sched_config config = {
        .nthreads = e->config.nthreads,
        .budget = w->budget,
        .run = compute_task,
        .ctx = &w->compute,
        .trace = w->trace,
    };
    int rootfd = dataset_rootfd(e->tree.dataset), ret;

    if (w->sched)
        return 0;
    program_dirs_sweep();
    ret = sched_new(&config, &w->sched, err);
    if (ret < 0)
        return ret;
    w->pool = cursor_pool_new(&(struct cursor_pool_config){.rootfd = rootfd,
                                                           .cache = e->store.cache,
                                                           .helpers = sched_helpers(w->sched),
                                                           .budget = w->budget});
    w->compute = (struct compute){.rootfd = rootfd,
                                  .cache = e->store.cache,
                                  .pool = w->pool,
                                  .helpers = sched_helpers(w->sched),
                                  .dataset = dataset_path(e->tree.dataset)};
    w->work_queue = work_queue_new(WORK_QUEUE_NTHREADS);
    if (!w->pool || !w->work_queue)
        return error_set(err, ENOMEM, "%s: out of memory", e->config.dataset);
    if (e->config.annex_get)
        ret = fetcher_open(w, err);
    if (ret == 0 && e->config.engine)
        ret = elsewhere_open(e, err);
    if (ret == 0)
        ret = joiner_open(w, e->store.cache, err);
    return ret;
}

void engine_stop(struct engine *e)
{
    struct workers *w = &e->workers;

    work_queue_free(w->work_queue); /* its items submit jobs */
    w->work_queue = NULL;
    /* each calls back into the other: stop both before either is freed */
    if (w->sched)
        sched_stop(w->sched);
    if (w->fetcher)
        sched_stop(w->fetcher);
    if (w->elsewhere)
        sched_stop(w->elsewhere);
    sched_free(w->joiner); /* calls back into none of them */
    cursor_pool_free(w->pool);
    sched_free(w->sched);
    sched_free(w->fetcher);
    sched_free(w->elsewhere);
    cluster_free(w->cluster);
    w->sched = w->fetcher = w->elsewhere = w->joiner = NULL;
    w->cluster = NULL;
    w->pool = NULL;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    engine_stop(e);
    trace_free(e->workers.trace);
    recipes_close(e->tree.recipes);
    if (e->store.cache)
        cache_close(e->store.cache);
    budget_free(e->workers.budget);
    errlog_free(e->errors);
    sizes_free(e->store.sizes);
    if (e->tree.dataset)
        dataset_close(e->tree.dataset);
    names_free(e->names);
    pthread_mutex_destroy(&e->requests.lock);
    pthread_mutex_destroy(&e->count.lock);
    free((char *)e->config.dataset);
    free((char *)e->config.cache_dir);
    free((char *)e->config.cache_at);
    free((char *)e->config.recipes);
    free((char *)e->config.recipes_at);
    free((char *)e->config.trust_ids);
    free((char *)e->config.engine);
    free((char *)e->config.engines);
    free((char *)e->config.worker_settings);
    free(e);
}

void engine_note(struct engine *e, const char *path, const struct error *err)
{
    if (!err)
        errlog_clear(e->errors, path);
    else if (err->code != ECANCELED)
        errlog_failed(e->errors, path, err);
}

int engine_statvfs(struct engine *e, struct statvfs *out)
{
    return fstatvfs(dataset_rootfd(e->tree.dataset), out) < 0 ? -errno : 0;
}

/* Answers of a working mount: there is no such name, or the kernel or the caller asks again. */
static bool is_answer(int code)
{
    static const int answers[] = {ENOENT, ENOTDIR, ENAMETOOLONG, ESTALE, ECANCELED, EINTR};

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (code == answers[i])
            return true;
    return false;
}

void engine_note_access(struct engine *e, enum errlog_kind kind, const char *path,
                        const struct error *err)
{
    if (err && is_answer(err->code))
        return;
    if (err)
        errlog_kind_failed(e->errors, kind, *path ? path : ".", err);
    else
        errlog_kind_clear(e->errors, kind, *path ? path : ".");
}

bool engine_access_failed(struct engine *e)
{
    return errlog_has_kinds(e->errors);
}

const struct engine_config *engine_config(const struct engine *e)
{
    return &e->config;
}

uint64_t engine_cache_evicted(const struct engine *e)
{
    return cache_evicted(e->store.cache);
}

int engine_cache_try(struct engine *e, struct error *err)
{
    return cache_try(e->store.cache, err);
}

/* ---- maintenance of a cache directory ---- */

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
