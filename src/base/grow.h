/* SPDX-License-Identifier: MIT
 *
 * Arrays that grow by one element at a time.
 *
 *     if (GROW(c->words, c->nwords) < 0)
 *         return out_of_memory(p);
 *     c->words[c->nwords++] = word;
 *
 * The capacity is not stored: it is the power of two at or above the number of elements, so an
 * append costs O(1) on average. (utarray.h of uthash ends the program when memory runs out.)
 * Thread rule: an array belongs to one thread while it grows.
 */
#ifndef DERIVFS_GROW_H
#define DERIVFS_GROW_H

#include <stddef.h>

#include "error.h"

/* Make room for element list[n]. The array starts as NULL with n = 0, grows only by this, and is
 * released with free(). -ENOMEM: the array is unchanged. */
#define GROW(list, n) grow(&(list), (n), sizeof *(list))

/* The same; `list` points to the pointer to the array. */
int grow(void *list, size_t n, size_t element_nbytes) NODISCARD;

#endif
