/* SPDX-License-Identifier: MIT
 *
 * Shared by dot.c (nodes and edges) and dot_label.c (their content).
 */
#ifndef DERIVFS_DOT_PRIVATE_H
#define DERIVFS_DOT_PRIVATE_H

#include <stdio.h>

/* A table that cannot grow leaves the new item out, with hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "dot.h"

/* A run, or a task. */
struct dot_node {
    const struct run *run;   /* NULL: a task */
    const struct graph *g;   /* of the task */
    const struct task *task; /* in the first graph that has it */
    size_t part;             /* number of that graph */
    bool is_root;            /* of a part */
    struct task_status status;
    size_t fold; /* number of its struct dot_fold */
    bool drawn;  /* or folded */
    UT_hash_handle hh;
};

/* Nodes that do the same to different data. */
struct dot_fold {
    size_t first; /* a node */
    size_t n, ndrawn;
    size_t nstate[TASK_FAILED + 1]; /* of those that are not drawn */
};

/* The statements that every graph starts with: fonts, title, legend. */
void dot_write_head(FILE *f, const struct dot_request *q);
void dot_write_run(FILE *f, size_t id, const struct run *run);
void dot_write_task(FILE *f, size_t id, const struct dot_node *n, const struct dot_request *q);
/* `like` is one of those that were folded. */
void dot_write_fold(FILE *f, size_t id, const struct dot_fold *fold, const struct dot_node *like);
void dot_write_file(FILE *f, size_t id, const struct dot_request *q);

#endif
