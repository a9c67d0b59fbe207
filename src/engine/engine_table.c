/* SPDX-License-Identifier: MIT
 *
 * A text that is being put together: of a table one row for each run, each read like a file of its
 * own; the page as a whole.
 *
 *     errand -- which runs are there? -- batch: the numbers of each -- text, done
 *
 * So the rows share work with whoever reads these images, are cached each by itself, and are told
 * by `status` like any other request. They are no one graph: its runs would have to be of one grid,
 * and one broken run would fail it. Costs a path and five numbers a run.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "table.h"
#include "wait_private.h"

struct row {
    struct dir_scan *scan; /* a reference: keeps `run` alive */
    const struct dir_run *run;
    char *dir;             /* of the mount: owned */
    struct table_row told; /* what comes of it */
    char *reason;          /* owned */
};

struct text_wait {
    struct wait wait; /* the first member */
    struct errand errand;
    struct engine *engine;
    char *dir, *name;
    struct table_name what; /* owner NULL: not known yet */
    bool is_page;
    struct row *rows; /* [nrows], complete before the first one starts */
    size_t nrows, next;
    bool incomplete; /* because the engine stops */
    struct batch *batch;
    char *text;
};

char *text_wait_take(struct wait *wait, size_t *nbytes)
{
    struct text_wait *w = (struct text_wait *)wait;
    char *text = w->text;

    *nbytes = strlen(text);
    w->text = NULL;
    return text;
}

/* ---- which runs --------------------------------------------------------------------------------
 */

/* Call `fn` for each directory that the table's rows are from. A directory that cannot be read
 * fails it: the table would not be complete. */
static int each_scan(struct engine *e, const char *dir, const struct table_name *what,
                     enum scan_freshness freshness, tree_runs_fn *fn, void *ctx, struct error *err)
{
    struct dir_scan *scan;
    int ret;

    if (what->recipe->wrong)
        return error_set(err, EDOM, "%s", what->recipe->wrong);
    if (what->is_group)
        return tree_each_dir(e, dir, freshness, fn, ctx, err);
    ret = tree_scan(e, dir, freshness, &scan, err);
    if (ret < 0)
        return ret;
    ret = fn(ctx, dir, scan, err);
    dir_scan_put(scan);
    return ret;
}

static bool is_cancelled(void *ctx)
{
    struct text_wait *w = ctx;

    return wait_is_cancelled(&w->wait) || errands_ending(w->engine->errands);
}

/* A tree_runs_fn. */
static int add_rows(void *ctx, const char *dir, struct dir_scan *scan, struct error *err)
{
    struct text_wait *w = ctx;
    struct row *grown = realloc(w->rows, (w->nrows + scan->nruns + 1) * sizeof *grown);

    if (!grown)
        return error_set(err, ENOMEM, "%s: out of memory", dir);
    w->rows = grown;
    for (size_t i = 0; i < scan->nruns; i++) {
        const struct run *run = scan->runs[i].run;

        w->rows[w->nrows] = (struct row){
            .scan = dir_scan_get(scan),
            .run = &scan->runs[i],
            .dir = strdup(dir),
            .told = {.path = run->path, .nvol = run->state == RUN_OK ? run->nifti.nvol : 0},
        };
        if (!w->rows[w->nrows++].dir)
            return error_set(err, ENOMEM, "%s: out of memory", dir);
    }
    return is_cancelled(w) ? error_set(err, ECANCELED, "%s: cancelled", w->name) : 0;
}

