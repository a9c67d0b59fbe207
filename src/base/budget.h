/* SPDX-License-Identifier: MIT
 *
 * The memory budget: one ceiling for all compute buffers together (option `memory`).
 *
 * It only counts; the caller allocates the bytes. Listeners are called when bytes are given back
 * after budget_take_awaited() has failed. Thread rule: any thread; lock-free except for listeners.
 */
#ifndef DERIVFS_BUDGET_H
#define DERIVFS_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct budget;

struct budget *budget_new(size_t limit_nbytes) NODISCARD; /* NULL: out of memory */
void budget_free(struct budget *b);                       /* NULL is allowed */

size_t budget_limit(const struct budget *b);
size_t budget_used(const struct budget *b);

/* Take `nbytes` if they fit under the limit; never waits. */
bool budget_take(struct budget *b, size_t nbytes) NODISCARD;
/* The same; if it fails, all listeners are called once when bytes are given back. */
bool budget_take_awaited(struct budget *b, size_t nbytes) NODISCARD;
/* The same for optional memory: leaves half of the limit to others. */
bool budget_take_spare(struct budget *b, size_t nbytes) NODISCARD;
/* Take `nbytes` even beyond the limit (the scheduler does so for a lone task). */
void budget_force(struct budget *b, size_t nbytes);
void budget_give(struct budget *b, size_t nbytes);

struct budget_listener {
    /* Called on the thread that gives bytes back, under the budget's own lock; may take. */
    void (*given)(struct budget_listener *listener);
    struct budget_listener *prev, *next; /* the budget's */
};

void budget_listen(struct budget *b, struct budget_listener *listener);
/* After its return the listener is not called. */
void budget_unlisten(struct budget *b, struct budget_listener *listener);

#endif
