/* SPDX-License-Identifier: MIT
 *
 * File names are bytes, but JSON and drawn text must be UTF-8, and output must not control the
 * terminal.
 *
 *     words, for people       utf8_clean       "?" for bytes that cannot be shown
 *     names, in JSON          utf8_json        exact: U+EF00 + byte for a byte that is not UTF-8
 *     lines, on a terminal    utf8_shown       \n, \033, \377, as `ls -b`
 *
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_UTF8_H
#define DERIVFS_UTF8_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>

/* The size of the well-formed character at the start of `text`, which may be its NUL; 0: none. */
size_t utf8_char_nbytes(const char *text);

/* The size of the longest well-formed prefix of `text` with at most `most` bytes. */
size_t utf8_fit(const char *text, size_t most);

/* The same, but 0 for a control character too: utf8_clean() replaces the byte. */
size_t utf8_clean_nbytes(const char *text);

/* Replace every byte that is not part of a well-formed character, and every control character, by
 * "?". */
void utf8_clean(char *text);

/* Any bytes as a JSON string, exactly: a byte outside a well-formed character becomes U+EF80 to
 * U+EFFF (private characters, as in MirBSD), and so do the bytes of these characters themselves.
 * NULL: out of memory. */
json_t *utf8_json(const char *text);
/* The bytes of such a string, malloced; NULL: `value` is no string, or out of memory. */
char *utf8_of_json(const json_t *value);

/* The same JSON, with the characters as \uXXXX that a terminal would obey and that JSON does not
 * escape. malloced; NULL: out of memory. */
char *utf8_json_shown(const char *json);

/* A line that is safe on a terminal, malloced: escapes control characters, those that change the
 * direction of writing, and bytes that are not UTF-8; keeps one newline at the end. NULL: out of
 * memory. */
char *utf8_shown(const char *line);
/* The same for the output of vprintf(3). */
char *utf8_vshown(const char *fmt, va_list args);

#endif
