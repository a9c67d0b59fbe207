/* SPDX-License-Identifier: MIT
 *
 * Small helpers on texts and paths. Thread rule: reentrant.
 */
#ifndef DERIVFS_TEXT_H
#define DERIVFS_TEXT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Is bytes[nbytes] the text `s`? */
static inline bool text_is(const char *s, const char *bytes, size_t nbytes)
{
    return strncmp(s, bytes, nbytes) == 0 && s[nbytes] == '\0';
}

static inline bool text_starts(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Close `f`, an open_memstream() whose text is *text. Returns the text, which is malloced; NULL,
 * with nothing to free: out of memory. */
static inline char *text_end(FILE *f, char **text)
{
    bool failed = ferror(f) != 0;

    if (fclose(f) == 0 && !failed)
        return *text;
    free(*text);
    return NULL;
}

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
