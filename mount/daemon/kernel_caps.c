/* SPDX-License-Identifier: MIT
 *
 * Messages to the kernel that bypass libfuse. Their layout: linux/fuse.h; definitions that Debian
 * 12's copy lacks are here, with the values of Linux 6.9.
 *
 * libfuse 3.17 negotiates both features, and its reply to an open has a field for the backing file.
 * For older versions, the session's reads and writes go through here: the request INIT has the
 * kernel's flags, and this file adds flags to its reply. For passthrough, an ioctl registers a
 * descriptor with the kernel, and the reply to OPEN names it.
 */
#include "kernel_caps.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

struct backing_map { /* fuse_backing_map */
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

static atomic_bool can_pass_through, can_map_direct_io;

#ifdef FUSE_CAP_PASSTHROUGH

void kernel_caps_init(struct fuse_conn_info *conn)
{
    unsigned offered = conn->capable & (FUSE_CAP_PASSTHROUGH | FUSE_CAP_DIRECT_IO_ALLOW_MMAP);

    conn->want |= offered;
    conn->max_backing_stack_depth = 1;
    atomic_store(&can_pass_through, offered & FUSE_CAP_PASSTHROUGH);
    atomic_store(&can_map_direct_io, offered & FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
}

int kernel_caps_install(struct fuse_session *se)
{
    (void)se;
    return 0;
}

int kernel_reply_passthrough(struct fuse_req *req, const struct fuse_file_info *fi, int backing_id)
{
    struct fuse_file_info passed = {.fh = fi->fh, .backing_id = backing_id};

    return fuse_reply_open(req, &passed);
}

#else

/* bits 36 and 37 of the INIT flags, so bits 4 and 5 of their upper half */
static const uint32_t DIRECT_IO_ALLOW_MMAP_FLAG2 = 1u << 4;
static const uint32_t PASSTHROUGH_FLAG2 = 1u << 5;
static const uint32_t OPEN_PASSTHROUGH = 1u << 7; /* of fuse_open_out.open_flags */

/* One session per process: libfuse passes no pointer of ours to these calls. The INIT exchange
 * comes first and from one thread; afterwards `init_unique` is 0. */
static atomic_uint_fast64_t init_unique;
static uint32_t offered_flags2;

static ssize_t read_request(int fd, void *buf, size_t nbytes, void *userdata)
{
    ssize_t n = read(fd, buf, nbytes);
    const struct fuse_in_header *in = buf;

    (void)userdata;
    if (n >= (ssize_t)(sizeof *in + sizeof(struct fuse_init_in)) && in->opcode == FUSE_INIT) {
        const struct fuse_init_in *init = (const void *)(in + 1);

        offered_flags2 = init->flags & FUSE_INIT_EXT ? init->flags2 : 0;
        atomic_store(&init_unique, in->unique);
    }
    return n;
}

static void add_capabilities(struct fuse_init_out *init)
{
    /* the first of the words that older headers call unused */
    static const uint32_t max_stack_depth = 1;
    uint32_t wanted = offered_flags2 & (DIRECT_IO_ALLOW_MMAP_FLAG2 | PASSTHROUGH_FLAG2);

    if (wanted == 0)
        return;
    init->flags |= FUSE_INIT_EXT;
    init->flags2 |= wanted;
    if (wanted & DIRECT_IO_ALLOW_MMAP_FLAG2)
        atomic_store(&can_map_direct_io, true);
    if (wanted & PASSTHROUGH_FLAG2) {
        memcpy(&init->unused[0], &max_stack_depth, sizeof max_stack_depth);
        atomic_store(&can_pass_through, true);
    }
}

/* The reply to INIT is a header and a fuse_init_out, in two pieces. */
static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    uint64_t expected = atomic_load(&init_unique);

    (void)userdata;
    if (expected != 0 && out->unique == expected && out->error == 0 && count == 2 &&
        iov[1].iov_len >= sizeof(struct fuse_init_out)) {
        add_capabilities(iov[1].iov_base);
        atomic_store(&init_unique, 0);
    }
    return writev(fd, iov, count);
}

void kernel_caps_init(struct fuse_conn_info *conn)
{
    (void)conn;
}

int kernel_caps_install(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};

    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

int kernel_reply_passthrough(struct fuse_req *req, const struct fuse_file_info *fi, int backing_id)
{
    /* the last word of fuse_open_out was padding before it became the backing id */
    struct fuse_open_out out = {
        .fh = fi->fh, .open_flags = OPEN_PASSTHROUGH, .padding = (uint32_t)backing_id};

    return fuse_reply_buf(req, (const char *)&out, sizeof out);
}

#endif

bool kernel_maps_direct_io(void)
{
    return atomic_load(&can_map_direct_io);
}

int kernel_backing_open(struct fuse_session *se, int fd)
{
    struct backing_map map = {.fd = fd};
    int id;

    if (!atomic_load(&can_pass_through))
        return -EOPNOTSUPP;
    id = ioctl(fuse_session_fd(se), BACKING_OPEN, &map);
    if (id <= 0) {
        /* the process will not get the capability later */
        if (errno == EPERM)
            atomic_store(&can_pass_through, false);
        return -errno;
    }
    return id;
}

void kernel_backing_close(struct fuse_session *se, int backing_id)
{
    uint32_t id = (uint32_t)backing_id;

    (void)ioctl(fuse_session_fd(se), BACKING_CLOSE, &id);
}
