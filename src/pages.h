/* SPDX-License-Identifier: MIT
 *
 * Memory for large buffers that are written all over: in huge pages where the kernel has them.
 *
 * Thread rule: any thread.
 */
#ifndef DERIVFS_PAGES_H
#define DERIVFS_PAGES_H

#include <stddef.h>

#include "error.h"

/* Aligned to 64 bytes at least; free(3) it. NULL: out of memory. */
void *pages_alloc(size_t nbytes) NODISCARD;

/* What it really takes. SIZE_MAX where that cannot be: no allocation of it succeeds. */
size_t pages_nbytes(size_t nbytes);

#endif
