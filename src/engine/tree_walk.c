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

static int list_dirs(const struct tree *t, const char *dir, enum walk_extent extent,
                     struct names *names, struct error *err)
{
    int ret = extent == WALK_RUNS ? tree_subdirs(t, dir, add_name, names, err)
                                  : tree_list(t, dir, add_name, names, err);

    if (names->n > 0)
        qsort(names->list, names->n, sizeof *names->list, compare_names);
    return ret == -ENOMEM ? error_set(err, ENOMEM, "%s: out of memory", dir) : ret;
}

/* Some file systems do not tell the type with the name, and tree_subdirs() looks itself. */
static bool is_dir(const struct tree *t, const char *dir, const char *name, enum walk_extent extent)
{
    struct entry entry;

    if (extent == WALK_RUNS)
        return true;
    if (tree_lookup(t, dir, name, &entry, NULL) < 0)
        return false;
    entry_clear(&entry);
    return S_ISDIR(entry.st.st_mode);
}

static int walk(const struct tree *t, const char *dir, const struct walk_visitor *v,
                struct error *err)
{
    struct names names = {.n = 0};
    int ret = list_dirs(t, dir, v->extent, &names, err);

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
        else if (ret == 0 && is_dir(t, dir, names.list[i], v->extent))
            ret = walk(t, path, v, err);
        free(path);
        free(names.list[i]);
    }
    free(names.list);
    return ret;
}

int engine_walk(struct engine *e, const char *dir, const struct walk_visitor *v, struct error *err)
{
    return walk(&e->tree, dir, v, err);
}

/* ---- their runs ---- */

struct collection {
    const struct tree *tree;
    enum scan_freshness freshness;
    const struct cancel_token *stop;
    struct run_list *list;
};

static int add_runs(void *ctx, const char *dir, struct error *err)
{
    struct collection *c = ctx;
    struct run_list *l = c->list;
    struct run_place *grown;
    struct dir_scan *scan;
    int ret = cancel_check(c->stop, err);

    if (ret == 0)
        ret = tree_scan(c->tree, dir, c->freshness, &scan, err);
    if (ret != 0)
        return ret;
    grown = realloc(l->at, (l->n + scan->nruns + 1) * sizeof *grown);
    l->at = grown ? grown : l->at;
    for (size_t i = 0; i < scan->nruns && grown; i++) {
        grown[l->n] = (struct run_place){dir_scan_get(scan), &scan->runs[i], strdup(dir)};
        if (!grown[l->n++].dir)
            grown = NULL;
    }
    dir_scan_put(scan);
    return grown ? 0 : error_set(err, ENOMEM, "%s: out of memory", dir);
}

int tree_runs(const struct tree *t, const char *dir, bool below, enum scan_freshness freshness,
              const struct cancel_token *stop, struct run_list *out, struct error *err)
{
    struct collection c = {t, freshness, stop, out};
    struct walk_visitor v = {.extent = WALK_RUNS, .enter = add_runs, .ctx = &c};

    return below ? walk(t, dir, &v, err) : add_runs(&c, dir, err);
}

void run_list_clear(struct run_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        dir_scan_put(l->at[i].scan);
        free(l->at[i].dir);
    }
    free(l->at);
}
