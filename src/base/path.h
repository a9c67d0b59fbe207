/* SPDX-License-Identifier: MIT
 *
 * Paths as texts. Thread rule: reentrant.
 */
#ifndef DERIVFS_PATH_H
#define DERIVFS_PATH_H

#include <string.h>

#include "error.h"

/* "DIR/NAME", or NAME where `dir` is "". malloced; NULL: out of memory. */
char *join_path(const char *dir, const char *name) NODISCARD;

/* The last part of a path: within `path`. */
static inline const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

#endif
