/* SPDX-License-Identifier: MIT
 *
 * Where the directories of the mount stand in the dataset (tree_place.c): for lookups and listings
 * (tree.c) and for tables (tree_table.c).
 */
#ifndef DERIVFS_TREE_PLACE_H
#define DERIVFS_TREE_PLACE_H

#include "tree.h"

#define DERIVATIVES "derivatives"
#define DERIVFS_DIR DERIVATIVES "/derivfs"

/* Where a directory of the mount stands in the dataset. */
struct place {
    const char *dir;    /* the dataset's directory; NULL: there is none (yet) */
    bool shows_sources; /* the dataset's own entries are in it */
    bool shows_derived; /* the derived files of `dir` are in it */
    bool shows_dirs;    /* the directories of `dir` are in it, as ENTRY_DIR */
    const char *extra;  /* the name of one more ENTRY_DIR, or NULL */
    bool shows_texts;   /* what tells of the derivative dataset is in it */
};

struct place tree_place(const struct tree *t, const char *dir);

/* open(2) beneath the dataset's root: a file descriptor, or -errno. */
int tree_open(const struct tree *t, const char *path, int flags, struct error *err) NODISCARD;
/* lstat(2) beneath the dataset's root. */
int tree_stat(const struct tree *t, const char *path, struct stat *st, struct error *err) NODISCARD;

/* The runs of place->dir, and a note of those that are broken. */
int tree_scan_place(const struct tree *t, const struct place *place, enum scan_freshness freshness,
                    struct dir_scan **out, struct error *err) NODISCARD;

#endif
