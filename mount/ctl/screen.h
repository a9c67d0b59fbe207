/* SPDX-License-Identifier: MIT
 *
 * Shows a text repeatedly: in place on a terminal, else one after the other.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_SCREEN_H
#define DERIVFS_SCREEN_H

/* On a terminal that can place its cursor, clear the screen and hide the cursor. screen_end() shows
 * the cursor, and leaves the last text. */
void screen_begin(void);
void screen_end(void);

/* Show `text`, lines with newlines; on a terminal as much as fits. -errno if stdout fails. */
int screen_draw(const char *text);

#endif
