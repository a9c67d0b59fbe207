/* SPDX-License-Identifier: MIT
 *
 * Draws a text in DOT with Graphviz's libraries.
 * Thread rule: any thread; Graphviz has global state, so drawings wait for each other.
 */
#ifndef DERIVFS_RENDER_H
#define DERIVFS_RENDER_H

#include <stddef.h>

#include "error.h"

/* Draw in `format`, "svg" or "png". *out is malloced, [*nbytes], followed by a NUL. EIO: Graphviz
 * rejects the text, or lacks its plugins. */
int render(const char *dot, const char *format, char **out, size_t *nbytes,
           struct error *err) NODISCARD;

#endif
