/* SPDX-License-Identifier: MIT
 *
 * A text that is being put together: of a table one row for each run, each read like a file of its
 * own; the page as a whole.
 *
 *     errand -- which runs are there? -- pump -- row: reader, wait -- answered -- pump
 *                                          |\---- row ...   (ROWS_AT_ONCE of them)
 *                                          '----- all rows have ended: text, done
 *
 * So the rows share work with whoever reads these images, are cached each by itself, and are told
 * by `status` like any other request. They are no one graph: its runs would have to be of one grid,
 * and one broken run would fail it. An answer that comes at once makes no recursion: pump() is at
 * work then already, and looks again. Costs a path and five numbers a run, and for each row that is
 * under way a reader.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "table.h"

enum { ROWS_AT_ONCE = 64 };

/* A row asks for its bytes at most this often: for the run's content, and for the numbers. */
enum { ASKS_MAX = 2 };

struct row {
    struct text_wait *table;
    struct dir_scan *scan; /* a reference: keeps `run` alive */
    const struct dir_run *run;
    char *dir; /* of the mount: owned */
    struct reader *reader;
    struct reader_wait *wait; /* guarded by table.lock: NULL: it does not wait */
    int nasks;
    struct table_row told; /* what comes of it */
    char *reason;          /* owned */
};

struct text_wait {
    struct errand errand; /* the first member */
    atomic_int refs;      /* the owner's and the work's */
    struct engine *engine;
    text_done_fn *done;
    void *arg;
    char *dir, *name;
    struct table_name what; /* owner NULL: not known yet */
    bool is_page;
    struct row *rows; /* [nrows], complete before the first one starts */
    size_t nrows;
    char *text;
    struct error error; /* code 0: well so far */
    pthread_mutex_t lock;
    size_t next;     /* guarded by lock: the row that starts next */
    size_t nrunning; /* guarded by lock */
    bool pumping;    /* guarded by lock: somebody starts rows, or looks for them */
    bool cancelling; /* guarded by lock: text_wait_cancel() is at work */
    bool cancelled;  /* guarded by lock */
    bool ended;      /* guarded by lock */
};

static struct text_wait *text_wait_new(struct engine *e, const char *dir, const char *name,
                                       text_done_fn *done, void *arg)
{
    struct text_wait *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    atomic_init(&w->refs, 1);
    pthread_mutex_init(&w->lock, NULL);
    w->engine = e;
    w->done = done;
    w->arg = arg;
    w->pumping = true; /* so that an interrupt leaves the end to run_errand() */
    w->dir = strdup(dir);
    w->name = strdup(name);
    if (w->dir && w->name)
        return w;
    text_wait_put(w);
    return NULL;
}

struct text_wait *text_wait_of_table(struct engine *e, const char *dir, const char *name,
                                     text_done_fn *done, void *arg)
{
    return text_wait_new(e, dir, name, done, arg);
}

struct text_wait *text_wait_of_page(struct engine *e, text_done_fn *done, void *arg)
{
    struct text_wait *w = text_wait_new(e, ".derivfs", "index.html", done, arg);

    if (w)
        w->is_page = true;
    return w;
}

void text_wait_put(struct text_wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    for (size_t i = 0; i < w->nrows; i++) {
        dir_scan_put(w->rows[i].scan);
        free(w->rows[i].dir);
        free(w->rows[i].reason);
    }
    free(w->rows);
    recipe_table_put(w->what.owner);
    pthread_mutex_destroy(&w->lock);
    free(w->text);
    free(w->dir);
    free(w->name);
    free(w);
}

char *text_wait_take(struct text_wait *w, size_t *nbytes)
{
    char *text = w->text;

    *nbytes = strlen(text);
    w->text = NULL;
    return text;
}

/* ---- which runs --------------------------------------------------------------------------------
 */

static int out_of_memory(struct text_wait *w)
{
    return error_set(&w->error, ENOMEM, "%s: out of memory", w->name);
}

