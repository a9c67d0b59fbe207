/* SPDX-License-Identifier: MIT
 *
 * JSON as the text of a file. Thread rule: a pure function.
 */
#ifndef DERIVFS_JSON_TEXT_H
#define DERIVFS_JSON_TEXT_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Indented by two, with a newline at the end; malloced. NULL: `value` is NULL, or out of memory. */
static inline char *json_text(const json_t *value)
{
    char *json = json_dumps(value, JSON_INDENT(2)), *text;

    if (!json || asprintf(&text, "%s\n", json) < 0)
        text = NULL;
    free(json);
    return text;
}

#endif
