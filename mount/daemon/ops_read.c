/* SPDX-License-Identifier: MIT
 *
 * Reading.
 *
 * A file that is not computed yet is open with direct_io, so that no read-ahead turns a read of the
 * header into one of voxels. Reads within the header are answered at once; st_blksize, the header's
 * size, keeps the buffered reads of programs within it. All other reads wait for the result and
 * are answered in full: after a short read, the kernel (mmap, sendfile) and programs like tar would
 * fill up with zeros.
 *
 *     op_read -- result there ------------------------ reply
 *        \------ not yet: park(request), answered when its wait ends (parked.c)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "ops_private.h"

/* How often a request may find that the cache lost its bytes between the wait and the reply. */
enum { LOST_MAX = 3 };

/* Answer a read of the node that failed. */
static void fail_read(fuse_req_t req, const struct node *node, const struct error *err)
{
    fuse_reply_err(req, note_access(fuse_req_userdata(req), ERRLOG_CONTENT, node, NULL, err));
}

static void read_source(fuse_req_t req, const struct node *node, int fd, size_t nbytes, off_t off)
{
    char *buf = malloc(nbytes);
    ssize_t n = buf ? fd_pread(fd, buf, nbytes, (uint64_t)off) : -ENOMEM;
    struct error err;

    if (n < 0) {
        /* no program expects ESTALE from a read: the file is open */
        error_set(&err, n == -ESTALE ? EIO : (int)-n, "read at byte %lld: %s", (long long)off,
                  strerrordesc_np((int)-n));
        fail_read(req, node, &err);
    } else {
        note_access(fuse_req_userdata(req), ERRLOG_CONTENT, node, NULL, NULL);
        fuse_reply_buf(req, buf, (size_t)n);
    }
    free(buf);
}

/* May the kernel get the bytes that the reader has handed out? */
static int check_served(struct mount *m, struct node *node, const struct file *f, struct error *err)
{
    return f->stands_in || node_serves(m->inodes, node, reader_info(f->reader).version)
               ? 0
               : error_set(err, EIO, "%s: a source changed while it was read", node_name(node));
}

static int reply_bytes(struct parked *p, struct wait *w, struct error *err)
{
    char *buf = malloc(p->nbytes);
    int ret = buf ? reader_wait_read(w, p->off, buf, p->nbytes, err)
                  : error_set(err, ENOMEM, "out of memory");

    if (ret == 0)
        ret = check_served(p->m, p->node, p->reads, err);
    if (ret == 0)
        fuse_reply_buf(p->req, buf, p->nbytes);
    free(buf);
    if (ret != -EAGAIN || p->nlost == LOST_MAX)
        return ret;
    p->nlost++;
    park(p, reader_wait_again(w, p->off, p->nbytes));
    return 0;
}

/* Reply with bytes that belong to the open file. Sends a copy, because the program may get its
 * answer and close the file before the sending call returns. */
static void reply_copy(fuse_req_t req, const void *bytes, size_t nbytes)
{
    char *copy = malloc(nbytes + 1);

    if (copy)
        fuse_reply_buf(req, memcpy(copy, bytes, nbytes), nbytes);
    else
        fuse_reply_err(req, ENOMEM);
    free(copy);
}

static void read_derived(fuse_req_t req, struct node *node, const struct file *f, size_t nbytes,
                         off_t offset)
{
    struct mount *m = fuse_req_userdata(req);
    struct reader *r = f->reader;
    uint64_t off = (uint64_t)offset, total = reader_info(r).nbytes;
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    size_t got;
    char *buf;

    if (off >= total) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (nbytes > total - off)
        nbytes = (size_t)(total - off);
    buf = malloc(nbytes);
    if (!buf || reader_read(r, off, buf, nbytes, false, &got, &err) < 0 ||
        (got == nbytes && check_served(m, node, f, &err) < 0))
        fail_read(req, node, &err);
    else if (got == nbytes)
        fuse_reply_buf(req, buf, nbytes);
    else
        park(&(struct parked){.req = req,
                              .m = m,
                              .reply = reply_bytes,
                              .node = node,
                              .reads = f,
                              .off = off,
                              .nbytes = nbytes},
             reader_wait_new(r, off, nbytes));
    free(buf);
}

static void read_text(fuse_req_t req, const char *text, size_t len, size_t nbytes, off_t off)
{
    size_t at = (uint64_t)off < len ? (size_t)off : len;

    reply_copy(req, text + at, nbytes < len - at ? nbytes : len - at);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct file *f = file_of(fi);

    atomic_fetch_add(&m->nreads, 1);
    switch (f->kind) {
    case FILE_SOURCE:
        read_source(req, node, f->fd, size, off);
        break;
    case FILE_DERIVED:
        read_derived(req, node, f, size, off);
        break;
    case FILE_TEXT:
        read_text(req, f->text, f->text_nbytes, size, off);
        break;
    case FILE_LISTING:
        fuse_reply_err(req, EISDIR);
        break;
    }
}
