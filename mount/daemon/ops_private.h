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
    struct files *files;
    struct iomodes *iomodes;
    struct retries retries;
};

/* What the kernel is told of a failure. */
int reply_code(const struct error *err);

static inline struct file *file_of(const struct fuse_file_info *fi)
{
    return (struct file *)(uintptr_t)fi->fh;
}

/* What a release does. */
void close_file(struct mount *m, struct file *f);

/* A request that is answered when a wait of the engine is over (parked.c), so that no thread of
 * libfuse waits for a task. */
struct parked {
    fuse_req_t req;
    struct mount *m;
    /* What was waited for is there: answer the request. A failure is answered by the caller. */
    int (*reply)(struct parked *p, struct wait *w, struct error *err);
    struct file *file; /* closed where the request fails; NULL: none */
    /* for `reply`, as it needs them */
    struct node *node; /* the kernel keeps it while it opens it */
    struct fuse_file_info fi;
    uint64_t off;
    size_t nbytes;
};

/* Answer p->req when `w` is over, with EINTR when it is interrupted before. Copies *p, and takes
 * over the reference to `w`, which is not started yet; NULL (no memory) is answered ENOMEM. */
void park(const struct parked *p, struct wait *w);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
