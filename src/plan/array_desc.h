/* SPDX-License-Identifier: MIT
 *
 * Array descriptions: type and shape, in numpy's terms, of the data of a run or the result of a
 * task. They follow from headers alone. Axes are (nx, ny, nz[, nvol or planes]).
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_ARRAY_DESC_H
#define DERIVFS_ARRAY_DESC_H

#include "graph.h"

struct array_desc {
    const char *dtype; /* numpy's name */
    int ndim;
    int64_t shape[4], chunks[4]; /* [ndim]; chunks: read or computed at a time; -1: unknown */
};

struct array_desc array_desc_of_run(const struct run *run); /* which is RUN_OK, or an input */
struct array_desc array_desc_of_task(const struct graph *g, const struct task *t);

/* "float32 (64, 64, 30)", with `chunks` followed by " chunks (64, 64, 30)". malloced; NULL: out of
 * memory. */
char *array_desc_text(const struct array_desc *n, bool chunks) NODISCARD;

#endif
