/* SPDX-License-Identifier: MIT
 *
 * Opening paths so that no link leads out of the dataset. Part of the source layer.
 *
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_RESOLVE_BENEATH_H
#define DERIVFS_RESOLVE_BENEATH_H

/* openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS; never blocks on a FIFO, never takes a
 * terminal, close-on-exec. `flags` are added. Returns the descriptor or -errno. */
int resolve_beneath(int rootfd, const char *path, int flags);

#endif
