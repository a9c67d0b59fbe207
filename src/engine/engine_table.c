/* SPDX-License-Identifier: MIT
 *
 * Waits for texts about many runs: a table, whose rows are each read like a file, and the page.
 *
 *     item -- find the runs -- batch: read the numbers of each -- text, done
 *
 * So rows share work with other readers of these images, are cached separately, and appear in
 * `status` like other requests. They are not one graph: that would need runs of one grid, and a
 * broken run would fail it. Memory: for each run its numbers and four short texts, outside the
 * budget.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "reader_private.h"
#include "source_rights.h"
#include "table.h"
#include "wait_private.h"

struct text_wait {
    struct wait wait; /* the first member */
    struct work_item item;
    struct engine *engine;
    struct dir dir; /* its path is owned */
    char *name, *path;
    struct table_name what; /* owner NULL: not resolved yet */
    const char *beside;     /* of the page; NULL: a table */
    unsigned with;          /* enum table_with */
    struct joined joined;
    struct run_list runs;   /* complete before the first row starts */
    struct table_row *rows; /* [runs.n], `reason` owned */
    size_t next;
    struct rights rights; /* of those who may read all rows so far */
    struct error error;   /* why there is no table; code 0: none */
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

struct rights text_wait_rights(const struct wait *wait)
{
    const struct text_wait *w = (const struct text_wait *)wait;

    return w->beside || w->what.is_group ? rights_of_owner() : w->rights;
}

/* ---- which runs ---- */

static int find_runs(struct engine *e, const struct dir *dir, const struct table_name *what,
                     enum scan_freshness freshness, const struct cancel_token *cancel,
                     struct run_list *out, struct error *err)
{
    if (what->recipe->wrong)
        return error_set(err, EDOM, "%s", what->recipe->wrong);
    return engine_runs(e, dir, what->is_group, freshness, cancel, out, err);
}

static bool is_cancelled(void *ctx)
{
    struct text_wait *w = ctx;

    return wait_is_cancelled(&w->wait) || work_queue_ending(w->engine->workers.work_queue);
}

static int find_rows(struct text_wait *w, const struct cancel_token *cancel, struct error *err)
{
    int ret = tree_table_name(&w->engine->tree, w->dir.path, w->name, ".tsv", &w->what, err);

    if (ret == 0)
        ret = find_runs(w->engine, &w->dir, &w->what, SCAN_NOW, cancel, &w->runs, err);
    if (ret < 0)
        return ret;
    w->rows = calloc(w->runs.n + 1, sizeof *w->rows);
    if (!w->rows)
        return error_set(err, ENOMEM, "%s: out of memory", w->name);
    for (size_t i = 0; i < w->runs.n; i++) {
        w->rows[i].path = w->runs.at[i].path;
        w->rows[i].nvol = w->runs.at[i].nvol;
        w->rows[i].omitted = w->runs.at[i].reason != NULL;
    }
    ret =
        engine_join(w->engine, w->with, w->what.recipe->name, w->rows, w->runs.n, &w->joined, err);
    return ret < 0 ? ret : cancel_check(cancel, err);
}

/* ---- the end ---- */

/* The readers note failures of rows; this notes those of the table. */
static void finish(struct text_wait *w, const struct error *err)
{
    engine_note(w->engine, w->path, err);
    wait_end(&w->wait, err);
}

/* ---- rows, for the batch ---- */

static void fail_row(struct text_wait *w, struct table_row *row, const struct error *err)
{
    row->has_numbers = false;
    row->reason = strdup(err->text);
    if (!row->reason)
        error_set(&w->error, ENOMEM, "%s: out of memory", w->name);
    else if (err->code == ECANCELED) /* the engine stops */
        w->error = *err;
}

static bool next_row(void *ctx, struct batch_file *out)
{
    struct text_wait *w = ctx;

    while (w->next < w->runs.n) {
        struct run_place *at = &w->runs.at[w->next];
        char *name = at->reason ? NULL : derived_run_name(at, w->what.recipe, ending_numbers);
        struct error err = {.code = ENOMEM, .text = "out of memory"};
        struct dir dir = run_place_dir(at);
        int ret = -ENOMEM;

        *out = (struct batch_file){.of = &w->rows[w->next++]};
        if (at->reason)
            error_set(&err, EIO, "%s", at->reason);
        if (name)
            /* find_rows() has just looked: again for each row would cost O(n * n) */
            ret = reader_open_at(w->engine, &dir, name, SCAN_RECENT, &out->reader, &err);
        free(name);
        if (ret == 0)
            return true;
        fail_row(w, out->of, &err);
    }
    return false;
}

/* Bytes that are read for a row: the number itself, or those of an image, before its thumbnail. */
static size_t row_nbytes(const struct text_wait *w)
{
    return recipe_is_number(w->what.recipe) ? sizeof(double) : sizeof(struct numbers);
}

static int take_numbers(void *ctx, const struct batch_file *file, const void *bytes, size_t nbytes,
                        struct error *err)
{
    const struct text_wait *w = ctx;
    struct table_row *row = file->of;

    if (row->has_numbers)
        return 0;
    if (nbytes < row_nbytes(w))
        return error_set(err, EIO, "%s: the numbers are incomplete", row->path);
    if (recipe_is_number(w->what.recipe))
        memcpy(&row->numbers.median, bytes, row_nbytes(w));
    else
        memcpy(&row->numbers, bytes, row_nbytes(w));
    row->has_numbers = true;
    return 0;
}

