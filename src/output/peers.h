/* SPDX-License-Identifier: MIT
 *
 * Runs that are compared with each other: equals in task, echo, acq, space, desc and every other
 * entity but sub, ses, run and dir, and in the suffix. Runs without BIDS names are equals if their
 * names differ in nothing but the number of a run.
 *
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_PEERS_H
#define DERIVFS_PEERS_H

#include <stddef.h>

#include "error.h"
#include "outliers.h"
#include "table.h"

/* The definition in texts for people. */
#define PEERS_DEFINITION                                                                           \
    "runs with the same task, echo, acq, space, desc and other entities but sub, ses, run and dir"

struct peer_group {
    char *name;           /* "task-rest echo-1 bold" */
    struct spread spread; /* of the medians of those that have one */
};

struct peers {
    struct peer_group *groups; /* [n] in the order of their names */
    size_t n;
    size_t *of; /* [nrows] the group of each row; SIZE_MAX: it is no run */
};

/* Group the runs of rows[nrows]. ENOMEM. peers_clear() it after a failure, too. */
int peers_form(const struct table_row *rows, size_t nrows, struct peers *out,
               struct error *err) NODISCARD;
void peers_clear(struct peers *p);

#endif
