/* SPDX-License-Identifier: MIT
 *
 * Keys: the names of tasks and their cache entries.
 *
 * A key is the hash (BLAKE2b, 160 bits, as 40 hex digits) of everything that the result depends on:
 * operation, operation version, parameters, and the keys of the inputs. Two tasks with the same key
 * are the same task; a stale result never has the right key.
 * Thread rule: a key_builder belongs to one thread; struct key is plain memory.
 */
#ifndef DERIVFS_KEY_H
#define DERIVFS_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { KEY_HEX = 40 };

struct key {
    char hex[KEY_HEX + 1]; /* lower case, NUL-terminated */
};

struct key_builder;

/* NULL: out of memory. */
struct key_builder *key_begin(const char *operation, int version) NODISCARD;
/* Add one field. Fields are length-prefixed, so different lists never hash the same bytes. */
void key_add(struct key_builder *b, const char *name, const void *bytes, size_t nbytes);
void key_add_text(struct key_builder *b, const char *name, const char *text);
/* numbers[n], at most KEY_NUMBERS_MAX, as eight little-endian bytes each. */
enum { KEY_NUMBERS_MAX = 8 };
void key_add_numbers(struct key_builder *b, const char *name, const int64_t *numbers, size_t n);
void key_add_key(struct key_builder *b, const char *name, const struct key *key);
/* Write the key and free the builder. */
void key_end(struct key_builder *b, struct key *out);

bool key_equal(const struct key *a, const struct key *b);

#endif
