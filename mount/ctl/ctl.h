/* SPDX-License-Identifier: MIT
 *
 * derivctl: what its commands share. Single-threaded but for the engine's workers.
 */
#ifndef DERIVFS_CTL_H
#define DERIVFS_CTL_H

#include <jansson.h>
#include <stdio.h>

#include "engine.h"
#include "options.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* Words that an option was given, in several uses or with commas. */
struct words {
    char **at; /* [n] owned */
    size_t n;
};

enum export_level { LEVEL_ALL, LEVEL_PARTICIPANT, LEVEL_GROUP };

struct ctl {
    struct options options; /* from the command line, not resolved */
    bool json, watch, recursive, no_open;
    struct words recipes, participants, sessions; /* labels without "sub-" and "ses-" */
    enum export_level level;
    const char *out; /* -o */
    unsigned with;   /* --with: enum table_with */
    int npaths;
    char **paths; /* [npaths] operands after the command */
};

/* A PATH of the command line. */
struct target {
    const char *asked;      /* the PATH */
    struct options options; /* resolved: the command line's, else those of the mount */
    struct engine *engine;  /* workers not started */
    char *path;             /* as in the mount, "" for its root */
    unsigned with;          /* of the command line */
    json_t *status;         /* status.json of the mount; NULL where nothing is mounted */
    json_t *trace;          /* trace.json of the mount, likewise */
};

/* Find dataset, settings and path in the tree for `path`, which outlives the target. Prints errors,
 * and mistakes in the recipes, on stderr (CTL_FAILED, CTL_USAGE). */
int target_open(const struct ctl *ctl, const char *path, struct target *out) NODISCARD;
void target_close(struct target *t);

/* Like engine_derived_status(), but also knows the state in the mount's daemon. */
void target_status(const struct target *t, const struct derived *d, const char *path,
                   struct derived_status *out);

/* The state of one task, from this engine and from the mount's daemon. */
void target_task_status(const struct target *t, const struct key *key, struct task_status *out);

/* Print "derivctl: ...\n" on stderr, escaped for a terminal (utf8_shown). Returns CTL_FAILED. */
int ctl_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Print a text of several lines likewise; the first one with "derivctl: ". */
void ctl_say_lines(const char *text);

/* Print a part of a line on stdout, escaped like ctl_say(): names exactly are in JSON. Only the last
 * character may be a newline. */
void ctl_print(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Print and free. */
void ctl_print_json(json_t *value);

/* The text of the table t->path: *text [*nbytes] is malloced. The engine is started. */
int ctl_table_text(const struct target *t, char **text, size_t *nbytes,
                   struct error *err) NODISCARD;

/* Is target->path a table? */
bool target_is_table(const struct target *t);

/* A derived file with its path in the mount, which ends with its name. */
struct found {
    struct derived *derived;
    char *path;
};

struct found_list {
    struct found *files; /* [n] */
    size_t n;
};

/* Leaves an empty list. */
void found_free(struct found_list *list);
/* Add the derived files of `dir` as engine_list_derived() finds them. */
int found_add(struct engine *e, const char *dir, const char *plain, struct found_list *list,
              struct error *err) NODISCARD;

/* What a command does with the derived files that t->asked means. */
typedef int ctl_files_fn(const struct ctl *ctl, const struct target *t,
                         const struct found_list *list);

/* Call `fn` with the derived files that `path` means and return its result: the file itself, the
 * files with the numbers of a table's rows (engine_each_row), or those listed in the directory.
 * Prints errors on stderr. */
int ctl_with_files(const struct ctl *ctl, const char *path, ctl_files_fn *fn);

/* The files that t->asked means, as ctl_with_files(): *out is to be freed in any case. Prints errors
 * on stderr. */
int ctl_find_files(const struct target *t, struct found_list *out);

/* Split a path in the mount. *dir is malloced; *name points into `path`. */
int split_path(const char *path, char **dir, const char **name) NODISCARD;

/* Compute these files, with a progress bar; a single one to `out` where that is not NULL. After a signal
 * (ending.h) tidy up and call ending_raise(): the engine's workers may be at work. */
int ctl_compute_list(const struct target *t, const struct found_list *list, const char *out);

/* Wait for a text (table_wait_new(), page_wait_new()), which is malloced, and put `w`. */
int ctl_wait_text(struct wait *w, char **text, size_t *nbytes, struct error *err) NODISCARD;

/* The file's object of `list --json`; *status is from the same moment. */
json_t *ctl_summary_json(const struct target *t, const struct found *f,
                         struct derived_status *status);

/* "not used", "not joined", "warning" ... */
const char *ctl_remark_title(enum remark_kind kind);
bool target_is_dir(const struct target *t);
/* The same; prints an error if it is none. */
int ctl_check_dir(const struct target *t);
/* Print the remarks on the directory or file that `t` means, or add them to `all`; with `sight` say on
 * stderr what was seen if a directory has no runs. Returns their number. */
size_t ctl_show_remarks(const struct target *t, json_t *all, bool sight);
/* Say on stderr why a derived file that `t` means may be missing; with `below` why there are no runs
 * in a directory and those below. */
void ctl_say_why_missing(const struct target *t, bool below);

int ctl_list(const struct ctl *ctl);
int ctl_explain(const struct ctl *ctl);
int ctl_graph(const struct ctl *ctl);
int ctl_compute(const struct ctl *ctl);
int ctl_report(const struct ctl *ctl);
int ctl_export(const struct ctl *ctl);
int ctl_recipes(const struct ctl *ctl);
int ctl_view(const struct ctl *ctl);
int ctl_run(const struct ctl *ctl);
int ctl_status(const struct ctl *ctl);
int ctl_work(const struct ctl *ctl);
int ctl_cache(const struct ctl *ctl);

#endif
