/* SPDX-License-Identifier: MIT
 *
 * Errands: a few threads for what takes long because of directories, not because of data.
 *
 * A walk through a dataset waits for its disk again and again; on a thread that answers requests
 * it would hold up all who ask, on one that computes it would leave a core idle. Hides a queue:
 * errands start in the order in which they came. Thread rule: any thread.
 */
#ifndef DERIVFS_ERRANDS_H
#define DERIVFS_ERRANDS_H

#include <stdbool.h>

#include "error.h"

struct errand {
    void (*run)(struct errand *errand); /* may free it */
    struct errand *prev, *next;         /* the queue's */
};

struct errands;

int errands_new(unsigned nthreads, struct errands **out, struct error *err) NODISCARD;
/* Run what waits still, wait for all, and free. What runs asks errands_ending() now and then, so
 * that it ends soon. NULL is allowed. */
void errands_free(struct errands *e);
bool errands_ending(struct errands *e);

void errands_add(struct errands *e, struct errand *errand);
/* Take it back: true where it had not started, and will not. */
bool errands_remove(struct errands *e, struct errand *errand);

#endif
