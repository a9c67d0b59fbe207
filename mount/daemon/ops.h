/* SPDX-License-Identifier: MIT
 *
 * The FUSE operations, answered from the engine.
 *
 * No operation waits for a task: a read that needs one parks its request, and the finishing task
 * replies from its own thread.
 */
#ifndef DERIVFS_OPS_H
#define DERIVFS_OPS_H

#include <stdbool.h>

#include "engine.h"

struct fuse_args;
struct options;
struct fuse_session;
struct mount; /* inode table and open files: the userdata of the session */

/* Borrows the engine. NULL: out of memory. */
struct mount *mount_new(struct engine *e) NODISCARD;

/* The session with the operations, and with the option xattr those for extended attributes too, which make
 * every `ls -l` slower. NULL: libfuse has logged why. */
struct fuse_session *mount_session_new(struct mount *m, struct fuse_args *args,
                                       const struct options *o) NODISCARD;

/* Closes all open files: to be called between engine_stop() and engine_close(). NULL is allowed. */
void mount_free(struct mount *m);

/* Start the mount's own thread. Returns 0 or -errno. */
int mount_start(struct mount *m) NODISCARD;

struct mount_activity {
    bool reads_wait; /* requests wait for results, other than those of commands */
    bool is_open;    /* files or directories are open */
    unsigned nreads; /* reads so far, counted on from any number */
};

void mount_activity(struct mount *m, struct mount_activity *out);

#endif
