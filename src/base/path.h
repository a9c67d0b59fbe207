/* SPDX-License-Identifier: MIT
 *
 * Paths as texts. Thread rule: reentrant.
 */
#ifndef DERIVFS_PATH_H
#define DERIVFS_PATH_H

#include "error.h"

/* "DIR/NAME", or NAME where `dir` is "". malloced; NULL: out of memory. */
char *join_path(const char *dir, const char *name) NODISCARD;

#endif
