/* SPDX-License-Identifier: MIT
 *
 * Files and links of the dataset: the mount shows links as they are, and walks follow those that stay
 * inside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "annex.h"
#include "engine_private.h"
#include "fd.h"
#include "rights.h"

int tree_stat_root(const struct tree *t, struct stat *st, struct error *err)
{
    int rootfd = dataset_rootfd(t->dataset);

    if (fstat(rootfd, st) < 0)
        return error_set(err, errno, "%s: stat: %s", dataset_path(t->dataset), strerror(errno));
    rights_apply_acl(rootfd, "", st);
    return 0;
}

bool engine_must_fetch(const struct engine *e, const struct derived *d)
{
    return e->tree.annex_get && d->error.code == ENODATA;
}

void entry_clear(struct entry *entry)
{
    derived_put(entry->derived);
    free(entry->text);
    entry->derived = NULL;
    entry->text = NULL;
}

int engine_stat_open(int fd, struct stat *st)
{
    if (fstat(fd, st) < 0)
        return -errno;
    rights_apply_acl(fd, "", st);
    return 0;
}

/* Open what `name` in the directory is, not what a link there leads to. */
static int open_in(const struct tree *t, const struct dir *dir, const char *name, int flags,
                   const char *path, struct stat *st, struct error *err)
{
    int dirfd = dir_enter(dataset_rootfd(t->dataset), dir);
    int fd = dirfd < 0 ? dirfd : resolve_beneath(dirfd, name, flags | O_NOFOLLOW);
    int code = fd < 0 ? -fd : -engine_stat_open(fd, st);

    if (dirfd >= 0)
        dir_leave(dir, dirfd);
    if (code == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return error_set(err, code, "%s: open: %s", path, strerror(code));
}

int engine_open_source(struct engine *e, const struct dir *dir, const char *name, int *fd,
                       struct stat *st, struct error *err)
{
    const struct tree *t = &e->tree;
    char *path = join_path(dir->path, name);
    int ret = path ? open_in(t, dir, name, O_RDONLY, path, st, err)
                   : error_set(err, ENOMEM, "%s: out of memory", name);
    int pointer = ret >= 0 && t->annex_get ? annex_is_pointer(ret, (uint64_t)st->st_size) : 0;
    int64_t nbytes;

    if (pointer != 0)
        close(ret);
    else if (ret >= 0)
        *fd = ret;
    if (pointer > 0 ||
        (t->annex_get && ret == -ENOENT && annex_object_place(path, &nbytes) == S_IFREG))
        ret = error_set(err, ENODATA, "%s: content is not here", path);
    else if (pointer < 0)
        ret = error_fault(err, -pointer, "%s: open: %s", path, strerror(-pointer));
    free(path);
    return ret < 0 ? ret : 0;
}

enum dir_link tree_link(const struct tree *t, const char *dir, const char *name, struct dir_id *id)
{
    const char *source = tree_source_dir(t, dir);
    char *path = source ? join_path(source, name) : NULL;
    enum dir_link kind = path ? tree_source_link(t, path, id) : LINK_NO_DIR;

    free(path);
    return kind;
}

enum dir_link tree_source_link(const struct tree *t, const char *path, struct dir_id *id)
{
    int fd = resolve_beneath(dataset_rootfd(t->dataset), path, O_PATH | O_DIRECTORY);
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
    return kind;
}

void tree_note_link(const struct tree *t, const char *path)
{
    struct error err;

    error_set(&err, EXDEV, "%s", LINK_OUT_TEXT);
    errlog_remark(t->errors, path, &err);
}

int engine_readlink(struct engine *e, const struct dir *dir, const char *name, char *buf,
                    size_t nbytes, struct error *err)
{
    const struct tree *t = &e->tree;
    struct dir source = *dir;
    char *path = join_path(source.path = tree_source_dir(t, dir->path), name);
    struct stat st;
    int fd = path ? open_in(t, &source, name, O_PATH, path, &st, err)
                  : error_set(err, ENOMEM, "%s: out of memory", name);
    int ret = fd < 0 ? fd : 0;
    struct dir_id id;
    ssize_t n = ret == 0 ? readlinkat(fd, "", buf, nbytes - 1) : 0;

    if (n < 0)
        ret = error_set(err, errno, "%s: readlink: %s", path, strerror(errno));
    else
        buf[n] = '\0';
    if (fd >= 0)
        close(fd);
    /* a program that goes on from here leaves the mount */
    if (ret == 0 && tree_source_link(t, path, &id) == LINK_OUT)
        tree_note_link(t, path);
    free(path);
    return ret;
}
