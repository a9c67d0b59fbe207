/* SPDX-License-Identifier: MIT
 *
 * What the page about the dataset says of each run: what is in the cache, and the states. Computes
 * nothing; costs a look at every directory, and at two cache entries of a run that has its numbers,
 * at one for each of its files where nothing is known of any.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "report.h"

#define RECIPE "tsnr"

/* A run's files, of which the first that is not virtual tells how far the run is. The numbers come
 * first: with them nothing is left to be known. */
static const char *const files[] = {
    RECIPE OUTPUT_NUMBERS,
    RECIPE ".nii",
    RECIPE ".nii.gz",
    RECIPE ".png",
};

struct page {
    struct engine *engine;
    const struct stop *stop;
    struct run_list runs;
    struct report_row *rows; /* [nrows] of the first runs, `reason` owned */
    size_t nrows;
};

/* The run's file with this plain name. */
static int find(struct engine *e, const struct run_place *at, const char *plain,
                struct derived **out, char **path, struct error *err)
{
    char *name = derived_run_name(at->run, plain, strlen(RECIPE));
    int ret;

    *path = name ? join_path(at->dir, name) : NULL;
    ret = *path ? tree_find_derived(e, at->dir, name, SCAN_RECENT, out, err)
                : error_set(err, ENOMEM, "%s: out of memory", at->dir);
    free(name);
    if (ret < 0)
        free(*path);
    return ret;
}

/* A reference to the result, if it is in the cache. */
static struct blob *cached(struct engine *e, const struct derived *d)
{
    struct blob *b = NULL;
    struct graph *g;

    if (derived_graph(d, 0, e->config.memory_nbytes, &g, NULL) < 0)
        return NULL;
    if (cache_lookup(e->cache, &graph_root(g)->key, &b) < 0)
        b = NULL;
    graph_put(g);
    return b;
}

/* What is known of one of the run's files; with `result` also a reference to what is in the cache
 * of it. */
static int look_at(struct engine *e, const struct run_place *at, const char *plain,
                   struct derived_status *status, struct blob **result, struct error *err)
{
    struct derived *d;
    char *path;
    int ret = find(e, at, plain, &d, &path, err);

    if (ret < 0)
        return ret;
    engine_derived_status(e, d, path, status);
    if (result && status->state == STATE_CACHED)
        *result = cached(e, d);
    derived_put(d);
    free(path);
    return 0;
}

static int describe(struct engine *e, const struct run_place *at, struct report_row *row,
                    struct error *err)
{
    const struct run *run = at->run->run;
    struct derived_status status = {.state = STATE_VIRTUAL};
    struct blob *b = NULL;

    for (size_t i = 0; i < sizeof files / sizeof *files && status.state == STATE_VIRTUAL; i++) {
        int ret = look_at(e, at, files[i], &status, i == 0 ? &b : NULL, err);

        if (ret < 0)
            return ret;
    }
    *row = (struct report_row){
        .path = run->path,
        .nvol = run->state == RUN_OK ? run->nifti.nvol : 0,
        .state = derived_state_name(status.state),
    };
    row->has_numbers = b && blob_read(b, 0, &row->numbers, sizeof row->numbers, NULL) == 0;
    blob_put(b);
    if (status.state != STATE_FAILED)
        return 0;
    row->reason = strdup(status.error.text);
    return row->reason ? 0 : error_set(err, ENOMEM, "%s: out of memory", run->path);
}

static int add_rows(struct page *p, struct error *err)
{
    int ret = 0;

    p->rows = calloc(p->runs.n + 1, sizeof *p->rows);
    if (!p->rows)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < p->runs.n && ret == 0; i++) {
        struct run_place at = p->runs.at[i];

        ret = stop_check(p->stop, err);
        if (ret == 0)
            ret = describe(p->engine, &at, &p->rows[p->nrows], err);
        if (ret == 0) {
            p->runs.at[i] = p->runs.at[p->nrows];
            p->runs.at[p->nrows++] = at;
        } else if (ret == -ENOENT) { /* gone meanwhile */
            ret = 0;
        }
    }
    return ret;
}

/* A report_picture_fn. */
static struct blob *picture_of(void *ctx, size_t i)
{
    struct page *p = ctx;
    struct derived *d;
    struct blob *b;
    char *path;
    struct error stopped;

    if (stop_check(p->stop, &stopped) < 0) /* the page is for nobody: let it end soon */
        return NULL;
    if (find(p->engine, &p->runs.at[i], RECIPE ".png", &d, &path, NULL) < 0)
        return NULL;
    b = d->error.code == 0 ? cached(p->engine, d) : NULL;
    derived_put(d);
    free(path);
    return b;
}

int page_make(struct engine *e, const struct stop *stop, char **out, struct error *err)
{
    struct page p = {.engine = e, .stop = stop};
    int ret = tree_runs(e, tree_derived_root(e), true, SCAN_RECENT, stop, &p.runs, err);

    if (ret == 0)
        ret = add_rows(&p, err);
    if (ret == 0)
        ret = report_html(dataset_path(e->dataset), p.rows, p.nrows, picture_of, &p, out, err);
    for (size_t i = 0; i < p.nrows; i++)
        free((char *)p.rows[i].reason);
    free(p.rows);
    run_list_clear(&p.runs);
    return ret;
}
