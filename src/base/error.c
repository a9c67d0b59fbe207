/* SPDX-License-Identifier: MIT
 *
 * Errors as values.
 *
 * Texts are formatted into a buffer of their own before they replace what an error says, so that an
 * error may be wrapped with, or set to, words from its own text. What cannot be shown on one line
 * (a newline in a file name) becomes "?", so that a log line stays a line.
 * Cost: one kilobyte of stack and one vsnprintf; nothing is allocated, so running out of memory can
 * be reported like everything else.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where to cut so that "..." fits behind and no UTF-8 character is halved. */
static size_t cut_at(const char *text)
{
    size_t at = ERROR_TEXT_MAX - sizeof("...");

    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* `wanted` is what vsnprintf() returned for `text`, a buffer of ERROR_TEXT_MAX bytes. */
static void finish_text(char *text, int wanted)
{
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

int(error_set)(struct error *err, int code, const char *fmt, ...)
{
    if (!err)
        return -code;

    char text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    finish_text(text, wanted);

    err->code = code;
    memcpy(err->text, text, sizeof(text));
    return -code;
}

int(error_wrap)(struct error *err, int ret, const char *fmt, ...)
{
    if (!err)
        return ret;

    char context[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(context, sizeof(context), fmt, args);
    va_end(args);
    finish_text(context, wanted);
    return error_set(err, err->code, "%s: %s", context, err->text);
}
