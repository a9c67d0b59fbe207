/* SPDX-License-Identifier: MIT
 *
 * openat2(2), which has no wrapper in glibc 2.36.
 *
 * It fails with EAGAIN when a concurrent rename keeps the kernel from proving that a ".." stayed
 * beneath the root. A retry succeeds; a limit keeps a process that renames for ever from blocking
 * us.
 */
#include "resolve_beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES_MAX = 64 };

int resolve_beneath(int rootfd, const char *path, int flags)
{
    /* openat2() refuses O_PATH together with flags that it would ignore */
    int more = O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY);
    struct open_how how = {
        .flags = (unsigned)(flags | more),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
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