static int find_rows(struct text_wait *w, struct error *err)
{
    struct stop stop = {is_cancelled, w};
    int ret;

    if (w->is_page)
        return page_make(w->engine, &stop, &w->text, err);
    ret = tree_table_name(w->engine, w->dir, w->name, ".tsv", &w->what, err);
    return ret < 0 ? ret : each_scan(w->engine, w->dir, &w->what, SCAN_NOW, add_rows, w, err);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static int make_text(struct text_wait *w, struct error *err)
{
    struct table_row *told = calloc(w->nrows + 1, sizeof *told);

    for (size_t i = 0; i < w->nrows && told; i++)
        told[i] = w->rows[i].told;
    w->text = told ? table_text(w->what.recipe->name, told, w->nrows) : NULL;
    free(told);
    return w->text ? 0 : error_set(err, ENOMEM, "%s: out of memory", w->name);
}

/* Rows that fail are noted by their readers: this is about the table. */
static void finish(struct text_wait *w, const struct error *err)
{
    char *path = join_path(w->dir, w->name);

    if (path && !err)
        errlog_clear(w->engine->errors, path);
    else if (path && err->code != ECANCELED)
        engine_failed(w->engine, path, err);
    free(path);
    wait_end(&w->wait, err);
}

/* ---- rows, for the batch -----------------------------------------------------------------------
 */

static void fail_row(struct row *row, const struct error *err)
{
    row->reason = strdup(err->text);
    row->told.reason = row->reason ? row->reason : "out of memory";
}

static bool next_row(void *ctx, struct batch_file *out)
{
    struct text_wait *w = ctx;

    while (w->next < w->nrows) {
        struct row *row = &w->rows[w->next++];
        char *name = tree_numbers_name(row->run, w->what.recipe);
        struct error err = {.code = ENOMEM, .text = "out of memory"};
        int ret = -ENOMEM;

        *out = (struct batch_file){.of = row};
        if (name)
            /* looked at just now: for each row again, it would cost the square of their number */
            ret = reader_open_at(w->engine, row->dir, name, SCAN_RECENT, &out->reader, &err);
        free(name);
        if (ret == 0)
            return true;
        fail_row(row, &err);
    }
    return false;
}

static int take_numbers(void *ctx, const struct batch_file *file, const void *bytes, size_t nbytes,
                        struct error *err)
{
    struct row *row = file->of;

    (void)ctx;
    if (nbytes != sizeof row->told.numbers)
        return error_set(err, EIO, "%s: there are no numbers", row->told.path);
    memcpy(&row->told.numbers, bytes, nbytes);
    return 0;
}

static void row_ended(void *ctx, const struct batch_file *file, const struct error *err)
{
    struct text_wait *w = ctx;

    if (err && err->code == ECANCELED)
        w->incomplete = true;
    else if (err)
        fail_row(file->of, err);
}

static void rows_done(void *ctx)
{
    struct text_wait *w = ctx;
    struct error err;
    int ret = wait_is_cancelled(&w->wait) || w->incomplete ? error_set(&err, ECANCELED, "cancelled")
                                                           : make_text(w, &err);

    finish(w, ret < 0 ? &err : NULL);
}

/* ---- the kind of wait --------------------------------------------------------------------------
 */

static void run_errand(struct errand *errand)
{
    struct text_wait *w = (struct text_wait *)((char *)errand - offsetof(struct text_wait, errand));
    struct error err;
    int ret = is_cancelled(w) ? error_set(&err, ECANCELED, "cancelled") : find_rows(w, &err);

    if (ret < 0)
        finish(w, &err);
    else if (w->is_page)
        finish(w, NULL);
    else
        batch_run(w->batch);
}

static void start(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;

    w->errand.run = run_errand;
    errands_add(w->engine->errands, &w->errand);
}

static void cancel(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;
    struct error err;

    if (errands_remove(w->engine->errands, &w->errand)) {
        error_set(&err, ECANCELED, "cancelled");
        wait_end(wait, &err);
    } else {
        batch_cancel(w->batch);
    }
}

static void free_wait(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;

    for (size_t i = 0; i < w->nrows; i++) {
        dir_scan_put(w->rows[i].scan);
        free(w->rows[i].dir);
        free(w->rows[i].reason);
    }
    free(w->rows);
    recipe_table_put(w->what.owner);
    batch_free(w->batch);
    free(w->text);
    free(w->dir);
    free(w->name);
    free(w);
}

static const struct wait_kind text_wait_kind = {
    .start = start, .cancel = cancel, .free = free_wait};

static struct wait *text_wait_new(struct engine *e, const char *dir, const char *name, bool is_page)
{
    struct text_wait *w = calloc(1, sizeof *w);
    struct batch_user user = {
        .next = next_row, .take = take_numbers, .ended = row_ended, .done = rows_done, .ctx = w};

    if (!w)
        return NULL;
    wait_init(&w->wait, &text_wait_kind);
    w->engine = e;
    w->is_page = is_page;
    w->dir = strdup(dir);
    w->name = strdup(name);
    w->batch = batch_new(&user);
    if (w->dir && w->name && w->batch)
        return &w->wait;
    wait_put(&w->wait);
    return NULL;
}

struct wait *table_wait_new(struct engine *e, const char *dir, const char *name)
{
    return text_wait_new(e, dir, name, false);
}

struct wait *page_wait_new(struct engine *e)
{
    return text_wait_new(e, ".derivfs", "index.html", true);
}

/* ---- its rows, for others ----------------------------------------------------------------------
 */

struct rows {
    const struct table_name *what;
    engine_row_fn *fn;
    void *ctx;
};

/* A tree_runs_fn. */
static int tell_rows(void *ctx, const char *dir, struct dir_scan *scan, struct error *err)
{
    struct rows *rows = ctx;
    int ret = 0;

    for (size_t i = 0; i < scan->nruns && ret == 0; i++) {
        char *name = tree_numbers_name(&scan->runs[i], rows->what->recipe);
        char *path = name ? join_path(dir, name) : NULL;
        struct derived *d;

        ret = path ? derived_lookup(scan, rows->what->owner, name, &d, err)
                   : error_set(err, ENOMEM, "%s: out of memory", dir);
        free(name);
        if (ret == 0)
            ret = rows->fn(rows->ctx, d, path);
        else
            free(path);
    }
    return ret;
}

int engine_each_row(struct engine *e, const char *dir, const char *name, engine_row_fn *fn,
                    void *ctx, struct error *err)
{
    struct table_name what;
    struct rows rows = {.what = &what, .fn = fn, .ctx = ctx};
    int ret = tree_table_name(e, dir, name, ".tsv", &what, err);

    if (ret < 0)
        return ret;
    ret = each_scan(e, dir, &what, SCAN_RECENT, tell_rows, &rows, err);
    recipe_table_put(what.owner);
    return ret;
}
