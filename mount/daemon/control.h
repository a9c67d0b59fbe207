/* SPDX-License-Identifier: MIT
 *
 * `.derivfs`: the control directory at the root of the mount, which listings do not show.
 *
 * Its files are texts, made when they are opened. To add one, add a row to the table in control.c.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_CONTROL_H
#define DERIVFS_CONTROL_H

#include "engine.h"

#define CONTROL_DIR ".derivfs"

/* The name of file `i`; NULL after the last. */
const char *control_name(size_t i);

/* Is it the page? It takes a while (page_wait_new). */
bool control_is_page(size_t i);

/* May everybody read it? The others name files, recipes and failures that only the mount's owner is
 * known to have access to. */
bool control_is_public(size_t i);

/* The text of file `i`, which is not the page. malloced; NULL: out of memory. */
char *control_text(struct engine *e, size_t i) NODISCARD;

#endif
