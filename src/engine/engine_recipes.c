/* SPDX-License-Identifier: MIT
 *
 * The recipes in force: the latest readable version of the file.
 *
 *     stat(2), at most once a second ---- as before ----------------> the same table
 *                                   \--- changed ---- read again ---> a new table
 *                                                 \-- unreadable ---> the same table
 *
 * Tables are immutable: an open file keeps the table in which it was found. Keys of results depend
 * on the expressions, so results of old recipes stay valid. Mistakes are noted when the file is
 * read. The lock covers only the clock and the exchange of the table; one thread looks at the file
 * while the others use the present table.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine_private.h"
#include "monotonic.h"

static const int64_t LOOK_AGAIN_NS = 1000000000;
static const char shown_as[] = ".derivfs/recipes.ini"; /* in the error log */

/* The version of a file. All zero: there is none, or it is not known. */
struct stamp {
    uint64_t dev, ino, size;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

struct recipes {
    struct errlog *errors;
    const char *path; /* borrowed; NULL: built-in ones only */
    bool optional;    /* it need not be there (yet) */
    pthread_mutex_t lock;
    struct recipe_table *table; /* guarded by lock */
    int64_t looked_ns;          /* guarded by lock: CLOCK_MONOTONIC of the last look */
    bool looking;               /* guarded by lock: a thread is */
    struct stamp stamp;         /* belongs to the thread that looks */
};

static struct stamp stamp_of(const char *path)
{
    struct stat st;

    if (!path || stat(path, &st) < 0)
        return (struct stamp){.ino = 0};
    return (struct stamp){st.st_dev,         st.st_ino,          (uint64_t)st.st_size,
                          st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec,
                          st.st_ctim.tv_nsec};
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* no padding */
}

static void note_problems(struct errlog *errors, const struct recipe_table *table)
{
    errlog_clear(errors, shown_as);
    for (size_t i = 0; i < table->nproblems; i++) {
        struct error problem = {.code = EINVAL};

        /* three lines; error_set() would join them */
        snprintf(problem.text, sizeof problem.text, "%s", table->problems[i]);
        errlog_failed(errors, shown_as, &problem);
    }
}

/* Read the file. If it is optional and absent, the table has the built-in recipes alone. */
static int load(const struct recipes *r, const struct recipe_table *before,
                struct recipe_table **out, struct error *err)
{
    int ret = recipe_table_load(r->path, before, out, err);

    if (ret == -ENOENT && r->optional && !before)
        ret = recipe_table_load(NULL, NULL, out, err);
    if (ret == 0)
        note_problems(r->errors, *out);
    return ret;
}

int recipes_open(const char *path, bool optional, struct errlog *errors, struct recipes **out,
                 struct error *err)
{
    struct recipes *r = calloc(1, sizeof *r);

    *out = r;
    if (!r)
        return error_set(err, ENOMEM, "cannot set up recipes: out of memory");
    pthread_mutex_init(&r->lock, NULL);
    r->errors = errors;
    r->path = path;
    r->optional = optional;
    r->looked_ns = monotonic_ns();
    r->stamp = stamp_of(r->path);
    return load(r, NULL, &r->table, err);
}

void recipes_close(struct recipes *r)
{
    if (!r)
        return;
    recipe_table_put(r->table);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Must this thread look at the file now? */
static bool begin_look(struct recipes *r)
{
    int64_t now = monotonic_ns();
    bool mine;

    pthread_mutex_lock(&r->lock);
    mine = !r->looking && now - r->looked_ns >= LOOK_AGAIN_NS;
    if (mine) {
        r->looking = true;
        r->looked_ns = now;
    }
    pthread_mutex_unlock(&r->lock);
    return mine;
}

/* `table` NULL: the present one stays. */
static void end_look(struct recipes *r, struct recipe_table *table)
{
    struct recipe_table *old = NULL;

    pthread_mutex_lock(&r->lock);
    if (table) {
        old = r->table;
        r->table = table;
    }
    r->looking = false;
    pthread_mutex_unlock(&r->lock);
    recipe_table_put(old);
}

/* Read the changed file. NULL: it cannot be read, the present recipes stay in force; after a fault,
 * until the next look. */
static struct recipe_table *read_again(struct recipes *r, struct stamp *stamp)
{
    struct recipe_table *table;
    struct error err, kept;

    if (load(r, r->table, &table, &err) == 0) {
        errlog_write(r->errors, LOG_LEVEL_INFO,
                     "%s: read again: %zu recipes with the built-in ones", r->path,
                     table->nrecipes);
        return table;
    }
    if (err.fault || err.code == ENOMEM)
        *stamp = (struct stamp){.ino = 0};
    errlog_clear(r->errors, shown_as);
    error_set(&kept, err.code, "%s; the recipes read before stay in force", err.text);
    errlog_failed(r->errors, shown_as, &kept);
    return NULL;
}

struct recipe_table *recipes_get(struct recipes *r)
{
    struct recipe_table *table;

    if (r->path && begin_look(r)) {
        struct stamp stamp = stamp_of(r->path);

        /* only the thread that looks changes r->table */
        table = same_stamp(&stamp, &r->stamp) ? NULL : read_again(r, &stamp);
        r->stamp = stamp;
        end_look(r, table);
    }
    pthread_mutex_lock(&r->lock);
    table = recipe_table_get(r->table);
    pthread_mutex_unlock(&r->lock);
    return table;
}

void engine_recipe_problems(struct engine *e, void (*add)(void *ctx, const char *text), void *ctx)
{
    struct recipe_table *table = recipes_get(e->tree.recipes);

    for (size_t i = 0; i < table->nproblems; i++)
        add(ctx, table->problems[i]);
    recipe_table_put(table);
}

void engine_each_recipe(struct engine *e, engine_recipe_fn *fn, void *ctx)
{
    struct recipe_table *table = recipes_get(e->tree.recipes);

    for (size_t i = 0; i < table->nrecipes; i++) {
        const struct recipe *r = &table->recipes[i];
        char *params = recipe_params_text(r);

        fn(ctx, &(struct recipe_info){.name = r->name,
                                      .text = r->text,
                                      .description = r->description,
                                      .params_text = params ? params : "",
                                      .is_command = r->command,
                                      .is_builtin = recipe_is_builtin(r),
                                      .is_series = recipe_is_series(r),
                                      .is_listed = r->list || r->list_runs});
        free(params);
    }
    recipe_table_put(table);
}

bool recipes_exist(const struct recipes *r)
{
    struct stamp none = {.ino = 0}, stamp = stamp_of(r->path);

    return !same_stamp(&stamp, &none);
}
