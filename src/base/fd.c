/* SPDX-License-Identifier: MIT
 *
 * The loops around read(2), pread(2) and write(2), and openat2(2), which has no wrapper in glibc
 * 2.36.
 */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

/* read(2) where `off` is negative. */
static ssize_t read_all(int fd, unsigned char *buf, size_t nbytes, off_t off)
{
    size_t got = 0;

    while (got < nbytes) {
        ssize_t n = off < 0 ? read(fd, buf + got, nbytes - got)
                            : pread(fd, buf + got, nbytes - got, off + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

ssize_t fd_read(int fd, void *buf, size_t nbytes)
{
    return read_all(fd, buf, nbytes, -1);
}

ssize_t fd_pread(int fd, void *buf, size_t nbytes, uint64_t off)
{
    return off > INT64_MAX ? -EINVAL : read_all(fd, buf, nbytes, (off_t)off);
}

int fd_write(int fd, const void *bytes, size_t nbytes)
{
    const unsigned char *from = bytes;

    while (nbytes > 0) {
        ssize_t n = write(fd, from, nbytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        from += n;
        nbytes -= (size_t)n;
    }
    return 0;
}

/* openat2() fails with EAGAIN when a concurrent rename keeps the kernel from proving that a ".."
 * stayed beneath the root. A retry succeeds; a limit keeps a process that renames for ever from
 * blocking us. */
enum { TRIES_MAX = 64 };

static int open_beneath(int rootfd, const char *path, int flags, uint64_t resolve)
{
    /* openat2() refuses O_PATH together with flags that it would ignore */
    int more = O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY);
    struct open_how how = {
        .flags = (unsigned)(flags | more),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
    };

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return -EAGAIN;
}

bool resolve_is_fault(int ret)
{
    switch (ret) {
    case -ENOENT:
    case -ENOTDIR:
    case -ELOOP:
    case -EXDEV:
    case -ENAMETOOLONG:
    case -EISDIR:
    case -EINVAL:
    case -ENXIO:
    case -EACCES:
    case -EPERM:
        return false;
    default:
        return ret < 0;
    }
}

int resolve_beneath(int rootfd, const char *path, int flags)
{
    return open_beneath(rootfd, path, flags, 0);
}

int resolve_plain(int rootfd, const char *path, int flags)
{
    return open_beneath(rootfd, path, flags, RESOLVE_NO_SYMLINKS);
}
