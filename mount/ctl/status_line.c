/* SPDX-License-Identifier: MIT
 *
 * A shorter text is padded with blanks up to the end of the one before it: that needs no escape
 * sequence. Columns are counted as characters.
 */
#include "status_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl.h"
#include "monotonic.h"
#include "utf8.h"

enum { REDRAW_NS = 100000000, LINE_S = 30 };

/* The environment may ask for other intervals. */
static int64_t interval_ns(void)
{
    const char *given = getenv("DERIVFS_PROGRESS_S");
    char *end;
    double s = given ? strtod(given, &end) : LINE_S;

    return given && (end == given || *end || !(s >= 0 && s < 1e6)) ? LINE_S * INT64_C(1000000000)
                                                                   : (int64_t)(s * 1e9);
}

void status_line_begin(struct status_line *l)
{
    bool terminal = isatty(STDERR_FILENO);

    *l = (struct status_line){.terminal = terminal,
                              .every_ns = terminal ? REDRAW_NS : interval_ns(),
                              .shown_ns = monotonic_ns()};
}

bool status_line_is_due(const struct status_line *l)
{
    return l->every_ns > 0 && monotonic_ns() - l->shown_ns > l->every_ns;
}

int status_line_width(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The bytes of the first `most` characters of a line; *n: how many there are. */
static size_t fitting(const char *text, int most, int *n)
{
    size_t at = 0, one;

    for (*n = 0; *n < most && text[at]; ++*n) {
        one = utf8_char_nbytes(text + at);
        at += one > 0 ? one : 1;
    }
    return at;
}

void status_line_show(struct status_line *l, const char *text)
{
    int before = l->ncolumns;
    size_t nbytes;

    l->shown_ns = monotonic_ns();
    if (!l->terminal) {
        ctl_say("%s", text);
        return;
    }
    /* in the last column some terminals go to the next line */
    nbytes = fitting(text, status_line_width() - 1, &l->ncolumns);
    fprintf(stderr, "\r%.*s%*s", (int)nbytes, text, before > l->ncolumns ? before - l->ncolumns : 0,
            "");
}

void status_line_end(struct status_line *l, bool keep)
{
    if (l->terminal && keep)
        fputc('\n', stderr);
    else if (l->ncolumns > 0)
        fprintf(stderr, "\r%*s\r", l->ncolumns, "");
    l->ncolumns = 0;
}
