/* SPDX-License-Identifier: MIT
 *
 * JSON as the text of a file.
 *
 * Thread rule: a pure function.
 */
#ifndef DERIVFS_JSON_TEXT_H
#define DERIVFS_JSON_TEXT_H

#include <jansson.h>

/* Indented by two, with a newline at the end; malloced. NULL: `value` is NULL, or out of memory. */
char *json_text(const json_t *value);

#endif
