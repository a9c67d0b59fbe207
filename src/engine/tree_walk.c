/* SPDX-License-Identifier: MIT
 *
 * The walk through the directories of a dataset.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "grow.h"

struct names {
    char **list; /* [n] owned */
    size_t n;
};

/* An engine_list_fn. */
static int add_name(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct names *names = ctx;

    (void)ino;
    if (name[0] == '.' || (type != DT_DIR && type != DT_UNKNOWN))
        return 0;
    if (GROW(names->list, names->n) < 0 || !(names->list[names->n] = strdup(name)))
        return -ENOMEM;
    names->n++;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_dirs(struct engine *e, const char *dir, enum walk_extent extent,
                     struct names *names, struct error *err)
{
    int ret = extent == WALK_RUNS ? tree_subdirs(&e->tree, dir, add_name, names, err)
                                  : engine_list(e, dir, add_name, names, err);

    if (names->n > 0)
        qsort(names->list, names->n, sizeof *names->list, compare_names);
    return ret == -ENOMEM ? error_set(err, ENOMEM, "%s: out of memory", dir) : ret;
}

/* Not every file system lists types; tree_subdirs() has looked already. What cannot be looked at
 * may be a directory: entering it says why. */
static bool may_be_dir(struct engine *e, const char *dir, const char *name, enum walk_extent extent)
{
    struct entry entry;
    int ret = extent == WALK_RUNS ? 0 : engine_lookup(e, dir, name, &entry, NULL);

    if (extent == WALK_RUNS || ret < 0)
        return ret != -ENOENT;
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
        else if (ret == 0 && may_be_dir(e, dir, names.list[i], v->extent))
            ret = engine_walk(e, path, v, err);
        free(path);
        free(names.list[i]);
    }
    free(names.list);
    return ret;
}

/* ---- the runs of these directories ---- */

struct collection {
    const struct tree *tree;
    enum scan_freshness freshness;
    const struct cancel_token *cancel;
    struct run_list *list;
};

static void place_clear(struct run_place *at)
{
    free(at->dir);
    free(at->path);
    free(at->entities);
    free(at->map_suffix);
}

static int add_runs(void *ctx, const char *dir, struct error *err)
{
    struct collection *c = ctx;
    struct run_list *l = c->list;
    struct dir_scan *scan;
    int ret = cancel_check(c->cancel, err);

    if (ret == 0)
        ret = tree_scan(c->tree, dir, c->freshness, &scan, err);
    if (ret != 0)
        return ret;
    for (size_t i = 0; i < scan->nruns && ret == 0; i++) {
        const struct dir_run *member = &scan->runs[i];
        struct run_place at = {
            .dir = strdup(dir),
            .path = strdup(member->run->path),
            .entities = strdup(member->entities),
            .map_suffix = strdup(member->map_suffix),
            .nvol = member->run->state == RUN_OK ? member->run->nifti.nvol : 0,
        };

        if (at.dir && at.path && at.entities && at.map_suffix && GROW(l->at, l->n) == 0) {
            l->at[l->n++] = at;
        } else {
            place_clear(&at);
            ret = error_set(err, ENOMEM, "%s: out of memory", dir);
        }
    }
    dir_scan_put(scan);
    return ret;
}

int engine_runs(struct engine *e, const char *dir, bool below, enum scan_freshness freshness,
                const struct cancel_token *cancel, struct run_list *out, struct error *err)
{
    struct collection c = {&e->tree, freshness, cancel, out};
    struct walk_visitor v = {.extent = WALK_RUNS, .enter = add_runs, .ctx = &c};

    return below ? engine_walk(e, dir, &v, err) : add_runs(&c, dir, err);
}

void run_list_clear(struct run_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        place_clear(&l->at[i]);
    free(l->at);
}
