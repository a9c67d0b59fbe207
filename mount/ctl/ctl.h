/* SPDX-License-Identifier: MIT
 *
 * derivctl: what its commands share. Single-threaded but for the engine's workers.
 */
#ifndef DERIVFS_CTL_H
#define DERIVFS_CTL_H

#include <jansson.h>

#include "engine.h"
#include "options.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

struct ctl {
    struct options options; /* what the command line says; texts only until resolved */
    bool json, watch, recursive, no_open;
    const char *out; /* -o */
    int npaths;
    char **paths; /* [npaths] operands after the command */
};

/* What a PATH on the command line is about. */
struct target {
    const char *asked;      /* the PATH */
    struct options options; /* resolved: the command line's, else those of the mount */
    struct engine *engine;  /* workers not started */
    char *path;             /* as in the mount, "" for its root */
    json_t *status;         /* status.json of the mount; NULL where nothing is mounted */
    json_t *trace;          /* trace.json of the mount, likewise */
};

/* Find dataset, settings and path in the tree for `path`, which outlives the target. Says on stderr
 * what is wrong (CTL_FAILED, CTL_USAGE). Mistakes in the recipes are told there too. */
int target_open(const struct ctl *ctl, const char *path, struct target *out) NODISCARD;
void target_close(struct target *t);

/* Like engine_derived_status(), but also knows what the mount's daemon is computing and what failed
 * there. */
void target_status(const struct target *t, const struct derived *d, const char *path,
                   struct derived_status *out);

/* The state of one task, from this engine and from the mount's daemon. */
void target_task_status(const struct target *t, const struct key *key, struct task_status *out);

/* Print "derivctl: ...\n" on stderr, so that no name in it commands the terminal (utf8_shown). */
void ctl_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Print "derivctl: PATH: REASON" and return CTL_FAILED. */
int ctl_complain(const char *path, const struct error *err);

/* A part of a line on stdout that has names in it, the newline last or not there: as they are in a
 * pipe or a file, as ctl_say() prints them on a terminal. */
void ctl_print(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Print and free. */
void ctl_print_json(json_t *value);

/* Is target->path a table? */
bool target_is_table(const struct target *t);

/* A derived file with its path in the mount, which ends with its name. */
struct found {
    struct derived *derived;
    char *path;
};

void found_free(struct found *list, size_t n);
/* Add the derived files of `dir` to *list [*n], as engine_list_derived() finds them. */
int found_add(struct engine *e, const char *dir, const char *plain, struct found **list, size_t *n,
              struct error *err) NODISCARD;

/* What a command does with the derived files list[n] that t->asked means. */
typedef int ctl_files_fn(const struct ctl *ctl, const struct target *t, const struct found *list,
                         size_t n);

/* Call `fn` with the derived files that `path` means (itself, those that keep the numbers of a
 * table's rows (engine_each_row), or those listed in the directory) and return what it returns, or
 * say on stderr what is wrong. */
int ctl_with_files(const struct ctl *ctl, const char *path, ctl_files_fn *fn);

/* The directory and the name of a path in the mount. *dir is malloced; *name points into `path`. */
int split_path(const char *path, char **dir, const char **name) NODISCARD;

/* Compute these files, with a progress bar; to `out` where that is not NULL. After a signal
 * (ending.h) tidy up and call ending_raise(): the engine's workers may be at work. */
int ctl_compute_list(const struct target *t, const struct found *list, size_t n, const char *out);

/* What `list --json` says of one file; *status is that of the same moment. */
json_t *ctl_summary_json(const struct target *t, const struct found *f,
                         struct derived_status *status);

int ctl_list(const struct ctl *ctl);
int ctl_explain(const struct ctl *ctl);
int ctl_graph(const struct ctl *ctl);
int ctl_compute(const struct ctl *ctl);
int ctl_view(const struct ctl *ctl);
int ctl_status(const struct ctl *ctl);
int ctl_cache(const struct ctl *ctl);

#endif
