/* SPDX-License-Identifier: MIT
 *
 * Links of the dataset: the mount shows them as they are, and walks follow those that stay inside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_private.h"
#include "fd.h"

enum dir_link tree_link(const struct tree *t, const char *dir, const char *name, struct dir_id *id)
{
    const char *source = tree_source_dir(t, dir);
    char *path = source ? join_path(source, name) : NULL;
    int fd =
        path ? resolve_beneath(dataset_rootfd(t->dataset), path, O_PATH | O_DIRECTORY) : -ENOENT;
    struct stat st;
    enum dir_link kind = LINK_NO_DIR;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        *id = (struct dir_id){st.st_dev, st.st_ino};
        kind = LINK_INSIDE;
    } else if (fd == -EXDEV && fstatat(dataset_rootfd(t->dataset), path, &st, 0) == 0 &&
               S_ISDIR(st.st_mode)) {
        kind = LINK_OUT;
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return kind;
}

void tree_note_link(const struct tree *t, const char *path)
{
    struct error err;

    error_set(&err, EXDEV, "%s", LINK_OUT_TEXT);
    errlog_add(t->errors, path, &err);
}

int engine_readlink(struct engine *e, const char *path, char *buf, size_t nbytes, struct error *err)
{
    const struct tree *t = &e->tree;
    int fd = resolve_beneath(dataset_rootfd(t->dataset), path, O_PATH | O_NOFOLLOW), ret;
    struct dir_id id;
    ssize_t n;

    if (fd < 0)
        return error_set(err, -fd, "%s: open: %s", path, strerror(-fd));
    n = readlinkat(fd, "", buf, nbytes - 1);
    ret = n < 0 ? error_set(err, errno, "%s: readlink: %s", path, strerror(errno)) : 0;
    if (n >= 0)
        buf[n] = '\0';
    close(fd);
    /* a program that goes on from here leaves the mount */
    if (ret == 0 && tree_link(t, "", path, &id) == LINK_OUT)
        tree_note_link(t, path);
    return ret;
}
