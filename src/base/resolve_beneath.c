/* SPDX-License-Identifier: MIT
 *
 * openat2(2), which has no wrapper in glibc 2.36.
 *
 * The kernel answers EAGAIN when it cannot prove that a ".." stayed beneath the root because
 * something was renamed at that moment; asking again settles it, and a limit keeps a hostile
 * renamer from holding us.
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
    struct open_how how = {
        .flags = (unsigned)(flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };

    if (flags & O_PATH) /* which openat2() refuses together with flags that it would ignore */
        how.flags = (unsigned)(flags | O_CLOEXEC);
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return -EAGAIN;
}
