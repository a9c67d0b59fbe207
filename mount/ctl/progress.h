/* SPDX-License-Identifier: MIT
 *
 * How far the computing of many files is: one bar, whatever they are computed in, and the failures.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_PROGRESS_H
#define DERIVFS_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "status_line.h"

struct progress {
    struct status_line line;
    size_t nfiles;                      /* expected */
    double weight;                      /* the sum of the weights of the expected files */
    size_t ncomputed, ncached, nfailed; /* so far; ncached: they were there before */
    double done_weight;                 /* of these files */
    double saved_weight;                /* of those that were there before */
    int64_t began_ns;
    char **failures; /* [nkept] a line each; fewer than failed if memory ran out */
    size_t nkept;
};

void progress_begin(struct progress *p, size_t nfiles, double weight);

/* Show it if it is time. `under_way`: what is done of the weights of unfinished files. */
void progress_show(struct progress *p, double under_way);

/* A file has failed. Takes the line over, which may be NULL: out of memory. */
void progress_fail(struct progress *p, double weight, char *line);

/* On a terminal, show where it ended. Print the failures, and free them. */
void progress_end(struct progress *p);

#endif
