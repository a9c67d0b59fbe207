/* SPDX-License-Identifier: MIT
 *
 * Tables among the names of the mount.
 *
 *     DIR/NAME.tsv         of the runs of one directory that has some
 *     group_NAME.tsv       of those of the whole dataset, at the root of the derived files
 *     DIR/NAME.tsv.json, group_NAME.json    the columns
 *     DIR/NAME.json     the same, if no image has that sidecar
 *
 * A lookup reads one directory at most. The table of a directory has the rights that all of its
 * runs share. The runs of a dataset, and their rights, are known only after a walk: the group
 * table is for the mount's owner alone.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "source_rights.h"
#include "table.h"
#include "time_ns.h"
#include "tree.h"

#define GROUP "group_"

static bool resolve(struct recipe_table *recipes, const char *name, size_t nbytes,
                    struct table_name *out)
{
    if (recipe_resolve(recipes, name, nbytes, &out->owner, &out->recipe, NULL) < 0)
        return false;
    if (out->recipe->expr && !recipe_is_series(out->recipe))
        return true;
    recipe_table_put(out->owner);
    return false;
}

int tree_table_name(const struct tree *t, const char *dir, const char *name, const char *ending,
                    struct table_name *out, struct error *err)
{
    struct recipe_table *recipes;
    size_t len = strlen(name), end = strlen(ending), before = strlen(GROUP);
    bool found;

    if (len <= end || strcmp(name + len - end, ending) != 0)
        return error_set(err, ENOENT, "%s: no such file", name);
    len -= end;
    recipes = recipes_get(t->recipes);
    out->is_group = strcmp(dir, tree_derived_root(t)) == 0 && len > before &&
                    strncmp(name, GROUP, before) == 0 &&
                    resolve(recipes, name + before, len - before, out);
    found = out->is_group || resolve(recipes, name, len, out);
    recipe_table_put(recipes);
    return found ? 0 : error_set(err, ENOENT, "%s: no such file", name);
}

/* stat(2) of the table of a directory. ENOENT: it has no runs. */
static int stat_dir_table(const struct tree *t, const struct dir *dir, struct stat *st,
                          struct error *err)
{
    struct dir_scan *scan;
    struct rights rights;
    int64_t newest = INT64_MIN;
    int ret = tree_scan(t, dir, SCAN_RECENT, &scan, err);

    if (ret < 0)
        return ret;
    if (scan->nruns == 0 && !omissions_unexpected(&scan->omissions))
        ret = error_set(err, ENOENT, "%s: no runs are here", dir->path);
    for (size_t i = 0; i < scan->nruns; i++) {
        int64_t mtime_ns = scan->runs[i].run->id.mtime_ns;

        newest = mtime_ns > newest ? mtime_ns : newest;
    }
    rights = runs_rights(scan);
    rights_show(&rights, st);
    st->st_mtim = time_of_ns(scan->nruns > 0 ? newest : 0);
    dir_scan_put(scan);
    return ret;
}

static int stat_table(const struct tree *t, const struct dir *dir, const struct table_name *n,
                      struct entry *out, struct error *err)
{
    struct stat *st = &out->st;
    struct timespec recipe = time_of_ns(n->recipe->mtime_ns); /* 0: a built-in one */
    int ret;

    *st = (struct stat){.st_blksize = 4096};
    ret = n->is_group ? tree_stat_root(t, st, err) : stat_dir_table(t, dir, st, err);
    if (n->is_group) {
        struct rights owner = rights_of_owner();

        rights_show(&owner, st);
    }
    if (n->recipe->mtime_ns && recipe.tv_sec > st->st_mtim.tv_sec)
        st->st_mtim = recipe;
    st->st_ctim = st->st_atim = st->st_mtim;
    st->st_nlink = 1;
    st->st_dev = 0;
    st->st_size = (off_t)UNKNOWN_NBYTES;
    st->st_blocks = 1;
    return ret;
}

int tree_lookup_table(const struct tree *t, const struct dir *dir, const char *name,
                      struct entry *out, struct error *err)
{
    struct table_name n;
    int ret = tree_table_name(t, dir->path, name, ".tsv", &n, err);

    out->kind = ENTRY_TABLE;
    if (ret == -ENOENT) {
        bool whole = strlen(name) > strlen(".tsv.json") &&
                     strcmp(name + strlen(name) - strlen(".tsv.json"), ".tsv.json") == 0;

        ret = tree_table_name(t, dir->path, name, whole ? ".tsv.json" : ".json", &n, err);
        out->kind = ENTRY_TEXT;
    }
    if (ret < 0)
        return ret;
    ret = stat_table(t, dir, &n, out, err);
    if (ret == 0 && out->kind == ENTRY_TEXT) {
        out->text = table_dictionary(n.recipe);
        if (!out->text)
            ret = error_set(err, ENOMEM, "%s: out of memory", name);
        else
            out->st.st_size = (off_t)strlen(out->text);
        out->st.st_blocks = (out->st.st_size + 511) / 512;
    }
    recipe_table_put(n.owner);
    return ret;
}
