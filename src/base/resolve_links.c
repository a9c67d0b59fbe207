/* SPDX-License-Identifier: MIT
 *
 * The way through links, name by name: the kernel resolves a path at once and does not tell which
 * directories were on the way. Paths without a link, nearly all, are left to the kernel.
 *
 * The directories from the root down to the present one are open. "..", as the kernel takes it,
 * would lead out if somebody moved a directory meanwhile; here it closes the last one.
 * Cost: three system calls for each name.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "resolve_links.h"

enum { DEPTH_MAX = 64, LINKS_MAX = 40 /* as many as the kernel follows */ };

struct walk {
    int fds[DEPTH_MAX]; /* [depth]: fds[0] is the caller's root */
    unsigned depth, nlinks;
    char rest[2 * PATH_MAX];   /* the names to come */
    resolve_passed_fn *passed; /* NULL: on the way to the directory of the file's own name */
    void *ctx;
};

static int top(const struct walk *w)
{
    return w->fds[w->depth - 1];
}

static int go_up(struct walk *w)
{
    if (w->depth == 1)
        return -EXDEV;
    close(w->fds[--w->depth]);
    return 0;
}

/* Takes over `fd`. */
static int go_down(struct walk *w, int fd)
{
    if (w->depth == DEPTH_MAX) {
        close(fd);
        return -ENAMETOOLONG;
    }
    w->fds[w->depth++] = fd;
    if (w->passed)
        w->passed(w->ctx, fd);
    return 0;
}

/* Go on with what the link `name` says, before the rest. -EINVAL: it is no link. */
static int follow(struct walk *w, const char *name)
{
    char target[PATH_MAX + 1];
    size_t len = strlen(w->rest);
    ssize_t n = readlinkat(top(w), name, target, PATH_MAX);

    if (n < 0)
        return -errno;
    if (++w->nlinks > LINKS_MAX)
        return -ELOOP;
    if (n == 0 || target[0] == '/')
        return n == 0 ? -ENOENT : -EXDEV;
    if ((size_t)n + 1 + len >= sizeof w->rest)
        return -ENAMETOOLONG;
    target[n] = '/';
    memmove(w->rest + n + (len > 0), w->rest, len + 1);
    memcpy(w->rest, target, (size_t)n + (len > 0));
    return 0;
}

/* Take the next name off the rest. False: there is none. */
static bool next_name(struct walk *w, char name[NAME_MAX + 1], int *ret)
{
    char *begin = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(begin, "/");

    *ret = n > NAME_MAX ? -ENAMETOOLONG : 0;
    if (n == 0 || *ret < 0)
        return false;
    memcpy(name, begin, n);
    name[n] = '\0';
    begin += n;
    begin += strspn(begin, "/");
    memmove(w->rest, begin, strlen(begin) + 1);
    return true;
}

/* Open the last name. -ELOOP: it is a link. */
static int open_last(const struct walk *w, const char *name, int flags)
{
    int fd = resolve_beneath(top(w), name, flags | O_NOFOLLOW);
    struct stat st;

    if (fd < 0 || !(flags & O_PATH))
        return fd;
    if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode)) {
        close(fd);
        return -ELOOP;
    }
    return fd;
}

/* Go through the name of a directory, or of a link. */
static int step_dir(struct walk *w, const char *name)
{
    int fd, ret;

    if (strcmp(name, "..") == 0)
        return go_up(w);
    fd = openat(top(w), name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return go_down(w, fd);
    if (errno != ENOTDIR && errno != ELOOP)
        return -errno;
    ret = follow(w, name);
    return ret == -EINVAL ? -ENOTDIR : ret;
}

/* Go through one name; *out is the descriptor once it is the last. */
static int step(struct walk *w, const char *name, int flags, int *out)
{
    if (w->rest[0] || strcmp(name, "..") == 0)
        return step_dir(w, name);
    *out = open_last(w, name, flags);
    return *out == -ELOOP ? follow(w, name) : *out < 0 ? *out : 0;
}

static int walk(struct walk *w, int flags)
{
    char name[NAME_MAX + 1];
    int fd = -1, ret;

    while (next_name(w, name, &ret) && ret == 0) {
        if (strcmp(name, ".") != 0)
            ret = step(w, name, flags, &fd);
        if (ret < 0 || fd >= 0)
            return ret < 0 ? ret : fd;
    }
    /* it ended with ".." or "." */
    return ret < 0 ? ret : resolve_beneath(top(w), ".", flags);
}

static bool is_same(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* Walk down to the directory that `path` leads to, which must be `dirfd`. */
static int walk_to_dir(struct walk *w, int dirfd, const char *path)
{
    char name[NAME_MAX + 1];
    int ret = 0;

    if (strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    strcpy(w->rest, path);
    while (ret == 0 && next_name(w, name, &ret))
        if (strcmp(name, ".") != 0)
            ret = step_dir(w, name);
    if (ret == 0)
        ret = is_same(top(w), dirfd) ? 0 : -ESTALE;
    return ret == -ENOENT || ret == -ENOTDIR ? -ESTALE : ret;
}

/* Open `name`, a link, in `dirfd`, which `dir` leads to. */
static int open_link(int rootfd, int dirfd, const char *dir, const char *name, int flags,
                     resolve_passed_fn *passed, void *ctx)
{
    struct walk w = {.fds = {rootfd}, .depth = 1, .ctx = ctx};
    int fd = walk_to_dir(&w, dirfd, dir);

    w.passed = passed;
    if (fd == 0 && strlen(name) > NAME_MAX)
        fd = -ENAMETOOLONG;
    if (fd == 0) {
        strcpy(w.rest, name);
        fd = walk(&w, flags);
    }
    while (w.depth > 1)
        close(w.fds[--w.depth]);
    return fd;
}

int resolve_links(int rootfd, int dirfd, const char *path, int flags, resolve_passed_fn *passed,
                  void *ctx)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int fd = -ENOMEM, in = dirfd;

    if (dir && dirfd < 0)
        in = resolve_beneath(rootfd, dir, O_PATH | O_DIRECTORY);
    if (dir)
        fd = in < 0 ? in : resolve_plain(in, name, flags);
    if (fd == -ELOOP)
        fd = open_link(rootfd, in, dir, name, flags, passed, ctx);
    if (in != dirfd && in >= 0)
        close(in);
    free(dir);
    return fd;
}
