/* SPDX-License-Identifier: MIT
 *
 * Errands: a few threads for what takes long because of directories, not because of data.
 *
 * A walk through a dataset waits for its disk again and again; on a thread that answers requests
 * it would hold up all who ask, on one that computes it would leave a core idle. Hides a queue:
 * work_queue start in the order in which they came. Thread rule: any thread.
 */
#ifndef DERIVFS_WORK_QUEUE_H
#define DERIVFS_WORK_QUEUE_H

#include <stdbool.h>

#include "error.h"

struct work_item {
    void (*run)(struct work_item *item); /* may free it */
    struct work_item *prev, *next;       /* the queue's */
};

struct work_queue;

int work_queue_new(unsigned nthreads, struct work_queue **out, struct error *err) NODISCARD;
/* Run what waits still, wait for all, and free. What runs asks work_queue_ending() now and then, so
 * that it ends soon. NULL is allowed. */
void work_queue_free(struct work_queue *e);
bool work_queue_ending(struct work_queue *e);

void work_queue_add(struct work_queue *e, struct work_item *item);
/* Take it back: true where it had not started, and will not. */
bool work_queue_remove(struct work_queue *e, struct work_item *item);

#endif
