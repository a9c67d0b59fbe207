/* SPDX-License-Identifier: MIT
 *
 * Opening and reading.
 *
 * A derived file is opened in one of two ways. Is its result there, the kernel's page cache holds
 * it like any other file's. Is it not, the file is opened with direct_io, which lets a read end at
 * the header: read(2) of a program that only wants the header gets just that at once, and
 * its next read goes on behind them and starts the computation. A read that the kernel does for the
 * page cache (mmap, sendfile) must never be short, since the kernel would take that for the end of
 * the file and fill up with zeros; it is told from a program's own read by the missing lock owner.
 *
 *     op_read -- result there ------------------------ reply
 *        \------ not yet: park(request) -- wait -- finished -- reply, from the worker's thread
 *                                             \--- interrupted: EINTR
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops_private.h"

/* A request that waits for its file's result. */
struct parked {
    fuse_req_t req;
    uint64_t off;
    size_t nbytes;
};

static int open_source(struct mount *m, struct node *node, struct fuse_file_info *fi,
                       struct error *err)
{
    struct node_identity id = {.kind = NODE_SOURCE};
    struct file *f = files_open(m->files, FILE_SOURCE);
    char *path = node_path(m->inodes, node);
    struct stat st;
    int ret;

    ret = f && path ? engine_open_source(m->engine, path, &f->fd, err)
                    : error_set(err, ENOMEM, "out of memory");
    if (ret == 0 && fstat(f->fd, &st) < 0)
        ret = error_set(err, errno, "%s: fstat failed", path);
    free(path);
    id.a = ret == 0 ? st.st_dev : 0;
    id.b = ret == 0 ? st.st_ino : 0;
    /* the name may be another file's by now, whose bytes must not get into this node's page cache
     */
    if (ret == 0 && !node_is(node, &id))
        ret = error_set(err, ESTALE, "%s was replaced", node_name(node));
    if (ret < 0) {
        if (f)
            files_close(m->files, f);
        return ret;
    }
    fi->keep_cache = node_same_bytes(
        m->inodes, node, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec, st.st_size);
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

static int open_derived(struct mount *m, struct node *node, struct fuse_file_info *fi,
                        struct error *err)
{
    struct file *f = files_open(m->files, FILE_DERIVED);
    char *dir = node_parent_path(m->inodes, node);
    int ret;

    ret = f && dir ? reader_open(m->engine, dir, node_name(node), &f->reader, err)
                   : error_set(err, ENOMEM, "out of memory");
    free(dir);
    if (ret == 0 && reader_version(f->reader) != node_number(node))
        ret = error_set(err, ESTALE, "the sources of %s have changed", node_name(node));
    if (ret < 0) {
        if (f)
            files_close(m->files, f);
        return ret;
    }
    if (reader_blob(f->reader))
        fi->keep_cache = 1; /* a node is one version: what is cached of it stays right */
    else
        fi->direct_io = 1;
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

static int open_control(struct mount *m, struct node *node, struct fuse_file_info *fi,
                        struct error *err)
{
    struct file *f = files_open(m->files, FILE_TEXT);

