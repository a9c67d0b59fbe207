/* SPDX-License-Identifier: MIT
 *
 * A task graph as a text in Graphviz's language DOT, left to right: runs, tasks, file.
 *
 * Of more than DOT_FOLD tasks that do the same to different runs, DOT_FOLD are drawn (first those
 * that are running or have failed) and one node stands for the others; likewise DOT_FOLD_CHUNKS
 * chunks of a 4-D file, which have many edges. Words repeat the meaning of colours.
 * Thread rule: pure functions; the callback is called from within.
 */
#ifndef DERIVFS_DOT_H
#define DERIVFS_DOT_H

#include "graph.h"
#include "task_state.h"

enum { DOT_FOLD = 12, DOT_FOLD_CHUNKS = 4 };

struct dot_request {
    const char *path;            /* of the file */
    const char *array;           /* "float32 (64, 64, 30)" */
    uint64_t nbytes;             /* of the file; 0: unknown */
    struct graph *const *graphs; /* [ngraphs] of its parts, at least one, none of them cut */
    size_t ngraphs;
    size_t nparts;     /* of the file; a text counts those behind ngraphs */
    int64_t part_nvol; /* volumes of a part; 0: the file is one part */
    const char *error; /* why the file failed the last time, or NULL */
    task_status_fn *status;
    void *ctx;
};

/* malloced; NULL: out of memory. */
char *dot_text(const struct dot_request *q) NODISCARD;

#endif
