/* SPDX-License-Identifier: MIT
 *
 * Drawing in a process of its own: Graphviz and the libraries below it (GLib, fontconfig) end the
 * process where memory or threads are short. Thread rule: any thread.
 */
#ifndef DERIVFS_DRAW_H
#define DERIVFS_DRAW_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* render() in a child. EIO too: the child was ended, as after DRAW_MAX_S. */
int draw(const char *dot, const char *format, char **out, size_t *nbytes,
         struct error *err) NODISCARD;

/* What this program is started for as that child: the format, from its arguments; else NULL. */
const char *draw_wanted(int argc, char **argv);
/* Draw standard input to standard output. Returns the exit status; the reason of a failure is the
 * output. */
int draw_as_child(const char *format);

#endif
