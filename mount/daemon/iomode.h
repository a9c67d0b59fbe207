/* SPDX-License-Identifier: MIT
 *
 * How a node's open files are served: by passthrough, or by the daemon.
 *
 * The kernel allows one way and one backing file per node at a time (fs/fuse/iomode.c: another open
 * fails with EIO). So the first open of a node decides until the last close, and all passthrough
 * opens of a node share a backing id. Thread rule: any thread; one lock inside, held during the
 * ioctl that registers the backing file, which does no I/O.
 */
#ifndef DERIVFS_IOMODE_H
#define DERIVFS_IOMODE_H

#include <pthread.h>
#include <stdbool.h>

struct fuse_session;

/* Part of a node; zero at first. Guarded by the lock of struct iomodes. */
struct node_io {
    unsigned passthrough, served; /* open files of each kind */
    int backing_id;               /* while passthrough > 0 */
};

struct iomodes {
    pthread_mutex_t lock;
    struct fuse_session *session; /* set before the first open */
};

/* Count a file of the node that is being opened. `fd` holds exactly its bytes; -1: no file does.
 * Returns the backing id for the reply; 0: the daemon serves the file. */
int iomode_enter(struct iomodes *t, struct node_io *io, int fd);
/* Count its close. */
void iomode_leave(struct iomodes *t, struct node_io *io, bool passthrough);

#endif
