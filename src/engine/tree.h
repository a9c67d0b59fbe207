/* SPDX-License-Identifier: MIT
 *
 * The names that the mount shows, and the kinds of their entries. Knows nothing of results and of
 * the threads that compute them.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_TREE_H
#define DERIVFS_TREE_H

#include "dataset.h"
#include "derived.h"
#include "engine.h"
#include "errlog.h"
#include "thread.h"

struct tree {
    struct dataset *dataset;
    struct recipes *recipes;
    struct errlog *errors;
    enum engine_layout layout;
    bool annex_get;
};

/* The recipes in force (engine_recipes.c): those of the file at `path`, NULL: the built-in ones
 * alone. If `optional` the file may be absent. Close them after a failure too; NULL is allowed. */
int recipes_open(const char *path, bool optional, struct errlog *errors, struct recipes **out,
                 struct error *err) NODISCARD;
void recipes_close(struct recipes *r);
/* A reference. Looks at the file at most once a second, and reads it again if it changed. */
struct recipe_table *recipes_get(struct recipes *r);
/* Is the user's file there? */
bool recipes_exist(const struct recipes *r);

/* The derived file `name` of the mount's directory `dir`. */
int tree_find_derived(const struct tree *t, const struct dir *dir, const char *name,
                      enum scan_freshness freshness, struct derived **out,
                      struct error *err) NODISCARD;

/* stat(2) of the dataset's root, as the mount shows it. */
int tree_stat_root(const struct tree *t, struct stat *st, struct error *err) NODISCARD;

/* The runs of the mount's directory `dir`, for dir_scan_put(). ENOENT: no derived files. */
int tree_scan(const struct tree *t, const struct dir *dir, enum scan_freshness freshness,
              struct dir_scan **out, struct error *err) NODISCARD;
/* Call `add` for each directory in `dir` that may have runs of this dataset, and each link. */
int tree_subdirs(const struct tree *t, const char *dir, engine_list_fn *add, void *ctx,
                 struct error *err) NODISCARD;
/* What the mount's directory `dir` shows is derived from this directory of the dataset. */
const char *tree_source_dir(const struct tree *t, const char *dir);
/* Where does `name` of the mount's directory `dir` lead? */
struct dir_id {
    uint64_t dev, ino;
};
enum dir_link {
    LINK_NO_DIR, /* to no directory */
    LINK_INSIDE, /* to a directory of the dataset: *id is set */
    LINK_OUT,    /* to a directory that is none of the dataset's */
};
enum dir_link tree_link(const struct tree *t, const char *dir, const char *name, struct dir_id *id);
/* The same for a path in the dataset. */
enum dir_link tree_source_link(const struct tree *t, const char *path, struct dir_id *id);
/* Note such a link in the errors. */
#define LINK_OUT_TEXT                                                                              \
    "a link that leads out of the dataset: runs behind it are not used; mount a dataset that has " \
    "them, or copy them"
void tree_note_link(const struct tree *t, const char *path);
/* Note the broken files of the directory and the remarks on it, once for each version of it, and
 * clear the notes of the others. */
void tree_note_scan(const struct tree *t, struct dir_scan *scan);
/* The mount's directory with the derived files of the dataset's root. */
const char *tree_derived_root(const struct tree *t);
/* The one with what is derived from `dir` and what is below it: malloced; NULL: out of memory. */
char *tree_derived_dir(const struct tree *t, const char *dir);

/* The meaning of the name of a table (tree_table.c). */
struct table_name {
    bool is_group;
    struct recipe_table *owner; /* a reference: keeps `recipe` alive */
    const struct recipe *recipe;
};

/* The table, or its dictionary, that `name` with this ending stands for. ENOENT. */
int tree_table_name(const struct tree *t, const char *dir, const char *name, const char *ending,
                    struct table_name *out, struct error *err) NODISCARD;
/* Look up the table or dictionary `name`; all of out->st but the inode number. */
int tree_lookup_table(const struct tree *t, const struct dir *dir, const char *name,
                      struct entry *out, struct error *err) NODISCARD;

#endif
