/* SPDX-License-Identifier: MIT
 *
 *     draw: DOT in a memory file -- derivfs --draw=FORMAT -- picture in another one
 *
 * The child is this program started anew, because after a fork of a process with threads the
 * libraries' locks may be held for ever.
 */
#include "draw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "render.h"

enum { DRAW_MAX_S = 60 };

static const char argument[] = "--draw=";

/* All bytes of the file, followed by a NUL. malloced; NULL: not to be had. */
static char *read_all(int fd, size_t *nbytes)
{
    struct stat st;
    char *text;
    ssize_t n;

    if (fstat(fd, &st) < 0 || !(text = malloc((size_t)st.st_size + 1)))
        return NULL;
    n = fd_pread(fd, text, (size_t)st.st_size, 0);
    if (n < 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    *nbytes = (size_t)n;
    return text;
}

/* Start the child with the two files as standard input and output. Returns 0 or a positive errno. */
static int start(const char *format, int in, int out, pid_t *child)
{
    char option[32], name[] = "derivfs", *argv[] = {name, option, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int code;

    snprintf(option, sizeof option, "%s%s", argument, format);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    code = posix_spawn_file_actions_adddup2(&files, in, 0);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&files, out, 1);
    if (code == 0)
        code = posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (code == 0)
        code = posix_spawn(child, "/proc/self/exe", &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return code;
}

/* Of a child that was ended: 0 or an error. */
static int wait_for(pid_t child, int *status, struct error *err)
{
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, EIO, "drawing the task graph: %s", strerror(errno));
    if (WIFSIGNALED(*status))
        return error_set(err, EIO, "drawing the task graph: the process that draws ended: %s",
                         strsignal(WTERMSIG(*status)));
    return 0;
}

int draw(const char *dot, const char *format, char **out, size_t *nbytes, struct error *err)
{
    int in = memfd_create("dot", MFD_CLOEXEC), made = memfd_create("drawing", MFD_CLOEXEC);
    int code = in < 0 || made < 0 ? errno : -fd_write(in, dot, strlen(dot)), status, ret;
    char *text = NULL;
    pid_t child;

    if (code == 0 && lseek(in, 0, SEEK_SET) < 0)
        code = errno;
    if (code == 0)
        code = start(format, in, made, &child);
    ret = code == 0 ? wait_for(child, &status, err)
                    : error_set(err, EIO, "drawing the task graph: %s", strerror(code));
    if (ret == 0 && !(text = read_all(made, nbytes)))
        ret = error_set(err, ENOMEM, "drawing the task graph: out of memory");
    if (ret == 0 && WEXITSTATUS(status) != 0)
        ret = error_set(err, EIO, "%s", *nbytes > 0 ? text : "drawing the task graph failed");
    if (in >= 0)
        close(in);
    if (made >= 0)
        close(made);
    if (ret < 0)
        free(text);
    else
        *out = text;
    return ret;
}

/* ---- the child ---- */

const char *draw_wanted(int argc, char **argv)
{
    bool wanted = argc == 2 && strncmp(argv[1], argument, strlen(argument)) == 0;

    return wanted ? argv[1] + strlen(argument) : NULL;
}

int draw_as_child(const char *format)
{
    char *dot, *picture = NULL;
    struct error err;
    size_t nbytes;
    int ret;

    alarm(DRAW_MAX_S);
    dot = read_all(STDIN_FILENO, &nbytes);
    ret = dot ? render(dot, format, &picture, &nbytes, &err)
              : error_set(&err, ENOMEM, "drawing the task graph: out of memory");
    if (ret == 0)
        ret = fd_write(STDOUT_FILENO, picture, nbytes);
    else if (fd_write(STDOUT_FILENO, err.text, strlen(err.text)) < 0)
        ret = -EIO; /* the status alone says it */
    free(picture);
    free(dot);
    return ret == 0 ? 0 : 1;
}
