/* SPDX-License-Identifier: MIT
 *
 * Recipes: named expressions, the built-in ones and the user's (an INI file, read with inih).
 *
 * A table is immutable and reference-counted. A user's recipe may refer to built-in ones and to
 * others of the same file, in any order; it may not take a built-in's name. A mistake puts a
 * sentence with file, line, column and a caret into `problems` and leaves the other recipes
 * working. Thread rule: recipe_table_get/put from any thread; everything else is read-only after
 * loading.
 */
#ifndef DERIVFS_RECIPE_H
#define DERIVFS_RECIPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "error.h"
#include "expr.h"

struct recipe {
    char *name; /* letters, digits, "_" and "-" (with a "-", no expression can name it); starts with
                 * a letter; at most 64 bytes */
    char *text; /* the expression or command as written; lines joined with a space */
    char *description;       /* "" where there is none */
    struct expr *expr;       /* NULL for a command */
    struct command *command; /* NULL for an expression; then `name` is that of the file, and may
                              * have digits in front and dots */
    bool list;               /* shown in listings (for groups) */
    int64_t mtime_ns;        /* of the recipes file; 0 for built-in recipes */
};

struct recipe_table {
    atomic_int refs;
    struct recipe *recipes; /* [nrecipes], built-in first, then in the order of the file */
    size_t nrecipes;
    char **problems; /* [nproblems]; each "FILE:LINE:COLUMN: REASON", then the line and a caret */
    size_t nproblems;
};

/* The built-in recipes and those of `path` (NULL: none). Fails (ENOENT, EACCES, ..., ENOMEM) only
 * where the file cannot be read at all. A file that another user than this process's or root owns,
 * or that everybody may write, is refused with EPERM; EISDIR, EINVAL: not a regular text file;
 * EFBIG: over 256 KiB. */
int recipe_table_load(const char *path, struct recipe_table **out, struct error *err) NODISCARD;
struct recipe_table *recipe_table_get(struct recipe_table *t);
void recipe_table_put(struct recipe_table *t); /* NULL is allowed */

/* The recipe of an expression, or of a command; NULL where there is none. */
const struct recipe *recipe_find(const struct recipe_table *t, const char *name, size_t nbytes);

#endif
