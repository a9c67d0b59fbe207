/* SPDX-License-Identifier: MIT
 *
 * How often a graph reads the data, and by which tasks.
 *
 *     zscore(bold)    1. moments of bold
 *                     2. chunk of zscore(bold), after mean(bold), std(bold)
 *
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_PASSES_H
#define DERIVFS_PASSES_H

#include "graph.h"

struct passes {
    unsigned n;           /* passes over the volumes that are read most often */
    char **tasks;         /* [ntasks] which tasks read these, and after which others; owned */
    size_t ntasks;        /* less than n where a task reads them several times */
    uint64_t read_nbytes; /* stored bytes that all tasks read together */
};

int passes_of(const struct graph *g, struct passes *out, struct error *err) NODISCARD;
void passes_free(struct passes *p);

/* Stored bytes that the tasks of `g` that are to run read. */
uint64_t passes_read_nbytes(const struct graph *g);

/* "moments of bold", "gzip-stored": what a task does, in words. malloced; NULL: out of memory. */
char *task_words(const struct task *t) NODISCARD;

#endif
