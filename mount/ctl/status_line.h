/* SPDX-License-Identifier: MIT
 *
 * One line on stderr that says how far something is: redrawn in place on a terminal, else a line
 * every 30 s (DERIVFS_PROGRESS_S). Thread rule: one thread.
 */
#ifndef DERIVFS_STATUS_LINE_H
#define DERIVFS_STATUS_LINE_H

#include <stdbool.h>
#include <stdint.h>

struct status_line {
    bool terminal;
    int64_t every_ns; /* between two lines; 0: never */
    int64_t shown_ns; /* CLOCK_MONOTONIC of the last one, or of the beginning */
    int ncolumns;     /* shown on the terminal now */
};

void status_line_begin(struct status_line *l);

/* Is it time for a new text? */
bool status_line_is_due(const struct status_line *l);

/* Show `text`; on a terminal as much as fits. */
void status_line_show(struct status_line *l, const char *text);

/* On a terminal, erase the text, or leave it (`keep`) and go to the next line. */
void status_line_end(struct status_line *l, bool keep);

/* Columns of the terminal; 80 if unknown. */
int status_line_width(void);

#endif