static bool is_cancelled(void *ctx)
{
    struct text_wait *w = ctx;
    bool cancelled;

    pthread_mutex_lock(&w->lock);
    cancelled = w->cancelled;
    pthread_mutex_unlock(&w->lock);
    return cancelled || errands_ending(w->engine->errands);
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
            .table = w,
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
    struct dir_scan *scan;
    int ret;

    if (w->is_page)
        return page_make(w->engine, &stop, &w->text, err);
    ret = tree_table_name(w->engine, w->dir, w->name, ".tsv", &w->what, err);
    if (ret < 0)
        return ret;
    if (w->what.recipe->wrong)
        return error_set(err, EDOM, "%s", w->what.recipe->wrong);
    if (w->what.is_group) /* a directory that cannot be read fails it: it would not be complete */
        return tree_each_dir(w->engine, w->dir, SCAN_NOW, add_rows, w, err);
    ret = tree_scan(w->engine, w->dir, SCAN_NOW, &scan, err);
    if (ret < 0)
        return ret;
    ret = add_rows(w, w->dir, scan, err);
    dir_scan_put(scan);
    return ret;
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static void make_text(struct text_wait *w)
{
    struct table_row *told = calloc(w->nrows + 1, sizeof *told);

    for (size_t i = 0; i < w->nrows && told; i++)
        told[i] = w->rows[i].told;
    w->text = told ? table_text(w->what.recipe->name, told, w->nrows) : NULL;
    free(told);
    if (!w->text)
        out_of_memory(w);
}

/* Rows that fail are noted by their readers: this is about the table. */
static void note(struct text_wait *w)
{
    char *path = join_path(w->dir, w->name);

    if (path && w->error.code)
        engine_failed(w->engine, path, &w->error);
    else if (path)
        errlog_clear(w->engine->errors, path);
    free(path);
}

/* Tell the owner, once, and give up the work's reference. */
static void finish(struct text_wait *w, int cancel_code)
{
    if (cancel_code)
        error_set(&w->error, cancel_code, "%s: cancelled", w->name);
    else if (w->error.code == 0 && !w->is_page)
        make_text(w);
    if (!cancel_code)
        note(w);
    w->done(w->arg, w, w->error.code ? &w->error : NULL);
    text_wait_put(w);
}

/* Has all ended, and is it the caller's to tell so? */
static bool take_end(struct text_wait *w)
{
    bool over = !w->pumping && !w->cancelling && w->nrunning == 0 &&
                (w->cancelled || w->next == w->nrows) && !w->ended;

    w->ended = w->ended || over;
    return over;
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static void pump(struct text_wait *w, size_t nended);

/* `err` NULL: its numbers are there. */
static void row_end(struct row *row, const struct error *err)
{
    struct text_wait *w = row->table;
    struct reader_wait *wait;

    if (err) {
        row->reason = strdup(err->text);
        row->told.reason = row->reason ? row->reason : "out of memory";
    }
    pthread_mutex_lock(&w->lock);
    /* by text_wait_cancel(), or because the engine stops */
    w->cancelled = w->cancelled || (err && err->code == ECANCELED);
    wait = row->wait;
    row->wait = NULL;
    pthread_mutex_unlock(&w->lock);
    if (wait)
        reader_wait_put(wait);
    reader_close(row->reader);
    row->reader = NULL;
    pump(w, 1);
}

static void row_ask(struct row *row);

/* Take the numbers, if they are there. */
static void row_advance(struct row *row)
{
    struct numbers *n = &row->told.numbers;
    struct error err;
    size_t got = 0;

    if (reader_is_sized(row->reader) && reader_read(row->reader, 0, n, sizeof *n, &got, &err) < 0) {
        row_end(row, &err);
    } else if (got == sizeof *n) {
        row_end(row, NULL);
    } else if (row->nasks == ASKS_MAX) {
        error_set(&err, EIO, "%s: there are no numbers", row->told.path);
        row_end(row, &err);
    } else {
        row_ask(row);
    }
}

static void row_answered(void *arg, struct reader_wait *wait, const struct error *err)
{
    struct row *row = arg;

    (void)wait;
    if (err)
        row_end(row, err);
    else
        row_advance(row);
}

static void row_ask(struct row *row)
{
    struct text_wait *w = row->table;
    struct reader_wait *before,
        *wait = reader_wait_new(row->reader, 0, sizeof row->told.numbers, row_answered, row);
    struct error err;
    bool cancelled;

    if (!wait) {
        error_set(&err, ENOMEM, "out of memory");
        row_end(row, &err);
        return;
    }
    row->nasks++;
    reader_wait_get(wait); /* of this call: the row may end before the start returns */
    pthread_mutex_lock(&w->lock);
    before = row->wait;
    row->wait = wait;
    cancelled = w->cancelled;
    pthread_mutex_unlock(&w->lock);
    if (before)
        reader_wait_put(before);
    if (cancelled)
        reader_wait_cancel(wait);
    reader_wait_start(wait);
    reader_wait_put(wait);
}

static void row_start(struct text_wait *w, struct row *row)
{
    char *name = tree_numbers_name(row->run, w->what.recipe);
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    int ret = -ENOMEM;

    if (name)
        /* looked at just now: for each row again, it would cost the square of their number */
        ret = reader_open_at(w->engine, row->dir, name, SCAN_RECENT, &row->reader, &err);
    free(name);
    if (ret < 0)
        row_end(row, &err);
    else
        row_advance(row);
}

/* Start what may start, now that `nended` more rows have ended; tell the owner when nothing is
 * left. Who is not that one must not touch the table afterwards. */
static void pump(struct text_wait *w, size_t nended)
{
    bool over;
    int code;

    pthread_mutex_lock(&w->lock);
    w->nrunning -= nended;
    if (!w->pumping) {
        w->pumping = true;
        while (!w->cancelled && w->next < w->nrows && w->nrunning < ROWS_AT_ONCE) {
            struct row *row = &w->rows[w->next++];

            w->nrunning++;
            pthread_mutex_unlock(&w->lock);
            row_start(w, row);
            pthread_mutex_lock(&w->lock);
        }
        w->pumping = false;
    }
    over = take_end(w);
    code = w->cancelled ? EINTR : 0;
    pthread_mutex_unlock(&w->lock);
    if (over)
        finish(w, code);
}

static void run_errand(struct errand *errand)
{
    struct text_wait *w = (struct text_wait *)errand;
    struct error err;
    int ret = is_cancelled(w) ? error_set(&err, ECANCELED, "cancelled") : find_rows(w, &err);

    if (ret < 0)
        w->error = err;
    pthread_mutex_lock(&w->lock);
    w->pumping = false;
    w->cancelled = w->cancelled || ret == -ECANCELED;
    if (ret < 0)
        w->next = w->nrows; /* none starts */
    pthread_mutex_unlock(&w->lock);
    pump(w, 0);
}

void text_wait_start(struct text_wait *w)
{
    atomic_fetch_add(&w->refs, 1); /* the work's, given up by finish() */
    w->errand.run = run_errand;
    errands_add(w->engine->errands, &w->errand);
}

void text_wait_cancel(struct text_wait *w)
{
    bool over, waited = errands_remove(w->engine->errands, &w->errand);

    pthread_mutex_lock(&w->lock);
    w->cancelled = w->cancelling = true;
    if (waited)
        w->pumping = false;
    /* rows are complete once one of them runs */
    for (size_t i = 0; i < w->next; i++) {
        struct reader_wait *wait = w->rows[i].wait ? reader_wait_get(w->rows[i].wait) : NULL;

        if (!wait)
            continue;
        pthread_mutex_unlock(&w->lock);
        reader_wait_cancel(wait);
        reader_wait_put(wait);
        pthread_mutex_lock(&w->lock);
    }
    w->cancelling = false;
    over = take_end(w);
    pthread_mutex_unlock(&w->lock);
    if (over)
        finish(w, ECANCELED);
}
