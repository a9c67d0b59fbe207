/* SPDX-License-Identifier: MIT
 *
 * The walk through the directories of a dataset.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

struct names {
    char **list; /* [n] owned */
    size_t n;
};

/* An engine_list_fn. */
static int add_name(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct names *names = ctx;
    char **grown;

    (void)ino;
    if (name[0] == '.' || (type != DT_DIR && type != DT_UNKNOWN))
        return 0;
    grown = realloc(names->list, (names->n + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    names->list = grown;
    grown[names->n] = strdup(name);
    return grown[names->n] ? (names->n++, 0) : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_dirs(struct engine *e, const char *dir, enum walk_extent extent,
                     struct names *names, struct error *err)
{
    int ret = extent == WALK_RUNS ? tree_subdirs(e, dir, add_name, names, err)
                                  : engine_list(e, dir, add_name, names, err);

    if (names->n > 0)
        qsort(names->list, names->n, sizeof *names->list, compare_names);
    return ret == -ENOMEM ? error_set(err, ENOMEM, "%s: out of memory", dir) : ret;
}

/* Some file systems do not tell the type with the name, and tree_subdirs() looks itself. */
static bool is_dir(struct engine *e, const char *path, enum walk_extent extent)
{
    struct entry entry;

    if (extent == WALK_RUNS)
        return true;
    if (engine_lookup_path(e, path, &entry, NULL) < 0)
        return false;
    entry_clear(&entry);
    return S_ISDIR(entry.st.st_mode);
}

int engine_walk(struct engine *e, const char *dir, const struct walk_visitor *v, struct error *err)
{
    struct names names = {.n = 0};
    int ret = list_dirs(e, dir, v->extent, &names, err);

    if (ret == 0)
        ret = v->enter(v->ctx, dir, err);
    if (ret == -ENOENT) /* gone since it was listed */
        ret = 0;
    if (ret < 0 && v->failed)
        ret = v->failed(v->ctx, dir, err);
    for (size_t i = 0; i < names.n; i++) {
        char *path = ret == 0 ? join_path(dir, names.list[i]) : NULL;

        if (ret == 0 && !path)
            ret = error_set(err, ENOMEM, "%s: out of memory", dir);
        else if (ret == 0 && is_dir(e, path, v->extent))
            ret = engine_walk(e, path, v, err);
        free(path);
        free(names.list[i]);
    }
    free(names.list);
    return ret;
}

/* ---- with their runs ---------------------------------------------------------------------------
 */

struct runs {
    struct engine *engine;
    enum scan_freshness freshness;
    tree_runs_fn *fn;
    void *ctx;
};

static int enter_runs(void *ctx, const char *dir, struct error *err)
{
    struct runs *runs = ctx;
    struct dir_scan *scan;
    int ret = tree_scan(runs->engine, dir, runs->freshness, &scan, err);

    if (ret < 0)
        return ret;
    ret = runs->fn(runs->ctx, dir, scan, err);
    dir_scan_put(scan);
    return ret;
}

int tree_each_dir(struct engine *e, const char *dir, enum scan_freshness freshness,
                  tree_runs_fn *fn, void *ctx, struct error *err)
{
    struct runs runs = {e, freshness, fn, ctx};

    return engine_walk(
        e, dir, &(struct walk_visitor){.extent = WALK_RUNS, .enter = enter_runs, .ctx = &runs},
        err);
}
