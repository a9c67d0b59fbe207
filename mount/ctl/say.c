/* SPDX-License-Identifier: MIT
 *
 * What derivctl prints. Names may have any bytes: they are escaped, for a terminal or a pager.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "json_text.h"
#include "utf8.h"

/* Prints nothing if memory runs out. */
static void print_shown(FILE *f, const char *before, const char *fmt, va_list args,
                        const char *behind)
{
    char *shown = utf8_vshown(fmt, args);

    if (shown)
        fprintf(f, "%s%s%s", before, shown, behind);
    free(shown);
}

int ctl_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown(stderr, "derivctl: ", fmt, args, "\n");
    va_end(args);
    return CTL_FAILED;
}

void ctl_say_lines(const char *text)
{
    const char *before = "derivctl: ";

    for (const char *line = text; *line; before = "") {
        size_t nbytes = strcspn(line, "\n");
        char *copy = strndup(line, nbytes), *shown = copy ? utf8_shown(copy) : NULL;

        fprintf(stderr, "%s%s\n", before, shown ? shown : "out of memory");
        free(shown);
        free(copy);
        line += nbytes + (line[nbytes] == '\n');
    }
}

void ctl_print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown(stdout, "", fmt, args, "");
    va_end(args);
}

void ctl_print_json(json_t *value)
{
    char *text = json_text(value);

    if (text)
        fputs(text, stdout);
    free(text);
    json_decref(value);
}
