/* SPDX-License-Identifier: MIT
 *
 * Uses the few escape sequences that all current terminals know. Overwrites each line and erases
 * its rest, instead of clearing the screen, so that nothing flickers.
 */
#include "screen.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Is stdout a terminal that can place its cursor? */
static bool is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void screen_begin(void)
{
    if (is_terminal())
        fputs("\033[2J\033[?25l", stdout);
}

void screen_end(void)
{
    if (is_terminal())
        fputs("\033[?25h", stdout);
    fflush(stdout);
}

/* How many bytes of the line fit into `ncolumns`. Counts one column for each UTF-8 character. */
static size_t fitting(const char *line, size_t nbytes, int ncolumns)
{
    size_t i = 0;

    for (int columns = 0; i < nbytes; i++) {
        bool starts = ((unsigned char)line[i] & 0xc0) != 0x80;

        if (starts && columns++ == ncolumns)
            break;
    }
    return i;
}

/* Leaves the cursor on the line below. */
static void draw_in_place(const char *text)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 2 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    fputs("\033[H", stdout);
    for (int row = 0; *text && row < size.ws_row - 1; row++) {
        size_t nbytes = strcspn(text, "\n");

        printf("%.*s\033[K\r\n", (int)fitting(text, nbytes, size.ws_col), text);
        text += nbytes + (text[nbytes] == '\n');
    }
    fputs("\033[J", stdout);
}

int screen_draw(const char *text)
{
    if (is_terminal())
        draw_in_place(text);
    else
        fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : -errno;
}
