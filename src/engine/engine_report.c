/* SPDX-License-Identifier: MIT
 *
 * The rows of the page: the cached numbers and the state of each run. Computes nothing. Costs a look
 * at every directory, and of each run at the entries of numbers and picture; without numbers, at one
 * for each of the run's files. Numbers and thumbnail are one entry, which is read twice: the colours
 * of the thumbnails need the numbers of all runs.
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
    struct table_row *rows;          /* [nrows] of the first runs, `reason` owned */
    const char **states;             /* [nrows] */
    struct report_picture *pictures; /* [nrows] paths owned */
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

/* Find the status of one of the run's files. If it is cached, also a reference to its result, and its
 * path, malloced, where these are not NULL. */
static int look_at(const struct page *p, const struct run_place *at,
                   const struct output_format *format, struct derived_status *status,
                   struct blob **result, char **where, struct error *err)
{
    struct derived *d;
    char *path;
    int ret = find(p, at, format, &d, &path, err);

    if (ret < 0)
        return ret;
    engine_derived_status(p->engine, d, path, status);
    if (result && status->state == STATE_CACHED)
        *result = cached(&p->engine->store, d);
    if (where && result && *result)
        *where = path;
    else
        free(path);
    derived_put(d);
    return 0;
}

/* Fill in the numbers, if they are cached. The state of the run is that of the first of its files that
 * is not virtual; the numbers go first: with them the row is complete. */
static int look_at_run(const struct page *p, const struct run_place *at, struct table_row *row,
                       struct derived_status *status, struct error *err)
{
    struct blob *b = NULL;
    int ret = look_at(p, at, &output_numbers, status, &b, NULL, err);

    for (const struct output_format *const *f = output_formats();
         *f && ret == 0 && status->state == STATE_VIRTUAL; f++)
        if (output_is_computed(*f) && *f != &output_numbers)
            ret = look_at(p, at, *f, status, NULL, NULL, err);
    row->has_numbers = b && blob_nbytes(b) >= sizeof row->numbers &&
                       blob_read(b, 0, &row->numbers, sizeof row->numbers, NULL) == 0;
    blob_put(b);
    return ret;
}

static int look_at_picture(const struct page *p, const struct run_place *at,
                           struct report_picture *out, struct error *err)
{
    struct derived_status status;
    struct blob *b = NULL;
    int ret = look_at(p, at, &output_png, &status, &b, &out->path, err);

    out->nbytes = b ? blob_nbytes(b) : 0;
    blob_put(b);
    return ret;
}

static int describe(const struct page *p, const struct run_place *at, size_t i, struct error *err)
{
    struct derived_status status = {.state = STATE_VIRTUAL};
    struct table_row *row = &p->rows[i];
    const char *reason = at->reason;
    int ret;

    *row = (struct table_row){.path = at->path, .nvol = at->nvol, .omitted = reason != NULL};
    p->states[i] = "omitted";
    if (!reason) {
        ret = look_at_run(p, at, row, &status, err);
        if (ret == 0)
            ret = look_at_picture(p, at, &p->pictures[i], err);
        if (ret < 0)
            return ret;
        p->states[i] = derived_state_name(status.state);
        reason = status.state == STATE_FAILED ? status.error.text : NULL;
    }
    row->reason = reason ? strdup(reason) : NULL;
    return reason && !row->reason ? error_set(err, ENOMEM, "%s: out of memory", at->path) : 0;
}

static int add_rows(struct page *p, struct error *err)
{
    int ret = 0;

    p->rows = calloc(p->runs.n + 1, sizeof *p->rows);
    p->states = calloc(p->runs.n + 1, sizeof *p->states);
    p->pictures = calloc(p->runs.n + 1, sizeof *p->pictures);
    if (!p->rows || !p->states || !p->pictures)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < p->runs.n && ret == 0; i++) {
        struct run_place at = p->runs.at[i];

        ret = cancel_check(p->cancel, err);
        if (ret == 0)
            ret = describe(p, &at, p->nrows, err);
        if (ret == 0) {
            p->runs.at[i] = p->runs.at[p->nrows];
            p->runs.at[p->nrows++] = at;
        } else if (ret == -ENOENT) { /* removed meanwhile */
            ret = 0;
        }
    }
    return ret;
}

