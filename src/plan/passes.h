/* SPDX-License-Identifier: MIT
 *
 * How often a graph reads the data, and why more than once.
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
    unsigned n;           /* over that stretch of volumes that is read most often */
    char **tasks;         /* [ntasks] what reads it, and what it has to wait for; owned */
    size_t ntasks;        /* less than n where a task itself reads it several times */
    uint64_t read_nbytes; /* stored bytes that all tasks read together */
};

int passes_of(const struct graph *g, struct passes *out, struct error *err) NODISCARD;
void passes_free(struct passes *p);

/* Stored bytes that all tasks of `g` read which are to run. */
uint64_t passes_read_nbytes(const struct graph *g);

/* "moments of bold", "gzip-stored": what a task does, in words. malloced; NULL: out of memory. */
char *task_words(const struct task *t) NODISCARD;

#endif
