/* SPDX-License-Identifier: MIT
 *
 * All runs of a dataset, one directory after the other: the depth first, in the order of names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

struct names {
    char **list; /* [n] owned */
    size_t n;
};

static int add_name(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct names *names = ctx;
    char **grown = realloc(names->list, (names->n + 1) * sizeof *grown);

    (void)ino;
    (void)type;
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

static int each_subdir(struct engine *e, const char *dir, const struct names *names,
                       enum scan_freshness freshness, tree_runs_fn *fn, void *ctx,
                       struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < names->n && ret == 0; i++) {
        char *path = join_path(dir, names->list[i]);

        ret = path ? tree_each_dir(e, path, freshness, fn, ctx, err)
                   : error_set(err, ENOMEM, "%s: out of memory", dir);
        free(path);
    }
    return ret;
}

int tree_each_dir(struct engine *e, const char *dir, enum scan_freshness freshness,
                  tree_runs_fn *fn, void *ctx, struct error *err)
{
    struct names names = {.n = 0};
    struct dir_scan *scan;
    int ret = tree_scan(e, dir, freshness, &scan, err);

    if (ret == -ENOENT) /* gone since it was listed */
        return 0;
    if (ret < 0)
        return ret;
    ret = fn(ctx, dir, scan, err);
    dir_scan_put(scan);
    if (ret == 0)
        ret = tree_subdirs(e, dir, add_name, &names, err);
    if (ret == -ENOMEM)
        error_set(err, ENOMEM, "%s: out of memory", dir);
    if (names.n > 0)
        qsort(names.list, names.n, sizeof *names.list, compare_names);
    if (ret == 0)
        ret = each_subdir(e, dir, &names, freshness, fn, ctx, err);
    for (size_t i = 0; i < names.n; i++)
        free(names.list[i]);
    free(names.list);
    return ret == -ENOENT ? 0 : ret;
}
