/* SPDX-License-Identifier: MIT
 *
 * The rows of the page: the cached numbers and the state of each run. Computes nothing. Costs a
 * look at every directory and at two cache entries of each run with numbers; without numbers, a
 * look at one entry for each of the run's files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "report.h"

struct page {
    struct engine *engine;
    const struct recipe *recipe;
    const struct cancel_token *cancel;
    struct run_list runs;
    struct table_row *rows; /* [nrows] of the first runs, `reason` owned */
    const char **states;    /* [nrows] */
    size_t nrows;
};

/* The run's file in this format. */
static int find(const struct page *p, const struct run_place *at,
                const struct output_format *format, struct derived **out, char **path,
                struct error *err)
{
    char *name = derived_run_name(at, p->recipe, format->extension);
    struct dir dir = run_place_dir(at);
    int ret;

    *path = name ? join_path(at->dir, name) : NULL;
    ret = *path ? tree_find_derived(&p->engine->tree, &dir, name, SCAN_RECENT, out, err)
                : error_set(err, ENOMEM, "%s: out of memory", at->dir);
    free(name);
    if (ret < 0)
        free(*path);
    return ret;
}

/* A reference to the result, if it is in the cache. */
static struct blob *cached(const struct store *s, const struct derived *d)
{
    struct blob *b;
    struct key key;

    if (store_key(s, d, 0, &key, NULL) < 0 || cache_lookup(s->cache, &key, &b) < 0)
        return NULL;
    return b;
}

/* Find the status of one of the run's files; with `result`, also a reference to its result if that
 * is cached. */
static int look_at(const struct page *p, const struct run_place *at,
                   const struct output_format *format, struct derived_status *status,
                   struct blob **result, struct error *err)
{
    struct derived *d;
    char *path;
    int ret = find(p, at, format, &d, &path, err);

    if (ret < 0)
        return ret;
    engine_derived_status(p->engine, d, path, status);
    if (result && status->state == STATE_CACHED)
        *result = cached(&p->engine->store, d);
    derived_put(d);
    free(path);
    return 0;
}

/* The state of the run is that of the first of its files that is not virtual. The numbers go first:
 * with them the row is complete. */
static int describe(const struct page *p, const struct run_place *at, struct table_row *row,
                    const char **state, struct error *err)
{
    struct derived_status status = {.state = STATE_VIRTUAL};
    struct blob *b = NULL;
    int ret;

    if (at->reason) {
        *row = (struct table_row){.path = at->path, .reason = strdup(at->reason), .omitted = true};
        *state = "omitted";
        return row->reason ? 0 : error_set(err, ENOMEM, "%s: out of memory", at->path);
    }
    ret = look_at(p, at, &output_numbers, &status, &b, err);

    for (const struct output_format *const *f = output_formats();
         *f && ret == 0 && status.state == STATE_VIRTUAL; f++)
        if (output_is_computed(*f) && *f != &output_numbers)
            ret = look_at(p, at, *f, &status, NULL, err);
    if (ret < 0)
        return ret;
    *row = (struct table_row){.path = at->path, .nvol = at->nvol};
    *state = derived_state_name(status.state);
    row->has_numbers = b && blob_nbytes(b) == sizeof row->numbers &&
                       cache_read_whole(p->engine->store.cache, b, &row->numbers, NULL) == 0;
    blob_put(b);
    if (status.state != STATE_FAILED)
        return 0;
    row->reason = strdup(status.error.text);
    return row->reason ? 0 : error_set(err, ENOMEM, "%s: out of memory", at->path);
}

static int add_rows(struct page *p, struct error *err)
{
    int ret = 0;

    p->rows = calloc(p->runs.n + 1, sizeof *p->rows);
    p->states = calloc(p->runs.n + 1, sizeof *p->states);
    if (!p->rows || !p->states)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < p->runs.n && ret == 0; i++) {
        struct run_place at = p->runs.at[i];

        ret = cancel_check(p->cancel, err);
        if (ret == 0)
            ret = describe(p, &at, &p->rows[p->nrows], &p->states[p->nrows], err);
        if (ret == 0) {
            p->runs.at[i] = p->runs.at[p->nrows];
            p->runs.at[p->nrows++] = at;
        } else if (ret == -ENOENT) { /* removed meanwhile */
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
    struct error cancelled;

    if (cancel_check(p->cancel, &cancelled) < 0) /* end soon */
        return NULL;
    if (p->runs.at[i].reason || find(p, &p->runs.at[i], &output_png, &d, &path, NULL) < 0)
        return NULL;
    b = d->error.code == 0 ? cached(&p->engine->store, d) : NULL;
    derived_put(d);
    free(path);
    return b;
}

int page_make(struct engine *e, const struct cancel_token *cancel, char **out, struct error *err)
{
    struct recipe_table *table = recipes_get(e->tree.recipes);
    struct page p = {.engine = e, .cancel = cancel, .recipe = table->recipes};
    int ret = engine_runs(e, &(struct dir){.path = tree_derived_root(&e->tree)}, true, SCAN_RECENT,
                          cancel, &p.runs, err);

    while (!p.recipe->page) /* one of the built-in recipes */
        p.recipe++;
    if (ret == 0)
        ret = add_rows(&p, err);
    if (ret == 0)
        ret = report_html(&(struct report){.dataset = dataset_path(e->tree.dataset),
                                           .measure = p.recipe->page,
                                           .recipe = p.recipe->name,
                                           .rows = p.rows,
                                           .states = p.states,
                                           .nrows = p.nrows},
                          picture_of, &p, out, err);
    for (size_t i = 0; i < p.nrows; i++)
        free((char *)p.rows[i].reason);
    free(p.rows);
    free(p.states);
    run_list_clear(&p.runs);
    recipe_table_put(table);
    return ret;
}
