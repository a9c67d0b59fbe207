/* SPDX-License-Identifier: MIT
 *
 * Recipes: named expressions, the built-in ones and the user's (an INI file, read with inih).
 *
 * A table is immutable and reference-counted. A user's recipe may refer to built-in ones and to
 * others of the same file, in any order; it may not take a built-in's name. A mistake puts a
 * sentence with file, line, column and a caret into `problems` and leaves the other recipes
 * working. A recipe may declare parameters, numbers with a default; recipe_resolve() gives it with
 * other values. Thread rule: recipe_table_get/put from any thread; everything else is read-only
 * after loading.
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
    char *text; /* the expression or command as written, lines joined with a space; with values of
                 * its own for parameters: as `canonical` */
    char *description;         /* "" where there is none */
    struct expr *expr;         /* NULL for a command */
    struct command *command;   /* NULL for an expression; then `name` is that of the file, and may
                                * have digits in front and dots */
    char *canonical;           /* expr_print() of it: other recipes and parameters put in; of a
                                * command: the text */
    struct expr_param *params; /* [nparams] in the order of the file; names owned */
    size_t nparams;
    char *wrong;      /* what is wrong with the values asked for; else NULL */
    bool list;        /* shown in listings: for groups, unless it is a command for each run */
    bool list_runs;   /* shown in listings for each run */
    const char *page; /* what the dataset's page, which is about this recipe, calls it; else NULL */
    int64_t mtime_ns; /* of the recipes file; 0 for built-in recipes */
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
 * or that everybody may write, or that has commands and its group may write, is refused with EPERM;
 * EISDIR, EINVAL: not a regular text file; EFBIG: over 256 KiB. */
int recipe_table_load(const char *path, struct recipe_table **out, struct error *err) NODISCARD;
/* The same for a file that has changed since `before` was made of it (NULL: never read). A recipe
 * that was good and is wrong now stays as it was, and a problem says so. */
int recipe_table_reload(const char *path, const struct recipe_table *before,
                        struct recipe_table **out, struct error *err) NODISCARD;
struct recipe_table *recipe_table_get(struct recipe_table *t);
void recipe_table_put(struct recipe_table *t); /* NULL is allowed */

/* The recipe of an expression, or of a command; NULL where there is none. */
const struct recipe *recipe_find(const struct recipe_table *t, const char *name, size_t nbytes);

/* The same for what a file's name says: NAME, or NAME@PARAMETER=NUMBER,... with some of the
 * recipe's parameters in any order; the others keep their defaults. Such a recipe is called as it
 * is asked for. *owner is a reference that keeps *out alive: the table, or one of this recipe
 * alone. Where a parameter or value is wrong, the recipe is that of the defaults, and its `wrong`
 * says so and which parameters there are. ENOENT: no such recipe; ENOMEM. */
int recipe_resolve(struct recipe_table *t, const char *name, size_t nbytes,
                   struct recipe_table **owner, const struct recipe **out,
                   struct error *err) NODISCARD;

/* "drop=4,detrend=2": the recipe's parameters with their values. malloced; NULL: out of memory. */
char *recipe_params_text(const struct recipe *r) NODISCARD;

#endif
