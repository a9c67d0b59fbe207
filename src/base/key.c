/* SPDX-License-Identifier: MIT
 *
 * Keys by libb2's BLAKE2b.
 *
 * The hash covers a list of (name, value) fields, each part preceded by its length: one byte, or
 * 255 and eight little-endian bytes. So the text can be divided in one way only, the same on any
 * machine, and hosts can share a cache directory. Operation and version are the first two fields.
 * Planning hashes thousands of tasks, so keep the lists short.
 */
#include "key.h"

#include <blake2.h>
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_NBYTES = KEY_HEX / 2 };

/* Fields are gathered, because libb2 takes as long for a short one as for a block. A builder stays
 * under 1 KiB, up to which malloc() is quick. */
enum { GATHERED_NBYTES = 512 };

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

static void put_number(uint8_t out[8], uint64_t number)
{
    uint64_t little = htole64(number);

    memcpy(out, &little, sizeof(little));
}

static void add_part(struct key_builder *b, const void *bytes, size_t nbytes)
{
    uint8_t length[9] = {nbytes < 255 ? (uint8_t)nbytes : 255};
    if (nbytes >= 255)
        put_number(length + 1, nbytes);
    gather(b, length, nbytes < 255 ? 1 : sizeof(length));
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
    key_add_text(b, "operation", operation);
    key_add_numbers(b, "version", (const int64_t[]){version}, 1);
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

void key_add_numbers(struct key_builder *b, const char *name, const int64_t *numbers, size_t n)
{
    uint8_t bytes[8 * KEY_NUMBERS_MAX];
    for (size_t i = 0; i < n; i++)
        put_number(bytes + 8 * i, (uint64_t)numbers[i]);
    key_add(b, name, bytes, 8 * n);
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
