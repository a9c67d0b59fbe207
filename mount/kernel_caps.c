/* SPDX-License-Identifier: MIT
 *
 * libfuse 3.14 knows no FUSE_DIRECT_IO_ALLOW_MMAP (Linux 6.6), without which a file opened with
 * direct_io cannot be mapped MAP_SHARED: what viewers do. So the session's writes go through here,
 * and the first one, the reply to INIT, gets the flag if the kernel offered it in the request.
 * Layout of the messages: linux/fuse.h, protocol 7.36 and later.
 */
#include "kernel_caps.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

/* linux/fuse.h of Linux 6.6 and later; bit 36 of the flags, so bit 4 of their upper half */
static const uint32_t DIRECT_IO_ALLOW_MMAP_FLAG2 = 1u << 4;

/* One session a process: libfuse hands no pointer of ours to these calls. The INIT exchange comes
 * first and from one thread; afterwards `init_unique` is 0. */
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

/* The reply to INIT is a header and a fuse_init_out, in two pieces. */
static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    uint64_t expected = atomic_load(&init_unique);

    (void)userdata;
    if (expected != 0 && out->unique == expected && out->error == 0 && count == 2 &&
        iov[1].iov_len >= sizeof(struct fuse_init_out)) {
        struct fuse_init_out *init = iov[1].iov_base;

        if (offered_flags2 & DIRECT_IO_ALLOW_MMAP_FLAG2) {
            init->flags |= FUSE_INIT_EXT;
            init->flags2 |= DIRECT_IO_ALLOW_MMAP_FLAG2;
        }
        atomic_store(&init_unique, 0);
    }
    return writev(fd, iov, count);
}

int kernel_caps_install(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};

    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
