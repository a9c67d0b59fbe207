/* SPDX-License-Identifier: MIT
 *
 * Sizes of results that only computing tells, by key. The cache knows those that it keeps; this is
 * for those that it has evicted or never took, so that a file does not change its size back to 0.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_SIZES_H
#define DERIVFS_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "key.h"

struct sizes;

struct sizes *sizes_new(void) NODISCARD; /* NULL: out of memory */
void sizes_free(struct sizes *s);        /* NULL is allowed */

/* Where memory is out the size is forgotten. */
void sizes_note(struct sizes *s, const struct key *key, uint64_t nbytes);
bool sizes_find(struct sizes *s, const struct key *key, uint64_t *nbytes);

#endif
