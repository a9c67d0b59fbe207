/* SPDX-License-Identifier: MIT
 *
 * engine=NAME: what takes long is computed by other nodes.
 *
 *     reader_wait.c -> elsewhere_of_graph() -> the waiting scheduler -> planned again: it is cached
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "elsewhere.h"
#include "engine_private.h"
#include "filesystem.h"
#include "passes.h"
#include "reader_private.h"

/* Threads of it only wait, so they share no memory with those that compute. */
static int open_waiting(struct workers *w, struct error *err)
{
    struct sched_config config = {
        .nthreads = ELSEWHERE_NTHREADS,
        .budget = w->budget,
        .run = elsewhere_task,
        .ctx = w->cluster,
        .trace = w->trace,
    };

    return sched_new(&config, &w->elsewhere, err);
}

/* Workers find the cache and jobs by path, on their nodes. */
static int check_cache(const struct engine_config *c, struct error *err)
{
    if (c->cache_nbytes == 0)
        return error_set(err, EINVAL,
                         "engine=%s: needs a cache that all nodes share (cache_size=0)", c->engine);
    if (strcmp(c->cache_at, c->cache_dir) != 0)
        return error_set(err, EINVAL,
                         "engine=%s: cache_dir=%s lies below the mount point, where other nodes do "
                         "not find it (choose another)",
                         c->engine, c->cache_dir);
    return 0;
}

int elsewhere_open(struct engine *e, struct error *err)
{
    const struct engine_config *own = &e->config;
    struct cluster_config config = {
        .engine = own->engine,
        .engines = own->engines,
        .worker = own->worker,
        .recipes = own->recipes_at,
        .nthreads = own->nthreads,
        .memory_nbytes = own->memory_nbytes,
        .above_s = own->submit_above_s,
        .njobs_max = own->submit_jobs,
    };
    char *jobs = join_path(own->cache_dir, "jobs"), *settings = NULL;
    int ret = check_cache(own, err);

    if (ret == 0 && (!jobs || asprintf(&settings, "%ssession=%s\n", own->worker_settings,
                                       filesystem_session()) < 0))
        ret = error_set(err, ENOMEM, "%s: out of memory", own->dataset);
    config.jobs = jobs;
    config.settings = settings;
    if (ret == 0)
        ret = cluster_new(&config, &e->workers.cluster, err);
    free(jobs);
    free(settings);
    return ret < 0 ? ret : open_waiting(&e->workers, err);
}

int elsewhere_of_graph(struct engine *e, const char *dir, const char *name, uint64_t off,
                       bool was_sent, struct graph *g, struct graph **out, struct error *err)
{
    struct graph *left;
    uint64_t work;

    if (!e->workers.cluster || g->is_slices || strchr(dir, '\n') || strchr(name, '\n'))
        return -ENOENT;
    left = store_cut(&e->store, g);
    work = passes_read_nbytes(left);
    graph_put(left);
    if (!cluster_wants(e->workers.cluster, work))
        return -ENOENT;
    if (was_sent)
        return error_set(err, EIO,
                         "%s: was computed on another node, but not for this key: that node sees "
                         "another file or recipe, or has another version of derivfs",
                         name);
    return plan_elsewhere(&graph_root(g)->key, dir, name, off, work, out, err);
}
