/* SPDX-License-Identifier: MIT
 *
 * Directories.
 *
 * A listing is a snapshot, taken by opendir(3) and again by rewinddir(3). Only ENOENT takes a name
 * out of it: programs such as rsync remove the copies of names that they do not see. If not all names
 * can be had, it ends with the error, behind those that can: one bad file hides no other.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops_private.h"

enum { NDOTS = 2 }; /* "." and "..", which every listing begins with */

static int list_control(struct file *f)
{
    int ret = 0;

    for (size_t i = 0; control_name(i) && ret == 0; i++)
        ret = file_add_listed(f, control_name(i), UINT64_C(1) << 62 | (i + 1), DT_REG);
    return ret;
}

static int list_names(struct mount *m, struct node *node, struct file *f, struct error *err)
{
    struct dir dir;
    int ret;

    if (file_add_listed(f, ".", 0, DT_DIR) < 0 || file_add_listed(f, "..", 0, DT_DIR) < 0)
        return error_set(err, ENOMEM, "out of memory");
    if (node->id.kind == NODE_CONTROL_DIR)
        return list_control(f);
    if (!node_dir(m->inodes, node, &dir))
        return error_set(err, ENOMEM, "out of memory");
    ret = engine_list(m->engine, &dir, file_add_listed, f, err);
    free((char *)dir.path);
    for (size_t i = 0; node->id.kind == NODE_SOURCE && node->id.a != 0 && i < f->nlisted; i++)
        if (f->listed[i].ino >> 61 == 0) /* not made up */
            f->listed[i].ino = shown_ino(m, node->id.a, f->listed[i].ino);
    return ret;
}

/* The errno for the kernel if there is not a name. */
static int list_node(struct mount *m, struct node *node, struct file *f)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    bool failed = list_names(m, node, f, &err) < 0;
    int code = note_access(m, ERRLOG_CONTENT, node, NULL, failed ? &err : NULL);

    f->listed_code = code;
    return f->nlisted > NDOTS ? 0 : code;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct file *f = files_open(&m->files, FILE_LISTING);
    int code = f ? list_node(m, node, f) : ENOMEM;

    if (code != 0) {
        files_close(&m->files, f);
        fuse_reply_err(req, code);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)f;
    if (fuse_reply_open(req, fi) != 0)
        files_close(&m->files, f);
}

/* Add a name with its attributes; without them if they cannot be had, so that the program asks for
 * them and learns why; not at all if it is gone. Returns its size in the reply. */
static size_t add_plus(fuse_req_t req, struct node *in, const struct dir *dir,
                       const struct listed *l, char *buf, size_t room, off_t next)
{
    struct mount *m = fuse_req_userdata(req);
    struct fuse_entry_param e, none = {.ino = 0};
    struct node *node = NULL;
    int code = -1;

    none.attr.st_ino = l->ino;
    none.attr.st_mode = DTTOIF(l->type);
    if (room < fuse_add_direntry_plus(req, NULL, 0, l->name, &none, next))
        return room + 1;
    if (strcmp(l->name, ".") != 0 && strcmp(l->name, "..") != 0)
        code = enter_name(m, in, dir, l->name, &e, &node);
    if (code == ENOENT)
        return 0;
    return fuse_add_direntry_plus(req, buf, room, l->name, code == 0 ? &e : &none, next);
}

static size_t add_plain(fuse_req_t req, const struct listed *l, char *buf, size_t room, off_t next)
{
    struct stat st = {.st_ino = l->ino, .st_mode = DTTOIF(l->type)};

    return fuse_add_direntry(req, buf, room, l->name, &st, next);
}

/* The listing from its start: rewinddir(3) must show the directory as it is now. The kernel lets
 * one thread at a time read an open directory. */
static int rewind_listing(struct mount *m, struct node *node, struct file *f)
{
    if (!f->is_read) {
        f->is_read = true;
        return 0;
    }
    file_clear_listed(f);
    return list_node(m, node, f);
}

static void reply_names(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                        struct fuse_file_info *fi, bool plus)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct file *f = file_of(fi);
    int code = off == 0 ? rewind_listing(m, node, f) : 0;
    char *buf = code == 0 ? malloc(size) : NULL;
    size_t used = 0;
    struct dir dir;

    if (!node_dir(m->inodes, node, &dir) && code == 0)
        code = ENOMEM;
    if (code == 0 && (size_t)off >= f->nlisted)
        code = f->listed_code;
    if (!buf || code != 0) {
        free((char *)dir.path);
        fuse_reply_err(req, code != 0 ? code : ENOMEM);
        free(buf);
        return;
    }
    if (plus && node->id.kind != NODE_CONTROL_DIR)
        engine_dir_open(m->engine, &dir); /* once for all names */
    for (size_t i = (size_t)off; i < f->nlisted; i++) {
        const struct listed *l = &f->listed[i];
        off_t next = (off_t)i + 1;
        size_t n = plus ? add_plus(req, node, &dir, l, buf + used, size - used, next)
                        : add_plain(req, l, buf + used, size - used, next);

        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buf, used);
    if (dir.is_open)
        close(dir.fd);
    free((char *)dir.path);
    free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    reply_names(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    reply_names(req, ino, size, off, fi, true);
}
