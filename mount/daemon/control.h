/* SPDX-License-Identifier: MIT
 *
 * `.derivfs`: the control directory at the root of the mount, which no listing of the root shows.
 *
 * Its files are texts made when they are opened. To add one: one row of the table in control.c.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_CONTROL_H
#define DERIVFS_CONTROL_H

#include "engine.h"

#define CONTROL_DIR ".derivfs"

/* The name of file number `i`, or NULL behind the last. */
const char *control_name(size_t i);

/* Is it the page? That takes a while (page_wait_new), and says what only the mount's owner may
 * read: what is in the runs. */
bool control_is_page(size_t i);

/* The text of file number `i` now, which is not the page: malloced; NULL: out of memory. */
char *control_text(struct engine *e, size_t i) NODISCARD;

#endif