    if (f)
        f->text = control_text(m->engine, node_number(node));
    if (!f || !f->text) {
        if (f)
            files_close(m->files, f);
        return error_set(err, ENOMEM, "out of memory");
    }
    fi->direct_io = 1; /* the text's length is known only now */
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct error err = {.code = EIO};
    int ret = -EIO;

    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
        fuse_reply_err(req, EROFS);
        return;
    }
    switch (node_kind(node)) {
    case NODE_SOURCE:
        ret = open_source(m, node, fi, &err);
        break;
    case NODE_DERIVED:
        ret = open_derived(m, node, fi, &err);
        break;
    case NODE_CONTROL:
        ret = open_control(m, node, fi, &err);
        break;
    case NODE_DIR:
    case NODE_CONTROL_DIR:
        break; /* opened by opendir only */
    }
    if (ret < 0)
        fuse_reply_err(req, reply_code(&err));
    else if (fuse_reply_open(req, fi) != 0)
        files_close(m->files, file_of(fi)); /* the opener was interrupted: there is no release */
}

static void read_source(fuse_req_t req, int fd, size_t nbytes, off_t off)
{
    char *buf = malloc(nbytes);
    size_t got = 0;

    while (buf && got < nbytes) {
        ssize_t n = pread(fd, buf + got, nbytes - got, off + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fuse_reply_err(req, errno);
            free(buf);
            return;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (buf)
        fuse_reply_buf(req, buf, got);
    else
        fuse_reply_err(req, ENOMEM);
    free(buf);
}

/* [off, off + nbytes) lies within the blob. */
static void reply_blob(fuse_req_t req, const struct blob *blob, uint64_t off, size_t nbytes)
{
    char *buf = malloc(nbytes);
    struct error err = {.code = ENOMEM};

    if (buf && blob_read(blob, off, buf, nbytes, &err) == 0)
        fuse_reply_buf(req, buf, nbytes);
    else
        fuse_reply_err(req, reply_code(&err));
    free(buf);
}

static void finished(void *arg, struct blob *result, const struct error *err)
{
    struct parked *p = arg;

    /* Waits for an interrupt callback that is running (it holds the request's lock). Not when this
     * call comes from that very callback, which is what ECANCELED means. */
    if (!err || err->code != ECANCELED)
        fuse_req_interrupt_func(p->req, NULL, NULL);
    if (result)
        reply_blob(p->req, result, p->off, p->nbytes);
    else
        fuse_reply_err(p->req, reply_code(err));
    free(p);
}

static void interrupted(fuse_req_t req, void *arg)
{
    (void)req;
    reader_wait_cancel(arg);
}

static void park(fuse_req_t req, struct reader *r, uint64_t off, size_t nbytes)
{
    struct parked *p = malloc(sizeof *p);
    struct reader_wait *w = p ? reader_wait_new(r, finished, p) : NULL;

    if (!w) {
        free(p);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *p = (struct parked){req, off, nbytes};
    /* before the start: afterwards the request may be answered and gone at any time */
    fuse_req_interrupt_func(req, interrupted, w);
    reader_wait_start(w);
    reader_wait_put(w);
}

static void read_derived(fuse_req_t req, struct reader *r, size_t nbytes, off_t offset,
                         const struct fuse_file_info *fi)
{
    uint64_t off = (uint64_t)offset, total = reader_nbytes(r);
    struct blob *blob = reader_blob(r);
    const unsigned char *head;
    size_t nhead = reader_head(r, &head);
    bool may_be_short = fi->lock_owner != 0; /* a program's own read with direct_io */

    if (off >= total) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (nbytes > total - off)
        nbytes = (size_t)(total - off);
    if (blob)
        reply_blob(req, blob, off, nbytes);
    else if (off + nbytes <= nhead)
        fuse_reply_buf(req, (const char *)head + off, nbytes);
    else if (off < nhead && may_be_short)
        fuse_reply_buf(req, (const char *)head + off, nhead - (size_t)off);
    else
        park(req, r, off, nbytes);
}

static void read_text(fuse_req_t req, const char *text, size_t nbytes, off_t off)
{
    size_t len = strlen(text), at = (uint64_t)off < len ? (size_t)off : len;

    fuse_reply_buf(req, text + at, nbytes < len - at ? nbytes : len - at);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct file *f = file_of(fi);

    (void)ino;
    switch (f->kind) {
    case FILE_SOURCE:
        read_source(req, f->fd, size, off);
        break;
    case FILE_DERIVED:
        read_derived(req, f->reader, size, off, fi);
        break;
    case FILE_TEXT:
        read_text(req, f->text, size, off);
        break;
    case FILE_LISTING:
        fuse_reply_err(req, EISDIR);
        break;
    }
}
