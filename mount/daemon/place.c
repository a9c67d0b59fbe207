/* SPDX-License-Identifier: MIT
 *
 * The mount point: dead mounts on it, and what the mount would hide.
 *
 * A daemon that opens a path below its own mount waits for itself. So directories that it needs are
 * opened before, and used as /proc/self/fd/N, or the mount is refused.
 */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run fusermount3, for users who may not call umount2(2). */
static void fusermount_detach(const char *mountpoint)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("fusermount3", "fusermount3", "-q", "-u", "-z", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
}

void place_detach(const char *mountpoint)
{
    if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        fusermount_detach(mountpoint);
}

int place_follow_no_links(const char *mountpoint, struct error *err)
{
    static const unsigned long NO_LINKS = 256; /* MS_NOSYMFOLLOW, since Linux 5.10 */

    if (mount(NULL, mountpoint, NULL,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | NO_LINKS, NULL) < 0)
        return error_set(err, errno, "%s: nosymfollow cannot be set: %s", mountpoint,
                         strerror(errno));
    return 0;
}

/* Is a live derivfs mounted on top? Then it has a control directory. */
static bool is_derivfs_mount(const char *mountpoint)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/.derivfs/version", mountpoint) >= (int)sizeof path)
        return false;
    return access(path, F_OK) == 0;
}

/* Is there a mount whose daemon has died? statfs always asks the daemon, while the kernel may
 * answer stat(2) from its cache within a second of the death. */
