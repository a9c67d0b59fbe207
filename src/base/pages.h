/* SPDX-License-Identifier: MIT
 *
 * Memory for large buffers that are written all over: in huge pages where the kernel has them.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_PAGES_H
#define DERIVFS_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Aligned to 64 bytes at least. NULL: out of memory. */
void *pages_alloc(size_t nbytes) NODISCARD;
/* What pages_alloc(nbytes) has given; NULL is allowed. */
void pages_free(void *p, size_t nbytes);

/* Set so much memory aside for what is allocated from now on, for as long as the process lives. It
 * is not taken from a budget; whoever allocates counts as if it were new. Only the first call sets
 * anything aside. */
void pages_set_aside(size_t nbytes);
/* Touch what of it is not in use. */
void pages_touch(void);
/* Has that been done? */
bool pages_are_touched(void);

/* What it takes where nothing is set aside. SIZE_MAX where that cannot be: no allocation of it
 * succeeds. */
size_t pages_nbytes(size_t nbytes);

#endif
