/* SPDX-License-Identifier: MIT
 *
 * Paths as texts. Thread rule: reentrant.
 */
#ifndef DERIVFS_PATH_H
#define DERIVFS_PATH_H

#include <stdio.h>
#include <string.h>

#include "error.h"

/* "DIR/NAME", or NAME if `dir` is "". malloced; NULL: out of memory. */
static inline NODISCARD char *join_path(const char *dir, const char *name)
{
    char *path;

    return asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0 ? NULL : path;
}

/* The last part of a path: within `path`. */
static inline const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

#endif
