/* SPDX-License-Identifier: MIT
 *
 * Keys by libb2's BLAKE2b.
 *
 * What is hashed is a list of (name, value) fields, each part preceded by its length as eight
 * little-endian bytes. So the text can be cut up in one way only, on any machine, and a cache
 * directory may be shared between hosts. The operation and its version are simply the first two
 * fields.
 */
#include "key.h"

#include <blake2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_NBYTES = KEY_HEX / 2 };

/* Fields are short, and libb2 takes as long for a short piece as for a block: they are gathered. */
enum { GATHERED_NBYTES = 1024 };

struct key_builder {
    blake2b_state state;
    size_t ngathered;
    uint8_t gathered[GATHERED_NBYTES];
};

static void flush(struct key_builder *b)
{
    if (b->ngathered > 0)
        blake2b_update(&b->state, b->gathered, b->ngathered);
    b->ngathered = 0;
}

static void gather(struct key_builder *b, const void *bytes, size_t nbytes)
{
    if (nbytes > sizeof(b->gathered) - b->ngathered)
        flush(b);
    if (nbytes > sizeof(b->gathered)) {
        blake2b_update(&b->state, bytes, nbytes);
    } else if (nbytes > 0) {
        memcpy(b->gathered + b->ngathered, bytes, nbytes);
        b->ngathered += nbytes;
    }
}

static void add_part(struct key_builder *b, const void *bytes, size_t nbytes)
{
    uint8_t length[8];
    for (size_t i = 0; i < sizeof(length); i++)
        length[i] = (uint8_t)((uint64_t)nbytes >> (8 * i));
    gather(b, length, sizeof(length));
    gather(b, bytes, nbytes);
}

struct key_builder *key_begin(const char *operation, int version)
{
    struct key_builder *b = malloc(sizeof(*b));
    if (!b)
        return NULL;
    if (blake2b_init(&b->state, DIGEST_NBYTES) != 0) {
        free(b);
        return NULL;
    }
    b->ngathered = 0;
    char digits[16];
    snprintf(digits, sizeof(digits), "%d", version);
    key_add_text(b, "operation", operation);
    key_add_text(b, "version", digits);
    return b;
}

void key_add(struct key_builder *b, const char *name, const void *bytes, size_t nbytes)
{
    add_part(b, name, strlen(name));
    add_part(b, bytes, nbytes);
}

void key_add_text(struct key_builder *b, const char *name, const char *text)
{
    key_add(b, name, text, strlen(text));
}

void key_add_key(struct key_builder *b, const char *name, const struct key *key)
{
    key_add(b, name, key->hex, KEY_HEX);
}

void key_end(struct key_builder *b, struct key *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[DIGEST_NBYTES];
    flush(b);
    blake2b_final(&b->state, digest, sizeof(digest));
    for (size_t i = 0; i < sizeof(digest); i++) {
        out->hex[2 * i] = digits[digest[i] >> 4];
        out->hex[2 * i + 1] = digits[digest[i] & 15];
    }
    out->hex[KEY_HEX] = '\0';
    free(b);
}

bool key_equal(const struct key *a, const struct key *b)
{
    return memcmp(a->hex, b->hex, KEY_HEX) == 0;
}
