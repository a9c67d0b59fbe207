/* SPDX-License-Identifier: MIT
 *
 * The output file of -o (derivctl compute, graph). A regular file is written under a temporary name and
 * renamed, so it is never incomplete under its own. Thread rule: one thread.
 */
#ifndef DERIVFS_SINK_H
#define DERIVFS_SINK_H

#include <stdbool.h>
#include <stdio.h>

#include "error.h"

struct sink {
    const char *path; /* NULL: drop the bytes */
    char *temp;       /* NULL if `path` is no regular file: a terminal, a pipe, a device, a link */
    FILE *f;
};

/* `path` outlives the sink. */
int sink_open(struct sink *sink, const char *path, struct error *err) NODISCARD;
int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err) NODISCARD;
/* Rename the file, with the permissions of a new one, or remove it if it is not complete. */
int sink_close(struct sink *sink, bool complete, struct error *err) NODISCARD;

/* Open, write bytes[n], close. */
int sink_put(const char *path, const char *bytes, size_t n, struct error *err) NODISCARD;

#endif
