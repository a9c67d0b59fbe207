/* SPDX-License-Identifier: MIT
 *
 * A work queue: a few threads for work that takes long because of directories, not of data.
 *
 * A walk through a dataset mostly waits for its disk; it would block other requests on a thread
 * that answers them, and idle a core on one that computes. Items start in the order in which they
 * were added. Thread rule: any thread.
 */
#ifndef DERIVFS_WORK_QUEUE_H
#define DERIVFS_WORK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct work_item {
    void (*run)(struct work_item *item); /* may free it */
    struct work_item *prev, *next;       /* the queue's */
};

struct work_queue;

/* Its threads, `nthreads` at most, start with the first items. NULL: out of memory. */
struct work_queue *work_queue_new(unsigned nthreads) NODISCARD;
/* Run the waiting items, wait for all, and free. Items check work_queue_ending() now and then, so
 * that they end soon. NULL is allowed. */
void work_queue_free(struct work_queue *q);
bool work_queue_ending(struct work_queue *q);
/* In an item: wait for `ns`. False: the queue ends. */
bool work_queue_pause(struct work_queue *q, int64_t ns);

/* Runs the item itself where not one thread can start. */
void work_queue_add(struct work_queue *q, struct work_item *item);
/* True: it had not started, and never will. */
bool work_queue_remove(struct work_queue *q, struct work_item *item);

#endif
