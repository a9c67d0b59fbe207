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

static uint64_t hash(pid_t thread, const char *dir, const char *name)
{
    uint64_t place = XXH3_64bits_withSeed(dir, strlen(dir), (uint32_t)thread);

    return XXH3_64bits_withSeed(name, strlen(name), place);
}

bool retries_is_second(struct retries *t, pid_t thread, const char *dir, const char *name)
{
    return thread == 0 || atomic_load(slot(t, thread)) == hash(thread, dir, name);
}

void retries_note(struct retries *t, pid_t thread, const char *dir, const char *name)
{
    if (thread != 0)
        atomic_store(slot(t, thread), hash(thread, dir, name));
}

void retries_forget(struct retries *t, pid_t thread)
{
    atomic_store(slot(t, thread), 0);
}
