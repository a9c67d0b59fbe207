/* SPDX-License-Identifier: MIT
 *
 * Arrays that grow by one element at a time.
 *
 *     if (GROW(c->words, c->nwords) < 0)
 *         return out_of_memory(p);
 *     c->words[c->nwords++] = word;
 *
 * The room is not stored: it is the power of two at or above the number of elements, so an append
 * costs O(1) on average and the owner keeps nothing but pointer and count. (utarray.h of uthash
 * stores the room, but ends the program when memory runs out.)
 * Thread rule: an array belongs to one thread while it grows.
 */
#ifndef DERIVFS_GROW_H
#define DERIVFS_GROW_H

#include <stddef.h>

#include "error.h"

/* Make room for element list[n]. The array starts as NULL with n = 0, grows in no other way, and
 * is released with free(). -ENOMEM: the array is as it was. */
#define GROW(list, n) grow(&(list), (n), sizeof *(list))

/* The same, given where the pointer to the array is stored and what an element takes. */
int grow(void *list, size_t n, size_t element_nbytes) NODISCARD;

#endif
