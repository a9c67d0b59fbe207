/* SPDX-License-Identifier: MIT
 *
 * Commands: the text of a `command =` split into words, and expanded with paths.
 *
 *     fslstats {tsnr.nii} -r     ->     "fslstats"  {tsnr.nii}  "-r"
 *
 * `{NAME}` is the path of a file, `{runs}` are the paths of all runs, each a word of its own, and
 * `{out}` is a file to write. Quotes and backslashes work as in a shell, but nothing else does:
 * a shell's special characters are refused unless quoted.
 * Thread rule: a struct command is immutable once parsed.
 */
#ifndef DERIVFS_COMMAND_H
#define DERIVFS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum piece_kind { PIECE_TEXT, PIECE_FILE, PIECE_RUNS, PIECE_OUT };

/* Part of a word. */
struct command_piece {
    enum piece_kind kind;
    char *text;  /* TEXT */
    size_t file; /* FILE: index in command->files */
    bool quoted; /* in double quotes */
};

struct command_word {
    struct command_piece *pieces; /* [npieces]; none: the empty word */
    size_t npieces;
};

/* A file named in braces. */
struct command_file {
    char *name;
    size_t column; /* of its first name in the text, 1-based */
    char *place;   /* "FILE:LINE:COLUMN" in the recipes file; NULL: not set yet */
};

struct command {
    bool shell;                 /* words[0] is all of the text, for /bin/sh */
    bool per_run;               /* a file for each run instead of one for each group */
    unsigned timeout_s;         /* how long the program may take */
    uint64_t memory_nbytes;     /* its address space; 0: no limit */
    struct command_word *words; /* [nwords] at least one */
    size_t nwords;
    struct command_file *files; /* [nfiles] each name once */
    size_t nfiles;
    bool uses_runs, uses_out;
};

enum { COMMAND_TIMEOUT_S = 3600 };

/* -EINVAL with a sentence, and its place in the text in *column, 1-based; or -ENOMEM. */
int command_parse(const char *text, bool shell, struct command **out, size_t *column,
                  struct error *err) NODISCARD;
void command_free(struct command *c);

/* The paths of the names for one execution. */
struct command_paths {
    const char *const *files; /* [command->nfiles] */
    const char *const *runs;  /* [nruns] */
    size_t nruns;
    const char *out; /* needed where the command uses it */
};

/* For execve(): both lists end with NULL. */
struct command_line {
    char **argv;
    char **env; /* additions to the environment */
};

/* Paths are never split; a shell gets them as variables, so no character of a path becomes part of
 * the script. -ENOMEM. */
int command_expand(const struct command *c, const struct command_paths *paths,
                   struct command_line *out, struct error *err) NODISCARD;
void command_line_free(struct command_line *line);

#endif
