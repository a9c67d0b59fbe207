/* SPDX-License-Identifier: MIT
 *
 * Recipes: named expressions, the built-in ones and the user's (an INI file, read with inih).
 *
 * A table is immutable and reference-counted. A user's recipe may refer to built-in ones and to
 * others of the same file, in any order, but not have a built-in's name, except head and brain. A mistake adds a sentence
 * with file, line, column and a caret to `problems`; the other recipes work. A recipe may declare
 * parameters, numbers with a default; recipe_resolve() gives it with other values. Thread rule: any
 * thread.
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
    char *text; /* the expression or command as written, lines joined with a space; with parameter
                 * values in its name: as `canonical` */
    char *description;         /* or "" */
    struct expr *expr;         /* NULL for a command */
    struct command *command;   /* NULL for an expression; of a command, `name` is that of the file,
                                * and may start with digits and contain dots */
    char *canonical;           /* expr_print(expr), without names; of a command: the text */
    struct expr_param *params; /* [nparams] in the order of the file; names owned */
    size_t nparams;
    char *wrong;      /* why the parameter values in its name are invalid; else NULL */
    bool list;        /* shown in listings: for groups, unless it is a command for each run */
    bool list_runs;   /* shown in listings for each run */
    bool join_all;    /* also of runs that no name says belong together (join = all) */
    const char *page; /* its name on the dataset's page, which is about this recipe; else NULL */
    int64_t mtime_ns; /* of the recipes file; 0 for built-in recipes */
};

struct recipe_table {
    atomic_int refs;
    struct recipe *recipes; /* [nrecipes], built-in first, then in the order of the file */
    size_t nrecipes;
    struct expr *brain;        /* of recipe_brain() */
    struct recipe_table *base; /* of a recipe alone: a reference to the table that it is from */
    char **problems; /* [nproblems]; each "FILE:LINE:COLUMN: REASON", then the line and a caret */
    size_t nproblems;
};

/* The built-in recipes and those of `path` (NULL: none). Fails (ENOENT, EACCES, ..., ENOMEM) only
 * where the file cannot be read at all. EPERM: another user than this process's or root owns the
 * file, or everybody may write it, or it has commands and its group may write it; EISDIR, EINVAL:
 * not a regular text file; EFBIG: over 256 KiB. `before` is the table of an earlier reading, or
 * NULL: its recipes that are wrong now stay, each with a problem. */
int recipe_table_load(const char *path, const struct recipe_table *before,
                      struct recipe_table **out, struct error *err) NODISCARD;
struct recipe_table *recipe_table_get(struct recipe_table *t);
void recipe_table_put(struct recipe_table *t); /* NULL is allowed */

/* The mask of numbers, tables and pictures: the recipe of this name, unless that is no mask. NULL: it is
 * wrong. */
#define RECIPE_BRAIN "brain"
const struct expr *recipe_brain(const struct recipe_table *t);

/* The recipe called name[nbytes], of an expression or a command; or NULL. */
const struct recipe *recipe_find(const struct recipe_table *t, const char *name, size_t nbytes);

/* The same for the name in a file's name: NAME, or NAME@PARAMETER=NUMBER,... with some of the
 * parameters in any order; the others keep their defaults. Such a recipe has all of this as its
 * name. *owner is a reference that keeps *out alive: the table, or one of this recipe alone. Where a
 * parameter or value is invalid, the recipe has its defaults, and `wrong` has the reason and the
 * parameters. ENOENT: no such recipe; ENOMEM. */
int recipe_resolve(struct recipe_table *t, const char *name, size_t nbytes,
                   struct recipe_table **owner, const struct recipe **out,
                   struct error *err) NODISCARD;

/* Is it one of the built-in ones, perhaps with other values? */
bool recipe_is_builtin(const struct recipe *recipe);

/* Is its result a series (4-D)? */
bool recipe_is_series(const struct recipe *recipe);
/* Is it a number, for a table? */
bool recipe_is_number(const struct recipe *recipe);

/* "drop=4,detrend=2": the recipe's parameters with their values. malloced; NULL: out of memory. */
char *recipe_params_text(const struct recipe *r) NODISCARD;

#endif
