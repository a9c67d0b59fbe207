/* SPDX-License-Identifier: MIT
 *
 * By jansson, whose text has no newline at its end.
 */
#include "json_text.h"

#include <stdio.h>
#include <stdlib.h>

char *json_text(const json_t *value)
{
    char *json = json_dumps(value, JSON_INDENT(2)), *text;

    if (!json || asprintf(&text, "%s\n", json) < 0)
        text = NULL;
    free(json);
    return text;
}
