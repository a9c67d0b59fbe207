/* SPDX-License-Identifier: MIT
 *
 * Private to keyed_hash.c and keyed_hash_avx2.c: the functions of keyed_hash.h by xxhash.h, for
 * whatever processor the including file is compiled.
 */
#ifndef DERIVFS_KEYED_HASH_OF_H
#define DERIVFS_KEYED_HASH_OF_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "keyed_hash.h"

_Static_assert(sizeof(((struct hash_secret *)0)->bytes) >= XXH3_SECRET_SIZE_MIN, "a whole secret");

static void make_secret(const unsigned char key[HASH_KEY_NBYTES], struct hash_secret *out)
{
    XXH3_generateSecret(out->bytes, sizeof out->bytes, key, HASH_KEY_NBYTES);
}

static void *begin(const struct hash_secret *secret)
{
    XXH3_state_t *state = XXH3_createState();

    if (state)
        XXH3_128bits_reset_withSecret(state, secret->bytes, sizeof secret->bytes);
    return state;
}

static void add(void *state, const void *bytes, size_t nbytes)
{
    XXH3_128bits_update(state, bytes, nbytes);
}

static void end(void *state, unsigned char out[HASH_NBYTES])
{
    if (state && out)
        XXH128_canonicalFromHash((XXH128_canonical_t *)out, XXH3_128bits_digest(state));
    XXH3_freeState(state);
}

static void *sum_begin(void)
{
    XXH3_state_t *state = XXH3_createState();

    if (state)
        XXH3_64bits_reset(state);
    return state;
}

static void sum_add(void *state, const void *bytes, size_t nbytes)
{
    XXH3_64bits_update(state, bytes, nbytes);
}

static uint64_t sum_value(const void *state)
{
    return XXH3_64bits_digest(state);
}

static void sum_free(void *state)
{
    XXH3_freeState(state);
}

#endif
