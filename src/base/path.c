/* SPDX-License-Identifier: MIT
 *
 * Paths as texts.
 */
#include "path.h"

#include <stdio.h>

char *join_path(const char *dir, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
        return NULL;
    return path;
}
