/* SPDX-License-Identifier: MIT
 *
 * One walk over the bytes. Overlong forms, surrogates and what lies behind U+10FFFF are not
 * well-formed, as RFC 3629 has it.
 */
#include "utf8.h"

#include <stdint.h>

size_t utf8_char_nbytes(const char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = (const unsigned char *)text;
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    uint32_t code;

    if (n <= 1 || c[0] > 0xf4)
        return c[0] < 0x80 ? 1 : 0;
    code = c[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

size_t utf8_fit(const char *text, size_t most)
{
    size_t n = 0, one;

    while (text[n] && (one = utf8_char_nbytes(text + n)) > 0 && n + one <= most)
        n += one;
    return n;
}

void utf8_clean(char *text)
{
    while (*text) {
        size_t n = utf8_char_nbytes(text);

        if (n == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) {
            *text++ = '?';
            continue;
        }
        text += n;
    }
}