/* The run may have been replaced since find_rows(): the row is of the version that was read. */
static void take_volumes(struct table_row *row, struct reader *r)
{
    unsigned edition;
    struct derived *d = reader_derived(r, &edition);

    row->nvol = d->runs[0]->nifti.nvol;
    if (!recipe_is_number(d->recipe))
        row->mask = derived_mask_text(d); /* NULL without memory */
    derived_put(d);
}

static void row_ended(void *ctx, const struct batch_file *file, const struct error *err)
{
    struct text_wait *w = ctx;
    struct table_row *row = file->of;
    struct rights rights;
    struct error none;

    if (!err && !row->has_numbers) {
        error_set(&none, EIO, "%s: the numbers are incomplete", row->path);
        err = &none;
    }
    if (err)
        fail_row(w, row, err);
    else
        take_volumes(row, file->reader);
    rights = reader_info(file->reader).rights;
    rights_add(&w->rights, &rights);
}

static void rows_done(void *ctx)
{
    struct text_wait *w = ctx;
    struct error err;

    if (wait_is_cancelled(&w->wait))
        error_set(&w->error, ECANCELED, "cancelled");
    rights_end(&w->rights);
    if (w->error.code == 0 &&
        table_text(w->what.recipe, w->rows, w->runs.n, &w->joined, &w->text, &err) < 0)
        w->error = err;
    finish(w, w->error.code ? &w->error : NULL);
}

/* ---- the kind of wait ---- */

static void run_item(struct work_item *item)
{
    struct text_wait *w = (struct text_wait *)((char *)item - offsetof(struct text_wait, item));
    struct cancel_token token = {is_cancelled, w};
    struct error err;
    int ret = cancel_check(&token, &err);

    if (ret == 0)
        ret = w->beside ? page_make(w->engine, w->beside, w->with, &token, &w->text, &err)
                        : find_rows(w, &token, &err);
    if (ret < 0 || w->beside)
        finish(w, ret < 0 ? &err : NULL);
    else
        batch_run(w->batch);
}

static void start(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;

    w->item.run = run_item;
    work_queue_add(w->engine->workers.work_queue, &w->item);
}

static void cancel(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;
    struct error err;

    if (work_queue_remove(w->engine->workers.work_queue, &w->item)) {
        error_set(&err, ECANCELED, "cancelled");
        wait_end(wait, &err);
    } else {
        batch_cancel(w->batch);
    }
}

static void free_wait(struct wait *wait)
{
    struct text_wait *w = (struct text_wait *)wait;

    for (size_t i = 0; w->rows && i < w->runs.n; i++)
        free((char *)w->rows[i].reason);
    for (size_t i = 0; w->rows && i < w->runs.n; i++)
        free((char *)w->rows[i].mask);
    free(w->rows);
    joined_clear(&w->joined);
    run_list_clear(&w->runs);
    recipe_table_put(w->what.owner);
    batch_free(w->batch);
    free(w->text);
    free((char *)w->dir.path);
    free(w->name);
    free(w->path);
    free(w);
}

static const struct wait_kind text_wait_kind = {
    .start = start, .cancel = cancel, .free = free_wait};

static struct wait *text_wait_new(struct engine *e, const struct dir *dir, const char *name,
                                  const char *beside, unsigned with)
{
    struct text_wait *w = calloc(1, sizeof *w);
    struct batch_user user = {
        .next = next_row, .take = take_numbers, .ended = row_ended, .done = rows_done, .ctx = w};

    if (!w)
        return NULL;
    wait_init(&w->wait, &text_wait_kind);
    w->engine = e;
    w->beside = beside;
    w->with = with;
    w->rights = rights_of_all;
    w->dir = (struct dir){.path = strdup(dir->path), .dev = dir->dev, .ino = dir->ino};
    w->name = strdup(name);
    w->path = join_path(dir->path, name);
    w->batch = batch_new(w->engine, &user);
    if (w->dir.path && w->name && w->path && w->batch)
        return &w->wait;
    wait_put(&w->wait);
    return NULL;
}

struct wait *table_wait_new(struct engine *e, const struct dir *dir, const char *name,
                            unsigned with)
{
    return text_wait_new(e, dir, name, NULL, with);
}

struct wait *page_wait_new(struct engine *e, const char *beside, unsigned with)
{
    return text_wait_new(e, &(struct dir){.path = ".derivfs"}, "index.html", beside, with);
}

/* ---- rows for callers ---- */

const char *engine_derived_root(const struct engine *e)
{
    return tree_derived_root(&e->tree);
}

int engine_each_row(struct engine *e, const char *dir, const char *name, engine_row_fn *fn,
                    void *ctx, struct error *err)
{
    struct run_list runs = {.n = 0};
    struct table_name what;
    int ret = tree_table_name(&e->tree, dir, name, ".tsv", &what, err);

    if (ret < 0)
        return ret;
    ret = find_runs(e, &(struct dir){.path = dir}, &what, SCAN_RECENT, NULL, &runs, err);
    for (size_t i = 0; i < runs.n && ret == 0; i++) {
        if (runs.at[i].reason)
            continue;
        char *file = derived_run_name(&runs.at[i], what.recipe, ending_numbers);
        char *path = file ? join_path(runs.at[i].dir, file) : NULL;
        struct dir at = run_place_dir(&runs.at[i]);
        struct derived *d;

        ret = path ? tree_find_derived(&e->tree, &at, file, SCAN_RECENT, &d, err)
                   : error_set(err, ENOMEM, "%s: out of memory", dir);
        free(file);
        if (ret == 0)
            ret = fn(ctx, d, path);
        else
            free(path);
        if (ret == -ENOENT) /* removed meanwhile */
            ret = 0;
    }
    run_list_clear(&runs);
    recipe_table_put(what.owner);
    return ret;
}
