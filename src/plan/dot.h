/* SPDX-License-Identifier: MIT
 *
 * A task graph as a text in Graphviz's language DOT, left to right: runs, tasks, file.
 *
 * What many runs make alike is folded: of more than DOT_FOLD tasks that do the same to different
 * runs, DOT_FOLD are drawn (first those that are running or have failed) and one node stands for
 * the others; likewise with DOT_FOLD_CHUNKS chunks of a 4-D file, to each of which much leads.
 * Colours are told apart by the colour-blind, and words say the same.
 * Thread rule: pure functions; the callback is called from within.
 */
#ifndef DERIVFS_DOT_H
#define DERIVFS_DOT_H

#include "graph.h"

enum { DOT_FOLD = 12, DOT_FOLD_CHUNKS = 4 };

enum task_state { TASK_TO_DO, TASK_QUEUED, TASK_RUNNING, TASK_CACHED, TASK_FAILED };

struct task_status {
    enum task_state state;
    double percent;  /* TASK_RUNNING: of its work; below 0: unknown */
    int64_t took_ns; /* how long it has taken when it was computed; 0: unknown */
};

typedef void task_status_fn(void *ctx, const struct key *key, struct task_status *out);

struct dot_request {
    const char *path;            /* of the file */
    const char *array;           /* "float32 (64, 64, 30)" */
    uint64_t nbytes;             /* of the file; 0: unknown */
    struct graph *const *graphs; /* [ngraphs] of its parts, at least one, none of them cut */
    size_t ngraphs;
    size_t nparts;     /* of the file; those behind ngraphs are told of in words */
    int64_t part_nvol; /* volumes of a part; 0: the file is one part */
    const char *error; /* why the file failed the last time, or NULL */
    task_status_fn *status;
    void *ctx;
};

/* malloced; NULL: out of memory. */
char *dot_text(const struct dot_request *q) NODISCARD;

const char *task_state_name(enum task_state state); /* "to do", "queued", ... */

#endif
