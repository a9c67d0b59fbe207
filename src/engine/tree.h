/* SPDX-License-Identifier: MIT
 *
 * What the mount shows of a dataset: which names there are, and what each of them is. Knows nothing
 * of results or of who computes them.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_TREE_H
#define DERIVFS_TREE_H

#include "cancel.h"
#include "dataset.h"
#include "derived.h"
#include "engine.h"
#include "errlog.h"

struct tree {
    struct dataset *dataset;
    struct recipes *recipes;
    struct errlog *errors;
    enum engine_layout layout;
    bool annex_get;
};

/* The recipes in force (engine_recipes.c): those of the file at `path`, NULL: built-in ones only.
 * With `optional` it need not be there. Close them after a failure too; NULL is allowed. */
int recipes_open(const char *path, bool optional, struct errlog *errors, struct recipes **out,
                 struct error *err) NODISCARD;
void recipes_close(struct recipes *r);
/* A reference. Where the file has changed, it is read again first; a look more than once a second
 * is not taken. */
struct recipe_table *recipes_get(struct recipes *r);
/* Where the user's recipes are, or NULL: there is no file. */
const char *recipes_path(const struct recipes *r);

/* The derived file `name` of the mount's directory `dir`. */
int tree_find_derived(const struct tree *t, const char *dir, const char *name,
                      enum scan_freshness freshness, struct derived **out,
                      struct error *err) NODISCARD;

/* The runs of the mount's directory `dir`; ENOENT: no derived files are there. The caller puts it.
 */
int tree_scan(const struct tree *t, const char *dir, enum scan_freshness freshness,
              struct dir_scan **out, struct error *err) NODISCARD;
/* Call `add` for each directory in `dir` that may have runs of its own: no other dataset's. */
int tree_subdirs(const struct tree *t, const char *dir, engine_list_fn *add, void *ctx,
                 struct error *err) NODISCARD;
/* Where the derived files of the dataset's root are, in the mount. */
const char *tree_derived_root(const struct tree *t);

/* Tables (tree_table.c). What the name of one says. */
struct table_name {
    bool is_group;
    struct recipe_table *owner; /* a reference: keeps `recipe` alive */
    const struct recipe *recipe;
};

/* The table, or its dictionary, that `name` with this ending may be. ENOENT. */
int tree_table_name(const struct tree *t, const char *dir, const char *name, const char *ending,
                    struct table_name *out, struct error *err) NODISCARD;
/* Look up the table or dictionary `name`; all of out->st but the inode number. */
int tree_lookup_table(const struct tree *t, const char *dir, const char *name, struct entry *out,
                      struct error *err) NODISCARD;

#endif
