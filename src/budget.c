/* SPDX-License-Identifier: MIT
 *
 * The memory budget: one atomic counter.
 *
 * It only counts, it orders nothing: whoever hands memory from thread to thread synchronises by
 * other means, so relaxed atomics do. The counter may stand above the limit after budget_force();
 * then nothing more is taken until enough has been given back.
 */
#include "budget.h"

#include <stdatomic.h>
#include <stdlib.h>

struct budget {
    size_t limit_nbytes;
    atomic_size_t used_nbytes;
};

struct budget *budget_new(size_t limit_nbytes)
{
    struct budget *b = malloc(sizeof(*b));
    if (!b)
        return NULL;
    b->limit_nbytes = limit_nbytes;
    atomic_init(&b->used_nbytes, 0);
    return b;
}

void budget_free(struct budget *b)
{
    free(b);
}

size_t budget_limit(const struct budget *b)
{
    return b->limit_nbytes;
}

size_t budget_used(const struct budget *b)
{
    return atomic_load_explicit(&b->used_nbytes, memory_order_relaxed);
}

static bool take_below(struct budget *b, size_t limit, size_t nbytes)
{
    size_t used = budget_used(b);
    do {
        if (used > limit || nbytes > limit - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used_nbytes, &used, used + nbytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool budget_take(struct budget *b, size_t nbytes)
{
    return take_below(b, b->limit_nbytes, nbytes);
}

bool budget_take_spare(struct budget *b, size_t nbytes)
{
    return take_below(b, b->limit_nbytes / 2, nbytes);
}

void budget_force(struct budget *b, size_t nbytes)
{
    atomic_fetch_add_explicit(&b->used_nbytes, nbytes, memory_order_relaxed);
}

void budget_give(struct budget *b, size_t nbytes)
{
    atomic_fetch_sub_explicit(&b->used_nbytes, nbytes, memory_order_relaxed);
}
