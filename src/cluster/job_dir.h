/* SPDX-License-Identifier: MIT
 *
 * A job's directory: what the submitter and the workers on other nodes tell each other.
 *
 *     settings    NAME=VALUE: `dataset`, then options of derivfs      written before the job begins
 *     recipes.ini   a copy of the recipes, if there are any
 *     script      runs the worker for an element
 *     N.tasks     OFFSET BYTES NAME_AT PATH: what element N computes
 *     N.state     what its worker says, rewritten as a whole
 *     N.log       what its worker prints
 *
 * N counts from 1. Files are text, a line each; a path has no newline. Thread rule: one thread for
 * each side.
 */
#ifndef DERIVFS_JOB_DIR_H
#define DERIVFS_JOB_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* ---- the submitter's side ---- */

/* Make a directory below `parent` (which is made, too). *out is its path, malloced. */
int job_dir_make(const char *parent, char **out, struct error *err) NODISCARD;
/* Write the script that runs worker[] (until NULL) with directory and number. */
int job_dir_write_script(const char *dir, char *const *worker, struct error *err) NODISCARD;
/* Write a file of it. */
int job_dir_write(const char *dir, const char *name, const char *text, struct error *err) NODISCARD;
/* Copy the file `from` into it as "recipes.ini"; empty if there is none. */
int job_dir_copy_recipes(const char *dir, const char *from, struct error *err) NODISCARD;
/* Remove it with its files. */
void job_dir_remove(const char *dir);
/* Remove those below `parent` in which nothing has happened for an hour after their end, or for a week. */
void job_dir_sweep(const char *parent);

enum { JOB_NODE_MAX = 64 };

/* One N.state. */
struct job_state {
    bool ended;
    uint64_t done_nbytes; /* of the work, read so far */
    double seconds;       /* since its start */
    char node[JOB_NODE_MAX];
};

/* Called for each task that has ended, by its line in N.tasks from 0 on; `failure` is NULL, or says
 * why. */
typedef void job_result_fn(void *ctx, size_t task, const char *failure);

/* False: the worker has said nothing yet. */
bool job_dir_read_state(const char *dir, unsigned n, struct job_state *out, job_result_fn *result,
                        void *ctx);

/* ---- the worker's side ---- */

struct job_task {
    uint64_t off;         /* of the first byte that is wanted */
    uint64_t work_nbytes; /* to read */
    char *path;           /* in the mount */
    size_t name_at;       /* where in it the name begins, which may have a slash */
};

/* tasks[*ntasks] is for job_tasks_free(). */
int job_dir_read_tasks(const char *dir, unsigned n, struct job_task **tasks, size_t *ntasks,
                       struct error *err) NODISCARD;
void job_tasks_free(struct job_task *tasks, size_t n);

/* Call `set` with each line of `settings`; non-zero ends the reading and is its result. */
int job_dir_read_settings(const char *dir,
                          int (*set)(void *ctx, const char *name, const char *value,
                                     struct error *err),
                          void *ctx, struct error *err) NODISCARD;

/* Replace N.state: the state, and the lines of results in `results`. */
int job_dir_write_state(const char *dir, unsigned n, const struct job_state *state,
                        const char *results, struct error *err) NODISCARD;

#endif
