/* SPDX-License-Identifier: MIT
 *
 * Written byte by byte: stdio buffers.
 */
#include "html.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

void html_text(FILE *f, const char *text)
{
    for (size_t n; *text; text += n > 0 ? n : 1) {
        n = utf8_clean_nbytes(text);
        switch (n > 0 ? *text : '?') {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fwrite(n > 0 ? text : "?", 1, n > 0 ? n : 1, f);
        }
    }
}

void html_path(FILE *f, const char *path)
{
    for (; *path; path++)
        if (isascii((unsigned char)*path) &&
            (isalnum((unsigned char)*path) || strchr("-._~/", *path)))
            fputc(*path, f);
        else
            fprintf(f, "%%%02X", (unsigned char)*path);
}

void html_base64(FILE *f, const unsigned char *b, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned group = (unsigned)b[i] << 16 | (left > 1 ? (unsigned)b[i + 1] << 8 : 0) |
                         (left > 2 ? b[i + 2] : 0);

        fputc(digits[group >> 18], f);
        fputc(digits[group >> 12 & 63], f);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', f);
        fputc(left > 2 ? digits[group & 63] : '=', f);
    }
}

int html_blob(FILE *f, const struct blob *b, struct error *err)
{
    enum { STEP_NBYTES = 3 << 14 }; /* whole groups of three */
    uint64_t total = blob_nbytes(b);
    unsigned char *buf = malloc(STEP_NBYTES);
    int ret = buf ? 0 : error_set(err, ENOMEM, "page: out of memory");

    for (uint64_t off = 0; off < total && ret == 0; off += STEP_NBYTES) {
        size_t n = total - off < STEP_NBYTES ? (size_t)(total - off) : STEP_NBYTES;

        ret = blob_read(b, off, buf, n, err);
        if (ret == 0)
            html_base64(f, buf, n);
    }
    free(buf);
    return ret;
}
