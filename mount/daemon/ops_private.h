/* SPDX-License-Identifier: MIT
 *
 * What the files of FUSE operations (ops*.c) share.
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
#include "parked.h"
#include "retries.h"

struct mount {
    struct engine *engine;
    struct inodes *inodes;
    struct files files;
    struct iomodes iomodes;
    struct retries retries;
    struct parking parking;
    uint64_t root_dev;  /* the dataset's device */
    unsigned max_read;  /* 0: the kernel's own limit */
    atomic_uint nreads; /* counts reads, to see whether there are some */
    atomic_bool listed; /* a directory has been listed */
};

/* The errno for the kernel. */
int reply_code(const struct error *err);

/* Note a failure of `name` in `node`, or of the node itself with `name` NULL, in .derivfs/errors;
 * with `err` NULL that it works. Returns the errno for the kernel, 0 with `err` NULL. */
int note_access(struct mount *m, enum errlog_kind kind, const struct node *node, const char *name,
                const struct error *err);

/* Find `name` in `parent`, which is `dir`. Returns 0 or the errno for the kernel, which is noted. On success, *out
 * has one more reference, which belongs to the kernel once it has *e. */
int enter_name(struct mount *m, struct node *parent, const struct dir *dir, const char *name,
               struct fuse_entry_param *e, struct node **out) NODISCARD;

/* What has the node's name now, in the directory that the node is in. */
int lookup_node(struct mount *m, const struct node *node, struct entry *out, struct error *err);

static inline struct file *file_of(const struct fuse_file_info *fi)
{
    return (struct file *)(uintptr_t)fi->fh;
}

/* Close the file as a release does. */
void close_file(struct mount *m, struct file *f);

/* The inode number that the mount shows for a source. Its files have one device in common, so those
 * of other devices than the dataset's get numbers of their own: by equal ones, tar and cp would
 * take two files for one. */
uint64_t shown_ino(const struct mount *m, uint64_t dev, uint64_t ino);

/* ESTALE: another file has the node's name now. */
int node_stat(struct mount *m, const struct node *node, struct stat *st,
              struct error *err) NODISCARD;

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