/* ---- for the page ---- */

/* A reference to the result of one file of a row; NULL also after a cancellation, which so ends soon. */
static struct blob *result_of(struct page *p, size_t i, const struct output_format *format)
{
    struct error cancelled;
    struct derived *d;
    struct blob *b;
    char *path;

    if (p->runs.at[i].reason || cancel_check(p->cancel, &cancelled) < 0 ||
        find(p, &p->runs.at[i], format, &d, &path, NULL) < 0)
        return NULL;
    b = d->error.code == 0 ? cached(&p->engine->store, d) : NULL;
    derived_put(d);
    free(path);
    return b;
}

static struct blob *picture_of(void *ctx, size_t i)
{
    return result_of(ctx, i, &output_png);
}

static bool thumb_of(void *ctx, size_t i, float *values, struct thumb_size *size)
{
    struct page *p = ctx;
    struct blob *b = p->rows[i].has_numbers ? result_of(p, i, &output_numbers) : NULL;
    uint64_t nbytes = b ? blob_nbytes(b) : 0;
    float both[2];
    bool found = false;

    if (nbytes > sizeof(struct numbers) + sizeof both &&
        blob_read(b, sizeof(struct numbers), both, sizeof both, NULL) == 0) {
        *size = (struct thumb_size){(int)both[0], (int)both[1]};
        nbytes -= sizeof(struct numbers) + sizeof both;
        found =
            nbytes <= THUMB_W_MAX * THUMB_H_MAX * sizeof *values &&
            blob_read(b, sizeof(struct numbers) + sizeof both, values, (size_t)nbytes, NULL) == 0;
    }
    blob_put(b);
    return found;
}

/* 'A word of a shell'. */
static void print_word(FILE *f, const char *word)
{
    fputc('\'', f);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", f);
        else
            fputc(*word, f);
    fputc('\'', f);
}

/* malloced; NULL: out of memory. */
static char *command_of(const struct engine *e)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    fputs("derivctl report --cache_dir=", f);
    print_word(f, e->config.cache_dir);
    fputc(' ', f);
    print_word(f, dataset_path(e->tree.dataset));
    fputs(" -o report", f);
    return text_end(f, &text);
}

static int write_page(struct page *p, const char *beside, const struct joined *joined, char **out,
                      struct error *err)
{
    char *command = command_of(p->engine);
    struct report report = {.dataset = dataset_path(p->engine->tree.dataset),
                            .measure = p->recipe->page,
                            .recipe = p->recipe->name,
                            .command = command,
                            .beside = beside,
                            .rows = p->rows,
                            .states = p->states,
                            .pictures = p->pictures,
                            .joined = joined,
                            .nrows = p->nrows};
    struct report_source source = {.thumb = thumb_of, .picture = picture_of, .ctx = p};
    int ret = command ? report_html(&report, &source, out, err)
                      : error_set(err, ENOMEM, "page: out of memory");

    free(command);
    return ret;
}

static void free_rows(struct page *p)
{
    for (size_t i = 0; i < p->nrows; i++) {
        free((char *)p->rows[i].reason);
        free(p->pictures[i].path);
    }
    free(p->rows);
    free(p->states);
    free(p->pictures);
}

int page_make(struct engine *e, const char *beside, unsigned with,
              const struct cancel_token *cancel, char **out, struct error *err)
{
    struct recipe_table *table = recipes_get(e->tree.recipes);
    struct page p = {.engine = e, .cancel = cancel, .recipe = table->recipes};
    struct joined joined = {.n = 0};
    int ret = engine_runs(e, &(struct dir){.path = tree_derived_root(&e->tree)}, true, SCAN_RECENT,
                          cancel, &p.runs, err);

    while (!p.recipe->page) /* one of the built-in recipes */
        p.recipe++;
    if (ret == 0)
        ret = add_rows(&p, err);
    if (ret == 0)
        ret = engine_join(e, with, p.recipe->name, p.rows, p.nrows, &joined, err);
    if (ret == 0)
        ret = write_page(&p, beside, &joined, out, err);
    joined_clear(&joined);
    free_rows(&p);
    run_list_clear(&p.runs);
    recipe_table_put(table);
    return ret;
}
