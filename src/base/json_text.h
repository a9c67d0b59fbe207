/* SPDX-License-Identifier: MIT
 *
 * JSON as the text of a file. Thread rule: a pure function.
 */
#ifndef DERIVFS_JSON_TEXT_H
#define DERIVFS_JSON_TEXT_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "utf8.h"

/* Indented by two, with a newline at the end, and safe on a terminal; malloced. NULL: `value` is NULL,
 * or out of memory. */
static inline char *json_text(const json_t *value)
{
    char *json = json_dumps(value, JSON_INDENT(2)), *shown = json ? utf8_json_shown(json) : NULL;
    char *text;

    if (!shown || asprintf(&text, "%s\n", shown) < 0)
        text = NULL;
    free(shown);
    free(json);
    return text;
}

#endif
