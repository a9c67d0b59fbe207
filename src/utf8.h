/* SPDX-License-Identifier: MIT
 *
 * File names are bytes; what is written as JSON or drawn as text must be UTF-8.
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_UTF8_H
#define DERIVFS_UTF8_H

#include <stddef.h>

/* Bytes of the well-formed character that `text` starts with; 0: there is none, nor is it the end.
 */
size_t utf8_char_nbytes(const char *text);

/* Bytes of the longest start of `text` that is well-formed and has at most `most`. */
size_t utf8_fit(const char *text, size_t most);

/* Replace every byte that is not part of a well-formed character, and every control character, by
 * "?". */
void utf8_clean(char *text);

#endif
