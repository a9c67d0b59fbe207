/* SPDX-License-Identifier: MIT
 *
 * Descriptors: read(2), pread(2) and write(2), continued after a short count or a signal; paths
 * opened so that no link leads out of the dataset.
 *
 * Thread rule: reentrant. Nothing is allocated, so they may be called between fork and exec.
 */
#ifndef DERIVFS_FD_H
#define DERIVFS_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* Read `nbytes`, or less at the end of the file. Returns how many, or -errno. */
ssize_t fd_read(int fd, void *buf, size_t nbytes) NODISCARD;

/* The same from byte `off` of the file. */
ssize_t fd_pread(int fd, void *buf, size_t nbytes, uint64_t off) NODISCARD;

/* Write all. Returns 0, or -errno after writing some or none. */
int fd_write(int fd, const void *bytes, size_t nbytes) NODISCARD;

/* openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS and `flags`; never blocks on a FIFO, never
 * takes a terminal, close-on-exec. Returns the descriptor or -errno. */
int resolve_beneath(int rootfd, const char *path, int flags) NODISCARD;

/* Did it fail (`ret`, -errno) without telling anything about the path? A name that is not there, a
 * link that leads nowhere or out, a thing that cannot be opened and missing rights tell something;
 * everything else is a fault of the system. False for what is no failure. */
bool resolve_is_fault(int ret);

/* The same, but -ELOOP if a link is on the way. (With O_PATH and O_NOFOLLOW the file may be one.) */
int resolve_plain(int rootfd, const char *path, int flags) NODISCARD;

#endif