static bool is_dead_mount(const char *mountpoint)
{
    struct statvfs st;

    return statvfs(mountpoint, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* Does the directory have entries, as far as it can be read? */
static bool has_entries(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *de;
    bool found = false;

    while (d && !found && (de = readdir(d)))
        found = strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
    if (d)
        closedir(d);
    return found;
}

/* A mount inside its own dataset would show itself and wait for itself. A mount on the dataset's
 * directory is fine. */
static int check_dataset(const char *dataset, const char *mountpoint, place_say_fn *say,
                         struct error *err)
{
    char *top = realpath(dataset, NULL), *place = realpath(mountpoint, NULL);
    size_t n = top ? strlen(top) : 0;
    bool over = top && place && strcmp(top, place) == 0;
    bool inside = top && place && !over && strncmp(top, place, n) == 0 &&
                  (place[n] == '/' || strcmp(top, "/") == 0);

    free(top);
    free(place);
    if (inside)
        return error_set(err, EINVAL,
                         "%s: cannot be mounted on: it is inside the dataset, which would show "
                         "itself (choose a directory elsewhere)",
                         mountpoint);
    if (!over && has_entries(mountpoint))
        say("%s: not empty: the mount hides its contents", mountpoint);
    return 0;
}

int place_check(const struct options *o, place_say_fn *say, struct error *err)
{
    const char *mountpoint = o->mountpoint;
    struct stat st;

    if (is_dead_mount(mountpoint)) {
        say("%s: detaching the mount of a daemon that died", mountpoint);
        place_detach(mountpoint);
        if (is_dead_mount(mountpoint))
            return error_set(err, ENOTCONN,
                             "%s: the mount of a daemon that died cannot be detached (as root: "
                             "umount -l %s)",
                             mountpoint, mountpoint);
    }
    if (stat(mountpoint, &st) < 0)
        return error_set(err, errno, "%s: cannot be mounted on: %s%s", mountpoint, strerror(errno),
                         errno == ENOENT ? " (make the directory first)" : "");
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR,
                         "%s: cannot be mounted on: not a directory (name an empty one)",
                         mountpoint);
    if (is_derivfs_mount(mountpoint))
        return error_set(err, EBUSY, "%s: a derivfs is mounted there already (fusermount3 -u %s)",
                         mountpoint, mountpoint);
    return check_dataset(o->dataset, mountpoint, say, err);
}

/* ---- what the mount would hide ---- */

/* Is `path`, which is absolute, the directory `top` or below it? */
static bool is_below(const char *path, const char *top)
{
    size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);

    return strncmp(path, top, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The real path of the nearest directory of `path` that exists; *rest is what follows it in `path`,
 * "" or from a slash on. malloced; NULL: out of memory. */
static char *existing_part(const char *path, const char **rest)
{
    char *part = strdup(path), *slash, *real = NULL;
    struct stat st;

    while (part &&
           !((real = realpath(part, NULL)) && stat(real, &st) == 0 && S_ISDIR(st.st_mode))) {
        free(real);
        real = NULL;
        slash = strrchr(part, '/');
        if (!slash || slash == part)
            break;
        *slash = '\0';
    }
    if (part && !real)
        real = strdup("/");
    *rest = part && real && strcmp(real, "/") != 0 ? path + strlen(part) : path;
    free(part);
    return real;
}

/* If the mount will hide `path`, open the nearest directory that exists, and name the path from
 * there. *at NULL: it stays visible. */
static int keep(const char *what, const char *path, const char *top, int *fd, char **at,
                struct error *err)
{
    const char *rest;
    char *dir = existing_part(path, &rest);
    int ret = dir ? 0 : error_set(err, ENOMEM, "out of memory");

    if (ret == 0 && is_below(dir, top)) {
        *fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*fd < 0 || access("/proc/self/fd", X_OK) < 0)
            ret = error_set(err, EINVAL,
                            "%s=%s: lies below the mount point, which hides it (choose another)",
                            what, path);
        else if (asprintf(at, "/proc/self/fd/%d%s", *fd, rest) < 0)
            ret = error_set(err, ENOMEM, "out of memory");
    }
    free(dir);
    return ret;
}

/* Programs are given paths, and so cannot be helped by a descriptor. */
static int check_variable(const char *name, const char *path, const char *top, struct error *err)
{
    const char *rest;
    char *dir = existing_part(path, &rest);
    bool hidden = dir && is_below(dir, top);

    free(dir);
    return hidden ? error_set(err, EINVAL,
                              "%s: cannot be mounted on: it would hide %s, where the programs of "
                              "recipes run (set %s to a directory elsewhere)",
                              top, path, name)
                  : 0;
}

/* Programs are looked up in PATH while mounted: drop the directories that the mount hides. */
static int trim_search_path(const char *top, struct error *err)
{
    const char *before = getenv("PATH"), *rest;
    char *kept = before ? calloc(1, strlen(before) + 1) : NULL;
    int ret = 0;

    for (const char *dir = before; kept && ret == 0 && dir;) {
        size_t nbytes = strcspn(dir, ":");
        char *path = strndup(dir, nbytes), *real = path ? existing_part(path, &rest) : NULL;

        if (!real)
            ret = error_set(err, ENOMEM, "out of memory");
        else if (path[0] == '/' && !is_below(real, top))
            sprintf(kept + strlen(kept), "%s%s", *kept ? ":" : "", path);
        free(path);
        free(real);
        dir = dir[nbytes] ? dir + nbytes + 1 : NULL;
    }
    if (ret == 0 && before && (!kept || setenv("PATH", kept, 1) < 0))
        ret = error_set(err, ENOMEM, "out of memory");
    free(kept);
    return ret;
}

int place_keep(struct options *o, struct kept *out, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    char *top = realpath(o->mountpoint, NULL);
    int ret = top ? 0 : error_set(err, errno, "%s: %s", o->mountpoint, strerror(errno));

    *out = (struct kept){.cache_fd = -1, .recipes_fd = -1};
    if (ret == 0)
        ret = keep("cache_dir", o->engine.cache_dir, top, &out->cache_fd, &out->cache_at, err);
    if (ret == 0 && o->engine.recipes)
        ret = keep("recipes", o->engine.recipes, top, &out->recipes_fd, &out->recipes_at, err);
    if (ret == 0)
        ret = check_variable("TMPDIR", tmp && tmp[0] == '/' ? tmp : "/tmp", top, err);
    if (ret == 0)
        ret = trim_search_path(top, err);
    o->engine.cache_at = out->cache_at;
    o->engine.recipes_at = out->recipes_at;
    free(top);
    return ret;
}

void place_release(struct kept *kept)
{
    free(kept->cache_at);
    free(kept->recipes_at);
}
