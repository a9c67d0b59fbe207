/* SPDX-License-Identifier: MIT
 *
 * Where `derivctl compute -o` puts a result. A regular file is written beside its place and
 * renamed: never half a file under its name. Thread rule: one thread.
 */
#ifndef DERIVFS_SINK_H
#define DERIVFS_SINK_H

#include <stdbool.h>
#include <stdio.h>

#include "error.h"

struct sink {
    const char *path; /* NULL: nowhere, what is written is dropped */
    char *temp; /* NULL for a terminal, a pipe, a device: what nothing may be put in place of */
    FILE *f;
};

/* `path` outlives the sink. */
int sink_open(struct sink *sink, const char *path, struct error *err) NODISCARD;
int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err) NODISCARD;
/* Give the file its place, with the rights of a new one, or remove it where it is not complete. */
int sink_close(struct sink *sink, bool complete, struct error *err) NODISCARD;

#endif
