/* SPDX-License-Identifier: MIT
 *
 * annex=get: a read first fetches the content that is absent.
 *
 *     a source         engine_open_source() fails with ENODATA -> fetch_wait -> opened again
 *     a derived file   reader.c -> fetch_of_derived() -> looked up again, and planned
 *
 * The fetcher is a second scheduler (fetch.h). Nothing here waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "fetch.h"
#include "graph_call.h"
#include "grow.h"
#include "wait_private.h"

int fetcher_open(struct workers *w, struct error *err)
{
    struct sched_config config = {
        .nthreads = FETCH_NTHREADS,
        .budget = w->budget,
        .run = fetch_task,
        .ctx = &w->compute.rootfd,
    };

    return sched_new(&config, &w->fetcher, err);
}

/* The absent content of some files. */
struct lacking {
    struct annex_content *list; /* [n] */
    size_t n;
};

static int add_lacking(const struct tree *t, struct lacking *l, const char *path, struct error *err)
{
    struct annex_content content;
    int ret = annex_find_absent(dataset_rootfd(t->dataset), path, &content, err);

    if (ret < 0)
        return ret == -ENOENT ? 0 : ret;
    if (GROW(l->list, l->n) < 0) {
        annex_content_clear(&content);
        return error_set(err, ENOMEM, "%s: out of memory", path);
    }
    l->list[l->n++] = content;
    return 0;
}

/* Plan to fetch the list, which is used up, unless `ret` reports that it is incomplete. */
static int plan_lacking(struct lacking *l, int ret, struct graph **out, struct error *err)
{
    if (ret == 0 && l->n == 0)
        ret = error_set(err, ENOENT, "all content is here");
    else if (ret == 0)
        ret = plan_fetch(l->list, l->n, out, err);
    else
        for (size_t i = 0; i < l->n; i++)
            annex_content_clear(&l->list[i]);
    free(l->list);
    return ret;
}

/* Add the files of the dataset that the command names. */
static int add_command_files(const struct tree *t, const struct derived *d, struct lacking *l,
                             struct error *err)
{
    const struct command *c = d->recipe->command;
    int ret = 0;

    for (size_t i = 0; c && i < c->nfiles && ret == 0; i++) {
        char *path = join_path(d->scan->dir.path, c->files[i].name);

        ret = path ? add_lacking(t, l, path, err)
                   : error_set(err, ENOMEM, "%s: out of memory", d->name);
        free(path);
    }
    return ret;
}

int fetch_of_derived(const struct tree *t, const struct derived *d, struct graph **out,
                     struct error *err)
{
    struct lacking l = {.list = NULL};
    int ret = add_command_files(t, d, &l, err);

    for (size_t i = 0; i < d->nruns && ret == 0; i++)
        if (d->runs[i]->state == RUN_ABSENT)
            ret = add_lacking(t, &l, d->runs[i]->path, err);
    for (size_t i = 0; derived_input_file(d, i) && ret == 0; i++)
        if (derived_input_file(d, i)->state == RUN_ABSENT)
            ret = add_lacking(t, &l, derived_input_file(d, i)->path, err);
    return plan_lacking(&l, ret, out, err);
}

int fetch_of_graph(const struct tree *t, const struct store *s, const struct graph *g,
                   struct graph **out, struct error *err)
{
    struct lacking l = {.list = NULL};
    int ret = 0;

    for (size_t r = 0; r < g->nsources && ret == 0; r++) {
        if (g->runs[r]->absent && store_reads(s, g, g->runs[r]))
            ret = add_lacking(t, &l, g->runs[r]->path, err);
    }
    return plan_lacking(&l, ret, out, err);
}

bool fetch_progress(const struct workers *w, const struct tree *t, const struct derived *d,
                    double *percent)
{
    uint64_t done, work;
    struct graph *g;
    bool under_way;

    if (!w->fetcher || fetch_of_derived(t, d, &g, NULL) < 0)
        return false;
    under_way = sched_progress(w->fetcher, &graph_root(g)->key, &done, &work);
    graph_put(g);
    *percent = under_way && work > 0 ? 100.0 * (double)done / (double)work : 0;
    return under_way;
}

/* ---- sources ---- */

struct fetch_wait {
    struct wait wait; /* the first member */
    struct engine *engine;
    char *path;
};

static void finish(struct fetch_wait *w, const struct error *err)
{
    engine_note(w->engine, w->path, err);
    wait_end(&w->wait, err);
}

static void job_done(void *arg, struct blob *result, const struct error *err)
{
    finish(arg, result ? NULL : err);
}

static int submit(struct fetch_wait *w, struct error *err)
{
    struct lacking l = {.list = NULL};
    struct graph *g;
    int ret = add_lacking(&w->engine->tree, &l, w->path, err);

    ret = plan_lacking(&l, ret, &g, err);
    if (ret < 0)
        return ret;
    ret = wait_submit(&w->wait, w->engine->workers.fetcher, g, job_done, err);
    graph_put(g);
    return ret;
}

static void start(struct wait *wait)
{
    struct fetch_wait *w = (struct fetch_wait *)wait;
    struct error err;

    if (submit(w, &err) < 0)
        finish(w, err.code == ENOENT ? NULL : &err); /* fetched meanwhile */
}

static void free_wait(struct wait *wait)
{
    struct fetch_wait *w = (struct fetch_wait *)wait;

    free(w->path);
    free(w);
}

static const struct wait_kind fetch_wait_kind = {.start = start, .free = free_wait};

struct wait *fetch_wait_new(struct engine *e, const char *path)
{
    struct fetch_wait *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    wait_init(&w->wait, &fetch_wait_kind);
    w->engine = e;
    w->path = strdup(path);
    if (w->path)
        return &w->wait;
    wait_put(&w->wait);
    return NULL;
}
