/* SPDX-License-Identifier: MIT
 *
 * As in RFC 3629, overlong forms, surrogates and codes above U+10FFFF are not well-formed.
 */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As utf8_char_nbytes(); *code is the character's, if there is one. */
static size_t decode(const char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = (const unsigned char *)text;
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

    *code = c[0];
    if (n <= 1 || c[0] > 0xf4)
        return c[0] < 0x80 ? 1 : 0;
    *code &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (c[i] & 0x3f);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

size_t utf8_char_nbytes(const char *text)
{
    uint32_t code;

    return decode(text, &code);
}

size_t utf8_fit(const char *text, size_t most)
{
    size_t n = 0, one;

    while (text[n] && (one = utf8_char_nbytes(text + n)) > 0 && n + one <= most)
        n += one;
    return n;
}

/* C0, DEL, C1 (U+009B starts control sequences), and changes of direction. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

size_t utf8_clean_nbytes(const char *text)
{
    uint32_t code;
    size_t n = decode(text, &code);

    return is_control(code) ? 0 : n;
}

void utf8_clean(char *text)
{
    while (*text) {
        size_t n = utf8_clean_nbytes(text);

        if (n == 0)
            *text++ = '?';
        text += n;
    }
}

/* ---- bytes in JSON ---- */

enum { RAW = 0xef00 }; /* U+EF00 + byte */

static bool is_raw(uint32_t code)
{
    return code >= RAW + 0x80 && code <= RAW + 0xff;
}

json_t *utf8_json(const char *text)
{
    char *encoded = malloc(3 * strlen(text) + 1), *to = encoded;
    uint32_t code;
    json_t *value;

    if (!encoded)
        return NULL;
    while (*text) {
        size_t n = decode(text, &code);

        if (n > 0 && !is_raw(code)) {
            to = mempcpy(to, text, n);
            text += n;
            continue;
        }
        code = RAW + (unsigned char)*text++;
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    *to = '\0';
    value = json_string(encoded);
    free(encoded);
    return value;
}

char *utf8_of_json(const json_t *value)
{
    const char *text = json_string_value(value);
    char *bytes = text ? malloc(strlen(text) + 1) : NULL, *to = bytes;

    uint32_t code;

    while (bytes && *text) {
        size_t n = decode(text, &code); /* not 0: jansson has checked the text */

        if (is_raw(code))
            *to++ = (char)(code - RAW);
        else
            to = mempcpy(to, text, n);
        text += n;
    }
    if (bytes)
        *to = '\0';
    return bytes;
}

char *utf8_json_shown(const char *json)
{
    enum { ESCAPE_NBYTES = 6 };
    char *shown = malloc(ESCAPE_NBYTES * strlen(json) + 1), *to = shown;
    uint32_t code;

    while (shown && *json) {
        size_t n = decode(json, &code);

        n = n > 0 ? n : 1;
        if (code >= 0x7f && is_control(code)) /* only within a string */
            to += sprintf(to, "\\u%04x", (unsigned)code);
        else
            to = mempcpy(to, json, n);
        json += n;
    }
    if (shown)
        *to = '\0';
    return shown;
}

/* ---- on a terminal ---- */

static char *escape_byte(char *to, unsigned char byte)
{
    static const char named[] = "abtnvfr"; /* from 7 on */

    if (byte >= '\a' && byte <= '\r')
        return to + sprintf(to, "\\%c", named[byte - '\a']);
    return to + sprintf(to, "\\%03o", byte);
}

char *utf8_shown(const char *line)
{
    char *shown = malloc(4 * strlen(line) + 2), *to = shown;
    uint32_t code;

    while (shown && *line) {
        size_t n = decode(line, &code);

        if ((n > 0 && !is_control(code)) || strcmp(line, "\n") == 0) {
            to = mempcpy(to, line, n);
            line += n;
            continue;
        }
        for (size_t i = 0; i < (n > 0 ? n : 1); i++)
            to = escape_byte(to, (unsigned char)*line++);
    }
    if (shown)
        *to = '\0';
    return shown;
}

char *utf8_vshown(const char *fmt, va_list args)
{
    char *line, *shown;

    if (vasprintf(&line, fmt, args) < 0)
        return NULL;
    shown = utf8_shown(line);
    free(line);
    return shown;
}
