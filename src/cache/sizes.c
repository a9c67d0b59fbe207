/* SPDX-License-Identifier: MIT
 *
 * A hash table under a lock; at SIZES_MAX entries the oldest goes for each new one.
 */
#include "sizes.h"

#include <pthread.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { SIZES_MAX = 10000 };

struct size {
    struct key key;
    uint64_t nbytes;
    UT_hash_handle hh;
};

struct sizes {
    pthread_mutex_t lock;
    struct size *by_key; /* guarded by lock; in the order of coming */
};

struct sizes *sizes_new(void)
{
    struct sizes *s = calloc(1, sizeof *s);

    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void sizes_free(struct sizes *s)
{
    struct size *one, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->by_key, one, next)
    {
        HASH_DEL(s->by_key, one); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(one);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void sizes_note(struct sizes *s, const struct key *key, uint64_t nbytes)
{
    struct size *fresh = calloc(1, sizeof *fresh), *old;

    if (!fresh)
        return;
    fresh->key = *key;
    fresh->nbytes = nbytes;
    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->by_key, key->hex, KEY_HEX, old);
    if (!old && HASH_COUNT(s->by_key) >= SIZES_MAX)
        old = s->by_key;
    if (old)
        HASH_DEL(s->by_key, old);
    HASH_ADD(hh, s->by_key, key.hex[0], KEY_HEX, fresh);
    if (!fresh->hh.tbl)
        free(fresh);
    pthread_mutex_unlock(&s->lock);
    free(old);
}

bool sizes_find(struct sizes *s, const struct key *key, uint64_t *nbytes)
{
    struct size *found;

    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->by_key, key->hex, KEY_HEX, found);
    if (found)
        *nbytes = found->nbytes;
    pthread_mutex_unlock(&s->lock);
    return found;
}
