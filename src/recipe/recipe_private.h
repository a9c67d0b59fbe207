/* SPDX-License-Identifier: MIT
 *
 * Shared by recipe*.c: the built-in recipes, and a recipes file before any expression is parsed:
 * sections, keys, and the place in the file of each byte of a value. Calls go downwards only:
 *
 *     recipe_params.c      NAME@PARAMETER=NUMBER
 *     recipe.c             the table of recipes
 *     recipe_command.c     the commands of a file
 *     recipe_input.c       the inputs of a file
 *     recipe_file.c        a file to sections and keys
 *     recipe_builtin.c     the built-in recipes
 *
 * Thread rule: no shared state; a struct recipe_file belongs to one thread.
 */
#ifndef DERIVFS_RECIPE_PRIVATE_H
#define DERIVFS_RECIPE_PRIVATE_H

#include "recipe.h"

struct recipe_builtin {
    const char *name, *text, *description;
    const char *page; /* this and the next two as in struct recipe */
    bool list, list_runs;
    bool replaceable; /* a file may have a recipe of this name instead */
    struct expr_params params;
};

enum { RECIPE_NBUILTINS = 6 };

extern const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS];

/* The built-in recipe of this name, or NULL. */
const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes);

/* A piece of a value, on one line. */
struct recipe_piece {
    size_t start; /* offset in the value's text */
    size_t line, column;
};

/* A value, which indented lines may continue; a space joins the pieces. */
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

/* The keys beside "param NAME". */
enum recipe_key {
    KEY_EXPR,
    KEY_FILE,
    KEY_KIND,
    KEY_JOIN,
    KEY_DESCRIPTION,
    KEY_LIST,
    KEY_COMMAND,
    KEY_SCOPE,
    KEY_SHELL,
    KEY_TIMEOUT,
    KEY_MEMORY,
    RECIPE_NKEYS
};

struct recipe_section {
    char *name;
    size_t line, column; /* of the name */
    bool command;        /* named like a file */
    bool broken;         /* a problem is recorded: it gives no recipe */
    bool seen;           /* scratch of recipe_command.c */
    struct recipe_value values[RECIPE_NKEYS];
    char *input;                 /* of "file": what it means as an expression; NULL: it has none */
    struct command *parsed;      /* owned until it is in the table; NULL: not (yet) */
    struct recipe_param *params; /* [nparams] */
    struct expr_param *numbers;  /* [nparams] their values, set by recipe.c; names borrowed */
    size_t nparams;
};

struct recipe_file {
    const char *path; /* as in problems; the caller's */
    char *text;       /* [nbytes + 1] */
    size_t nbytes;
    int64_t mtime_ns;
    bool of_group;                   /* its group may write it */
    struct recipe_section *sections; /* in the order of the file */
    size_t nsections;
    bool stray;      /* a problem belongs to no section: an unreadable heading, say */
    char **problems; /* as in struct recipe_table */
    size_t nproblems;
};

/* Read the file and split it. Release *file with recipe_file_clear() also on failure. Mistakes in
 * the file are not failures but problems. */
int recipe_file_read(const char *path, struct recipe_file *file, struct error *err) NODISCARD;
void recipe_file_clear(struct recipe_file *file);

/* Record a problem at a place in the file. -ENOMEM or 0. */
int recipe_file_problem(struct recipe_file *file, size_t line, size_t column, const char *fmt, ...)
    PRINTF_LIKE(4, 5) NODISCARD;

/* The same at byte `at` of a value of the section, or at the section's name where `value` is NULL;
 * the section is broken then. */
int recipe_section_problem(struct recipe_file *file, struct recipe_section *section,
                           const struct recipe_value *value, size_t at, const char *fmt, ...)
    PRINTF_LIKE(5, 6) NODISCARD;

/* The first section of this name, or NULL. */
struct recipe_section *recipe_file_find(const struct recipe_file *file, const char *name,
                                        size_t nbytes);

/* The place in the file of the value's byte `column`, 1-based. */
void recipe_value_place(const struct recipe_value *value, size_t column, size_t *line_out,
                        size_t *column_out);

/* "yes" or "no"; no where the key is missing. -EINVAL. */
int recipe_value_bool(const struct recipe_value *value, bool *out) NODISCARD;

/* The section's expression, however it is given: NULL for a command. */
const char *recipe_section_expr(const struct recipe_section *section);

/* recipe_input.c: make the expression of a section with "file", or a problem. -ENOMEM or 0. */
int recipe_input_check(struct recipe_file *file, struct recipe_section *section) NODISCARD;
/* "alike" or "all"; alike where the key is missing. -EINVAL. */
int recipe_value_join(const struct recipe_value *value, bool *all) NODISCARD;

/* recipe_command.c: parse the file's commands and check the files that they name. -ENOMEM or 0. */
int recipe_commands_check(struct recipe_file *file) NODISCARD;
/* The length of RECIPE where `file` is RECIPE and an ending of the files of expressions; else 0. */
size_t recipe_stem(const char *file);
/* Copy the command of a recipe. -ENOMEM or 0. */
int recipe_copy_command(struct recipe *recipe, const struct recipe *from) NODISCARD;

/* Fill a zeroed recipe from another one, as it is with its defaults. -ENOMEM or 0. */
int recipe_copy(struct recipe *recipe, const char *name, const struct recipe *from) NODISCARD;

/* A table of the recipe `of` of `t` alone, with the values of `name`: NAME@VALUES. -ENOMEM or 0. */
int recipe_instance(struct recipe_table *t, const struct recipe *of, const char *name,
                    struct recipe_table **out) NODISCARD;

/* A table without recipes, with room for `room`; one reference. NULL: out of memory. */
struct recipe_table *recipe_table_new(size_t room) NODISCARD;

#endif
