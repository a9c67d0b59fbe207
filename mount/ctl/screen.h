/* SPDX-License-Identifier: MIT
 *
 * A text that is drawn again and again: in place on a terminal, one after the other elsewhere.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_SCREEN_H
#define DERIVFS_SCREEN_H

/* On a terminal that can place its cursor: an empty screen without a cursor; screen_end() leaves
 * what was drawn last. */
void screen_begin(void);
void screen_end(void);

/* Show `text`, lines ended by newlines; on a terminal what fits of it. -errno where stdout fails.
 */
int screen_draw(const char *text);

#endif
