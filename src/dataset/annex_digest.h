/* SPDX-License-Identifier: MIT
 *
 * Is a content what its git-annex key says? Thread rule: a digest belongs to one thread.
 */
#ifndef DERIVFS_ANNEX_DIGEST_H
#define DERIVFS_ANNEX_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct annex_digest;

/* NULL: nobody here can tell, as its backend is unknown or no hash; or out of memory. */
struct annex_digest *annex_digest_new(const char *annex_key) NODISCARD;
void annex_digest_add(struct annex_digest *d, const void *bytes, size_t nbytes);
/* Does the key have the hash of what was added? Frees it; false for NULL. */
bool annex_digest_end(struct annex_digest *d);

#endif
