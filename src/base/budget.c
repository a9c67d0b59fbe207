/* SPDX-License-Identifier: MIT
 *
 * The memory budget: one atomic counter.
 *
 * The counter orders nothing: threads that pass memory on synchronise by other means, so relaxed
 * atomics suffice. Only waiting needs more: a thread that waits sets `awaited` and tries again; a
 * thread that gives subtracts and then reads `awaited`. So one of them sees the other. After
 * budget_force() the counter may exceed the limit; then nothing is taken until it falls again.
 */
#include "budget.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <utlist.h>

struct budget {
    size_t limit_nbytes;
    atomic_size_t used_nbytes;
    atomic_bool awaited; /* a budget_take_awaited() has failed */
    pthread_mutex_t lock;
    struct budget_listener *listeners; /* guarded by lock */
};

struct budget *budget_new(size_t limit_nbytes)
{
    struct budget *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->limit_nbytes = limit_nbytes;
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

void budget_free(struct budget *b)
{
    if (b)
        pthread_mutex_destroy(&b->lock);
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

bool budget_take_awaited(struct budget *b, size_t nbytes)
{
    if (budget_take(b, nbytes))
        return true;
    atomic_store(&b->awaited, true);
    atomic_thread_fence(memory_order_seq_cst);
    return budget_take(b, nbytes);
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
    struct budget_listener *listener;

    atomic_fetch_sub(&b->used_nbytes, nbytes);
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&b->awaited, memory_order_relaxed) ||
        !atomic_exchange(&b->awaited, false))
        return;
    pthread_mutex_lock(&b->lock);
    DL_FOREACH(b->listeners, listener)
    listener->given(listener);
    pthread_mutex_unlock(&b->lock);
}

void budget_listen(struct budget *b, struct budget_listener *listener)
{
    pthread_mutex_lock(&b->lock);
    DL_APPEND(b->listeners, listener);
    pthread_mutex_unlock(&b->lock);
}

void budget_unlisten(struct budget *b, struct budget_listener *listener)
{
    pthread_mutex_lock(&b->lock);
    DL_DELETE(b->listeners, listener);
    pthread_mutex_unlock(&b->lock);
}
