/* SPDX-License-Identifier: MIT
 *
 * The private directories that programs run in.
 *
 * The process that makes one holds a lock (flock(2)) on it until its removal. The lock ends with
 * the process, however it ends; so an unlocked directory was left behind, and the next daemon
 * removes it. It may also remove one that was made and not yet locked: after locking, the maker
 * checks that the directory still exists, or makes another. Without file locks nothing is swept.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

enum { TRIES_MAX = 16, RANDOM_NBYTES = 6 };

static const char prefix[] = "derivfs-command-";

static const char *parent_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    return tmp && tmp[0] == '/' ? tmp : "/tmp";
}

static int open_dir(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Lock a new directory. False: another process is sweeping it. */
static bool lock_new(int fd)
{
    struct stat st;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno != EWOULDBLOCK; /* other errors: no locks here */
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* 0, -errno, or -EAGAIN: another process has swept it. */
static int try_make(struct program_dir *d)
{
    if (asprintf(&d->path, "%s/%sXXXXXX", parent_dir(), prefix) < 0) {
        d->path = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(d->path)) {
        int code = errno;

        free(d->path);
        d->path = NULL;
        return -code;
    }
    d->fd = open_dir(AT_FDCWD, d->path);
    if (d->fd >= 0 && lock_new(d->fd))
        return 0;
    int ret = d->fd >= 0 || errno == ENOENT ? -EAGAIN : -errno;

    program_dir_remove(d);
    return ret;
}

int program_dir_make(struct program_dir *d)
{
    int ret = -EAGAIN;

    *d = (struct program_dir){.fd = -1};
    for (int tries = 0; ret == -EAGAIN && tries < TRIES_MAX; tries++)
        ret = try_make(d);
    return ret;
}

/* Empty the directory, also if a program has removed its own permissions; leaves mounts alone. */
static void empty_dir(int parent, const char *name)
{
    int fd = open_dir(parent, name);
    struct stat above, st;
    struct dirent *de;
    DIR *d;

    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = open_dir(parent, name);
    if (fd < 0)
        return;
    d = fstat(fd, &st) == 0 && fstat(parent, &above) == 0 && st.st_dev == above.st_dev
            ? fdopendir(fd)
            : NULL;
    if (!d) {
        close(fd);
        return;
    }
    (void)fchmod(fd, 0700);
    while ((de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, de->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM)) {
            empty_dir(fd, de->d_name);
            (void)unlinkat(fd, de->d_name, AT_REMOVEDIR);
        }
    }
    closedir(d);
}

void program_dir_remove(struct program_dir *d)
{
    if (d->fd >= 0)
        empty_dir(d->fd, ".");
    if (d->path)
        (void)rmdir(d->path);
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    *d = (struct program_dir){.fd = -1};
}

/* An unlocked directory of this user's. */
static bool is_left_behind(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void program_dirs_sweep(void)
{
    DIR *parent = opendir(parent_dir());
    struct dirent *de;

    while (parent && (de = readdir(parent))) {
        size_t len = sizeof prefix - 1;
        bool ours =
            strncmp(de->d_name, prefix, len) == 0 && strlen(de->d_name + len) == RANDOM_NBYTES;
        int fd = ours ? open_dir(dirfd(parent), de->d_name) : -1;

        if (fd >= 0 && is_left_behind(fd)) {
            empty_dir(fd, ".");
            (void)unlinkat(dirfd(parent), de->d_name, AT_REMOVEDIR);
        }
        if (fd >= 0)
            close(fd);
    }
    if (parent)
        closedir(parent);
}
