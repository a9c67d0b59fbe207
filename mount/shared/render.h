/* SPDX-License-Identifier: MIT
 *
 * From a text in DOT to a picture, by Graphviz's libraries.
 * Thread rule: any thread; Graphviz keeps its state in globals, so one drawing is made at a time.
 */
#ifndef DERIVFS_RENDER_H
#define DERIVFS_RENDER_H

#include <stddef.h>

#include "error.h"

/* Draw in `format`, "svg" or "png". *out is malloced, [*nbytes], with a NUL behind. EIO: Graphviz
 * does not take the text, or lacks its plugins. */
int render(const char *dot, const char *format, char **out, size_t *nbytes,
           struct error *err) NODISCARD;

#endif
