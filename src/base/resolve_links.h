/* SPDX-License-Identifier: MIT
 *
 * Open paths through links, and tell where they lead through. Thread rule: reentrant.
 */
#ifndef DERIVFS_RESOLVE_LINKS_H
#define DERIVFS_RESOLVE_LINKS_H

#include "error.h"

/* Called with each directory that links of the file lead into. */
typedef void resolve_passed_fn(void *ctx, int dirfd);

/* The same as resolve_beneath() (fd.h) with O_RDONLY or O_PATH, not O_NOFOLLOW. `dirfd` is the
 * directory of the path's last name, which is taken from there, or -1: the one that the path leads
 * to. If the file is a link, calls `passed` for the directories on its way that are not on the
 * way to its own name: what a user who may open `path` in that directory must be allowed to search,
 * too. -ESTALE: a link, and the path leads to another directory. */
int resolve_links(int rootfd, int dirfd, const char *path, int flags, resolve_passed_fn *passed,
                  void *ctx) NODISCARD;

#endif
