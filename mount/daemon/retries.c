/* SPDX-License-Identifier: MIT
 *
 * A slot for each of a few threads, with a hash of the name that it tried to open.
 */
#include "retries.h"

#include <string.h>
#include <xxhash.h>

static _Atomic uint64_t *slot(struct retries *t, pid_t thread)
{
    return &t->refused[(uint32_t)thread % RETRIES_MAX];
}

bool retries_is_second(struct retries *t, pid_t thread, const char *dir, const char *name)
{
    uint64_t place = XXH3_64bits_withSeed(dir, strlen(dir), (uint32_t)thread);
    uint64_t open = XXH3_64bits_withSeed(name, strlen(name), place);

    /* 0: a thread of another namespace */
    if (thread == 0 || atomic_exchange(slot(t, thread), open) != open)
        return false;
    atomic_store(slot(t, thread), 0);
    return true;
}

void retries_forget(struct retries *t, pid_t thread)
{
    atomic_store(slot(t, thread), 0);
}
