/* SPDX-License-Identifier: MIT
 *
 * The memory budget: one ceiling for all compute buffers together (option `memory`).
 *
 * Only counts; who takes bytes allocates them himself. Who has asked in vain with
 * budget_take_awaited() is told when some are given back. Thread rule: any thread; lock-free but
 * for telling.
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
/* The same; where it fails, all listeners will be told, once, after something was given back. */
bool budget_take_awaited(struct budget *b, size_t nbytes) NODISCARD;
/* The same for what can be done without: half of the limit is left to others. */
bool budget_take_spare(struct budget *b, size_t nbytes) NODISCARD;
/* Take `nbytes` even if that passes the limit (the scheduler does so for a lone task). */
void budget_force(struct budget *b, size_t nbytes);
void budget_give(struct budget *b, size_t nbytes);

struct budget_listener {
    /* Called by whoever gives bytes back, with no more than the budget's own lock; may take. */
    void (*given)(struct budget_listener *listener);
    struct budget_listener *prev, *next; /* the budget's */
};

void budget_listen(struct budget *b, struct budget_listener *listener);
/* From its return on the listener is not called. */
void budget_unlisten(struct budget *b, struct budget_listener *listener);

#endif
