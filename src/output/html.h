/* SPDX-License-Identifier: MIT
 *
 * Pieces of HTML. File names are hostile: whatever they are, they stay text within their element or
 * quotes. Thread rule: reentrant.
 */
#ifndef DERIVFS_HTML_H
#define DERIVFS_HTML_H

#include <stddef.h>
#include <stdio.h>

#include "blob.h"
#include "error.h"

/* Any bytes as text, or within double quotes. "?" for what is no character, or controls something. */
void html_text(FILE *f, const char *text);

/* A relative path as a URL, percent-encoded. */
void html_path(FILE *f, const char *path);

/* bytes[n] in base64; of a sequence of calls only the last may have an n that is no multiple of 3. */
void html_base64(FILE *f, const unsigned char *bytes, size_t n);

/* All of a blob in base64. */
int html_blob(FILE *f, const struct blob *b, struct error *err) NODISCARD;

#endif
