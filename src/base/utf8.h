/* SPDX-License-Identifier: MIT
 *
 * File names are bytes; what is written as JSON or drawn as text must be UTF-8, and what a terminal
 * is shown must not command it.
 *
 *     words, for people       utf8_clean       what cannot be shown is "?"
 *     names, in JSON          utf8_json        exact: a byte that is no UTF-8 is U+EF00 + byte
 *     lines, on a terminal    utf8_shown       \n, \033, \377, as `ls -b` has it
 *
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_UTF8_H
#define DERIVFS_UTF8_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>

/* Bytes of the well-formed character that `text` starts with; 0: there is none, nor is it the end.
 */
size_t utf8_char_nbytes(const char *text);

/* Bytes of the longest start of `text` that is well-formed and has at most `most`. */
size_t utf8_fit(const char *text, size_t most);

/* The same, but 0 for a control character too: utf8_clean() replaces the byte. */
size_t utf8_clean_nbytes(const char *text);

/* Replace every byte that is not part of a well-formed character, and every control character, by
 * "?". */
void utf8_clean(char *text);

/* Any bytes as a JSON string that tells them exactly: what is not part of a well-formed character
 * is given byte by byte as U+EF80 to U+EFFF (the private characters that MirBSD took for it), and
 * so are the bytes of these characters themselves. NULL: out of memory. */
json_t *utf8_json(const char *text);
/* The bytes that such a string stands for, malloced; NULL: `value` is no string, or out of memory.
 */
char *utf8_of_json(const json_t *value);

/* A line as a terminal may be shown it, malloced: control characters, those that turn the direction
 * of writing, and bytes that are no UTF-8 are escaped. One newline at the end stays. NULL: out of
 * memory. */
char *utf8_shown(const char *line);
/* The same of what vprintf(3) would print. */
char *utf8_vshown(const char *fmt, va_list args);

#endif
