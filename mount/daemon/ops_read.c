/* SPDX-License-Identifier: MIT
 *
 * Reading.
 *
 * A file that is not computed yet is open with direct_io, so that no read-ahead makes a read of the
 * header one of voxels: what lies within the header is answered at once. Everything else waits for
 * the result and gets all that was asked for. A short read would be taken for the end of the file:
 * by the kernel (mmap, sendfile), which fills up with zeros, and by programs like tar, which do the
 * same. That st_blksize is the header's size keeps the buffered reads of programs within it.
 *
 *     op_read -- result there ------------------------ reply
 *        \------ not yet: park(request) -- wait -- finished -- reply, from the worker's thread
 *                                             \--- interrupted: EINTR
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "ops_private.h"

/* A request that waits for its file's result. */
struct parked {
    fuse_req_t req;
    uint64_t off;
    size_t nbytes;
};

static void read_source(fuse_req_t req, int fd, size_t nbytes, off_t off)
{
    char *buf = malloc(nbytes);
    ssize_t n = buf ? fd_pread(fd, buf, nbytes, (uint64_t)off) : -ENOMEM;

    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buf, (size_t)n);
    free(buf);
}

static void finished(void *arg, struct reader_wait *w, const struct error *err)
{
    struct parked *p = arg;
    struct error failure = {.code = ENOMEM};
    char *buf = err ? NULL : malloc(p->nbytes);

    /* Waits for an interrupt callback that is running (it holds the request's lock). Not when this
     * call comes from that very callback, which is what ECANCELED means. */
    if (!err || err->code != ECANCELED)
        fuse_req_interrupt_func(p->req, NULL, NULL);
    if (buf && reader_wait_read(w, p->off, buf, p->nbytes, &failure) == 0)
        fuse_reply_buf(p->req, buf, p->nbytes);
    else
        fuse_reply_err(p->req, reply_code(err ? err : &failure));
    free(buf);
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
    struct reader_wait *w = p ? reader_wait_new(r, off, nbytes, finished, p) : NULL;

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

/* Reply with bytes that belong to the open file: from a copy, because the reader may have its
 * answer and have closed the file while the sending call has yet to return. */
static void reply_copy(fuse_req_t req, const void *bytes, size_t nbytes)
{
    char *copy = malloc(nbytes + 1);

    if (copy)
        fuse_reply_buf(req, memcpy(copy, bytes, nbytes), nbytes);
    else
        fuse_reply_err(req, ENOMEM);
    free(copy);
}

static void read_derived(fuse_req_t req, struct reader *r, size_t nbytes, off_t offset)
{
    uint64_t off = (uint64_t)offset, total = reader_nbytes(r);
    struct error err = {.code = ENOMEM};
    size_t got;
    char *buf;

    if (off >= total) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (nbytes > total - off)
        nbytes = (size_t)(total - off);
    buf = malloc(nbytes);
    if (!buf || reader_read(r, off, buf, nbytes, &got, &err) < 0)
        fuse_reply_err(req, reply_code(&err));
    else if (got == nbytes)
        fuse_reply_buf(req, buf, nbytes);
    else
        park(req, r, off, nbytes);
    free(buf);
}

static void read_text(fuse_req_t req, const char *text, size_t len, size_t nbytes, off_t off)
{
    size_t at = (uint64_t)off < len ? (size_t)off : len;

    reply_copy(req, text + at, nbytes < len - at ? nbytes : len - at);
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
        read_derived(req, f->reader, size, off);
        break;
    case FILE_TEXT:
        read_text(req, f->text, f->text_nbytes, size, off);
        break;
    case FILE_LISTING:
        fuse_reply_err(req, EISDIR);
        break;
    }
}
