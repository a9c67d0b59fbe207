/* SPDX-License-Identifier: MIT
 *
 * How a node's open files are served: by passthrough, or by the daemon.
 *
 * The kernel allows one way per node at a time, and one backing file (fs/fuse/iomode.c: the other
 * way fails with EIO at open). So the first open of a node decides, and the decision holds until
 * the last close; all passthrough opens of a node share one backing id. Thread rule: any thread;
 * one lock inside, held across the ioctl that names the backing file, which does no I/O.
 */
#ifndef DERIVFS_IOMODE_H
#define DERIVFS_IOMODE_H

#include <stdbool.h>

struct fuse_session;

/* Part of a node; zero at first. Guarded by the lock of struct iomodes. */
struct node_io {
    unsigned passthrough, served; /* open files of each kind */
    int backing_id;               /* while passthrough > 0 */
};

struct iomodes;

struct iomodes *iomodes_new(void) __attribute__((warn_unused_result)); /* NULL: out of memory */
void iomodes_free(struct iomodes *t);                                  /* NULL is allowed */

/* Before the first open. */
void iomodes_attach(struct iomodes *t, struct fuse_session *se);

/* A file of the node is being opened. `fd` holds exactly its bytes, or is -1 where nothing does
 * (yet). Returns the backing id to answer with, or 0: serve it. */
int iomode_enter(struct iomodes *t, struct node_io *io, int fd);
/* It was closed. */
void iomode_leave(struct iomodes *t, struct node_io *io, bool passthrough);

#endif
