/* SPDX-License-Identifier: MIT
 *
 * What the files of recipe*.c share: the built-in recipes, and a recipes file as it is written,
 * before any expression is parsed: sections, their keys, and where in the file each byte of a value
 * stands. Calls go downwards only:
 *
 *     recipe_params.c      NAME@PARAMETER=NUMBER
 *     recipe.c             the table of recipes
 *     recipe_command.c     the commands of a file
 *     recipe_file.c        a file to sections and keys
 *     recipe_builtin.c     the built-in recipes
 *
 * Thread rule: no shared state; a struct recipe_file belongs to one thread.
 */
#ifndef DERIVFS_RECIPE_PRIV_H
#define DERIVFS_RECIPE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "error.h"
#include "recipe.h"

struct recipe_builtin {
    const char *name, *text, *description;
    const char *page; /* this and list_runs as in struct recipe */
    bool list_runs;
};

enum { RECIPE_NBUILTINS = 3 };

extern const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS];

/* The built-in recipe of this name, or NULL. */
const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes);

/* A piece of a value that stands on one line. */
struct recipe_piece {
    size_t start; /* offset in the value's text */
    size_t line, column;
};

/* A value, which may go on over indented lines; the pieces are joined with a space. */
struct recipe_value {
    char *text; /* NULL: the key is not there */
    struct recipe_piece *pieces;
    size_t npieces;
};

/* param NAME = NUMBER */
struct recipe_param {
    char *name;
    struct recipe_value value;
};

struct recipe_section {
    char *name;
    size_t line, column; /* of the name */
    bool command;        /* named like a file */
    bool broken;         /* a problem is recorded: it gives no recipe */
    bool seen;           /* scratch of recipe_command.c */
    struct recipe_value expr;
    struct recipe_value description;
    struct recipe_value list;
    /* of a command */
    struct recipe_value text, scope, shell, timeout, memory;
    struct command *parsed;      /* owned until it is in the table; NULL: not (yet) */
    struct recipe_param *params; /* [nparams] */
    struct expr_param *numbers;  /* [nparams] of them, set by whoever checks the section; names
                                    borrowed */
    size_t nparams;
};

struct recipe_file {
    const char *path; /* as in problems; the caller's */
    char *text;       /* [nbytes + 1] */
    size_t nbytes;
    int64_t mtime_ns;
    bool of_group;                   /* which may write it */
    struct recipe_section *sections; /* in the order of the file */
    size_t nsections;
    bool stray;      /* some problems belong to no section: a broken heading, say */
    char **problems; /* as in struct recipe_table */
    size_t nproblems;
};

/* Read the file and split it. `*file` is zeroed but for what is filled in; recipe_file_clear() it
 * whatever comes back. Mistakes in the file are not failures but problems. */
int recipe_file_read(const char *path, struct recipe_file *file, struct error *err) NODISCARD;
void recipe_file_clear(struct recipe_file *file);

/* Record what is wrong at a place in the file. -ENOMEM or 0. */
int recipe_file_problem(struct recipe_file *file, size_t line, size_t column, const char *fmt, ...)
    PRINTF_LIKE(4, 5) NODISCARD;

/* The first section of this name, or NULL. */
struct recipe_section *recipe_file_find(const struct recipe_file *file, const char *name,
                                        size_t nbytes);

/* The place in the file of the value's byte `column`, 1-based. */
void recipe_value_place(const struct recipe_value *value, size_t column, size_t *line_out,
                        size_t *column_out);

/* "yes" or "no"; no where the key is not there. -EINVAL. */
int recipe_value_bool(const struct recipe_value *value, bool *out) NODISCARD;

/* recipe_command.c: parse the file's commands and check what they refer to; then add those that are
 * sound to the table, which has room. -ENOMEM or 0. */
int recipe_commands_check(struct recipe_file *file) NODISCARD;
int recipe_commands_add(struct recipe_file *file, struct recipe_table *table) NODISCARD;
/* How much of `file` is the name of the recipe of an expression which would have that file; 0: it
 * has no ending of such files. */
size_t recipe_stem(const char *file);
/* recipe_copy() of a command. */
int recipe_copy_command(struct recipe *recipe, const char *name,
                        const struct recipe *from) NODISCARD;

/* Fill a zeroed recipe from another one, as it is with its defaults. -ENOMEM or 0. */
int recipe_copy(struct recipe *recipe, const char *name, const struct recipe *from) NODISCARD;

#endif
