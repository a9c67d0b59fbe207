/* SPDX-License-Identifier: MIT
 *
 * What the files of FUSE operations (ops.c, ops_open.c, ops_read.c, ops_xattr.c) share.
 */
#ifndef DERIVFS_OPS_PRIVATE_H
#define DERIVFS_OPS_PRIVATE_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "control.h"
#include "engine.h"
#include "files.h"
#include "inode.h"
#include "ops.h"
#include "retries.h"

struct mount {
    struct engine *engine;
    struct inodes *inodes;
    struct files files;
    struct iomodes iomodes;
    struct retries retries;
};

/* The errno for the kernel. */
int reply_code(const struct error *err);

static inline struct file *file_of(const struct fuse_file_info *fi)
{
    return (struct file *)(uintptr_t)fi->fh;
}

/* Close the file as a release does. */
void close_file(struct mount *m, struct file *f);

/* A request that is answered when a wait of the engine ends (parked.c), so that no thread of
 * libfuse waits for a task. */
struct parked {
    fuse_req_t req;
    struct mount *m;
    /* Answer the request after a wait that succeeded. If this fails, the caller answers it. */
    int (*reply)(struct parked *p, struct wait *w, struct error *err);
    struct file *file; /* closed if the request fails; NULL: none */
    /* for `reply`; only those that it needs are set */
    struct node *node; /* the kernel keeps it while it opens it */
    struct fuse_file_info fi;
    uint64_t off;
    size_t nbytes;
};

/* Answer p->req when `w` ends, or with EINTR when the request is interrupted. Copies *p, and takes
 * over the reference to `w`, which is not started yet. `w` NULL: answer ENOMEM. */
void park(const struct parked *p, struct wait *w);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
