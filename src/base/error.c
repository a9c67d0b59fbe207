/* SPDX-License-Identifier: MIT
 *
 * Errors as values.
 *
 * A text is formatted in a separate buffer before it replaces the error's, so the arguments may
 * include that text. Control characters (a newline in a file name) become "?", so a log line stays
 * one line. Nothing is allocated, so running out of memory can be reported too.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where to cut so that "..." fits and no UTF-8 character is split. */
static size_t cut_at(const char *text)
{
    size_t at = ERROR_TEXT_MAX - sizeof("...");

    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* Format into text[ERROR_TEXT_MAX]. */
static void format(char *text, const char *fmt, va_list args)
{
    int wanted = vsnprintf(text, ERROR_TEXT_MAX, fmt, args);

    if (wanted < 0)
        strcpy(text, "(the reason cannot be formatted)");
    else if (wanted >= ERROR_TEXT_MAX)
        strcpy(text + cut_at(text), "...");

    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

static int set(struct error *err, int code, bool fault, const char *fmt, va_list args)
{
    char text[ERROR_TEXT_MAX];

    if (!err)
        return -code;
    format(text, fmt, args);
    err->code = code;
    err->fault = fault;
    memcpy(err->text, text, sizeof(text));
    return -code;
}

int(error_set)(struct error *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int ret = set(err, code, false, fmt, args);
    va_end(args);
    return ret;
}

int(error_fault)(struct error *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int ret = set(err, code, true, fmt, args);
    va_end(args);
    return ret;
}

int(error_wrap)(struct error *err, int ret, const char *fmt, ...)
{
    if (!err)
        return ret;

    char context[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    format(context, fmt, args);
    va_end(args);
    bool fault = err->fault;
    ret = error_set(err, err->code, "%s: %s", context, err->text);
    err->fault = fault;
    return ret;
}
