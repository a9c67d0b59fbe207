/* SPDX-License-Identifier: MIT
 *
 * A hash under a secret key: XXH3 with 128 bits. Without the key nobody can make two inputs of one
 * hash; with it, anybody can. And a checksum: XXH3 with 64 bits, without a key.
 *
 * Thread rule: reentrant; a state belongs to one thread at a time.
 */
#ifndef DERIVFS_KEYED_HASH_H
#define DERIVFS_KEYED_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { HASH_KEY_NBYTES = 16, HASH_NBYTES = 16 };

/* What a key becomes; outlives the states that use it. */
struct hash_secret {
    unsigned char bytes[192];
};

/* For one kind of processor. */
struct keyed_hash {
    void (*secret)(const unsigned char key[HASH_KEY_NBYTES], struct hash_secret *out);
    void *(*begin)(const struct hash_secret *secret); /* for end(); NULL: out of memory */
    void (*add)(void *state, const void *bytes, size_t nbytes);
    void (*end)(void *state, unsigned char out[HASH_NBYTES]); /* NULL: only free the state */
};

struct xxh3 {
    void *(*begin)(void); /* for free(); NULL: out of memory */
    void (*add)(void *state, const void *bytes, size_t nbytes);
    uint64_t (*value)(const void *state); /* of what was added so far */
    void (*free)(void *state);            /* takes NULL */
};

/* For this processor. All give the same values. */
const struct keyed_hash *keyed_hash(void);
const struct xxh3 *xxh3(void);

#endif
