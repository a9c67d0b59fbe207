/* SPDX-License-Identifier: MIT
 *
 * The FUSE operations: what the kernel asks, answered from the engine.
 *
 * No operation waits for a task: a read that needs one parks its request, and the finishing task
 * replies from its own thread.
 */
#ifndef DERIVFS_OPS_H
#define DERIVFS_OPS_H

#include <stdbool.h>

#include "engine.h"

struct fuse_lowlevel_ops;
struct fuse_session;
struct mount; /* hides inode table and open files: the userdata of the session */

/* Borrows the engine. NULL: out of memory. */
struct mount *mount_new(struct engine *e) NODISCARD;
/* Before the loop. */
void mount_attach(struct mount *m, struct fuse_session *se);

/* After the loop has ended and the engine is closed. NULL is allowed. */
void mount_free(struct mount *m);

/* Fill `ops`; with `xattr` those for extended attributes too (they make every `ls -l` slower). */
void mount_ops(struct fuse_lowlevel_ops *ops, bool xattr);

/* Close what is still open, so that the engine can be closed. */
void mount_close_files(struct mount *m);

/* From now on, call `quiet` (once, on any thread) when no file is open any more; at once if none.
 */
void mount_drain(struct mount *m, void (*quiet)(void *arg), void *arg);

#endif
