/* SPDX-License-Identifier: MIT
 *
 * Open paths so that no link leads out of the dataset. Thread rule: reentrant.
 */
#ifndef DERIVFS_RESOLVE_BENEATH_H
#define DERIVFS_RESOLVE_BENEATH_H

/* openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS and `flags`; never blocks on a FIFO, never
 * takes a terminal, close-on-exec. Returns the descriptor or -errno. */
int resolve_beneath(int rootfd, const char *path, int flags);

#endif
