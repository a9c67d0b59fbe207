/* SPDX-License-Identifier: MIT
 *
 * Inside of the source module: opening a file and identifying what was opened.
 *
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_SOURCE_ID_H
#define DERIVFS_SOURCE_ID_H

#include <sys/stat.h>

#include "error.h"
#include "source.h"

/* Open the regular file at `path` and identify it; fails as source_identify() does. */
int source_id_open(int rootfd, int dirfd, const char *path, int *out_fd, struct source_id *out,
                   struct error *err) NODISCARD;

/* What fstat(2) tells of an open file (no annex key, and the rights of the file alone), and its
 * S_IFMT type. */
int source_id_of_fd(int fd, const char *path, struct source_id *out, mode_t *type,
                    struct error *err) NODISCARD;

#endif
