/* SPDX-License-Identifier: MIT
 *
 *     parent: fork -- wait for a byte -- ask the mount -- exit
 *     child:    '---- start, ready ------- serve
 *
 * fuse_daemonize() lets the parent go before anything is served: what fails afterwards, as an option
 * that the session refuses when the kernel says hello, would fail behind exit status 0.
 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"

/* The exit status of the child, which has ended. */
static int status_of(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
}

/* Never returns. statvfs(3) always asks the daemon, and so waits for the session's first exchange. */
static void wait_and_exit(const char *mountpoint, pid_t child, int fd)
{
    struct statvfs st;
    char byte;

    if (fd_read(fd, &byte, 1) != 1)
        _exit(status_of(child)); /* it has said why */
    if (statvfs(mountpoint, &st) == 0 || (errno != ENOTCONN && errno != ECONNABORTED))
        _exit(0);
    fprintf(stderr,
            "derivfs: %s: mounting failed: the session with the kernel has ended (derivfs -f says "
            "why)\n",
            mountpoint);
    _exit(1);
}

int background_enter(const char *mountpoint, struct background *out, struct error *err)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, errno, "%s: going to the background failed: %s", mountpoint,
                         strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        error_set(err, errno, "%s: going to the background failed: %s", mountpoint,
                  strerror(errno));
        close(fds[0]);
        close(fds[1]);
        return -err->code;
    }
    if (pid > 0) {
        close(fds[1]);
        wait_and_exit(mountpoint, pid, fds[0]);
    }
    close(fds[0]);
    out->ready_fd = fds[1];
    if (setsid() < 0 || chdir("/") < 0)
        return error_set(err, errno, "%s: going to the background failed: %s", mountpoint,
                         strerror(errno));
    return 0;
}

void background_ready(struct background *b)
{
    int null = b->ready_fd < 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

    if (b->ready_fd < 0)
        return;
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        (void)dup2(null, fd);
    if (null > 2)
        close(null);
    if (fd_write(b->ready_fd, "", 1) < 0) /* the parent was killed */
        errno = 0;
    close(b->ready_fd);
    b->ready_fd = -1;
}
