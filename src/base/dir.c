/* SPDX-License-Identifier: MIT */
#include "dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

int dir_enter(int rootfd, const struct dir *d)
{
    struct stat st;
    int fd, code = 0;

    if (d->is_open)
        return d->fd;
    fd = resolve_beneath(rootfd, *d->path ? d->path : ".", O_PATH | O_DIRECTORY);
    if (fd < 0 || d->ino == 0)
        return fd;
    if (fstat(fd, &st) < 0)
        code = errno;
    else if (st.st_dev != d->dev || st.st_ino != d->ino)
        code = ESTALE;
    if (code == 0)
        return fd;
    close(fd);
    return -code;
}

void dir_leave(const struct dir *d, int fd)
{
    if (!d->is_open)
        close(fd);
}
