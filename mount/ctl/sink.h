/* SPDX-License-Identifier: MIT
 *
 * A file to write: that of -o, or one of an export. A regular file is written under a temporary name
 * and renamed, so it is never incomplete under its own. "-" is standard output. Errors begin with
 * the path. Thread rule: one thread.
 */
#ifndef DERIVFS_SINK_H
#define DERIVFS_SINK_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "error.h"

struct sink {
    const char *path; /* NULL: drop the bytes */
    char *temp;       /* NULL if `path` is no regular file: a terminal, a pipe, a device, a link */
    FILE *f;
};

/* `path` outlives the sink. */
int sink_open(struct sink *sink, const char *path, struct error *err) NODISCARD;
int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err) NODISCARD;
/* Rename the file, with the permissions of a new one, or remove it if it is not complete. `mtime`:
 * its time of modification; NULL: now. */
int sink_close(struct sink *sink, bool complete, const struct timespec *mtime,
               struct error *err) NODISCARD;

/* Open, write bytes[n], close. */
int sink_put(const char *path, const char *bytes, size_t n, struct error *err) NODISCARD;

#endif
