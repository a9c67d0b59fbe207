/* SPDX-License-Identifier: MIT
 *
 * Opening and closing.
 *
 *     bytes in one file (a source, a cached result)     passthrough: the kernel reads them itself
 *     the same, where the kernel cannot                 page cache, filled by op_read
 *     a series that is cached, but not joined yet       likewise
 *     not computed yet, control files, drawings         direct_io (ops_read.c says why)
 *     a command's file                                  direct_io: the kernel may not know its size
 *     a file that replaced it during the open           direct_io: the kernel's pages are older
 *
 * The open of a command's file that is not computed yet is parked until it is (parked.c): only then
 * its size is known, and open(2) can fail. With annex=get, so is the open of a file whose content,
 * or that of its runs, is fetched first. ESTALE then makes the kernel look the name up again,
 * because a fetched file is another one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caller.h"
#include "draw.h"
#include "kernel_caps.h"
#include "ops_private.h"

/* Count the file for its node; `fd` holds exactly its bytes, or is -1. */
static void enter_node(struct mount *m, struct node *node, struct file *f, int fd)
{
    f->node = node;
    f->io = &node->io;
    f->backing_id = iomode_enter(&m->iomodes, f->io, fd);
}

void close_file(struct mount *m, struct file *f)
{
    if (f->io)
        iomode_leave(&m->iomodes, f->io, f->backing_id > 0);
    if (f->kind == FILE_TEXT)
        atomic_fetch_sub(&f->node->ntexts, 1);
    files_close(&m->files, f);
}

/* Does the kernel not retry this open? */
static bool is_second(struct mount *m, fuse_req_t req, const struct node *node)
{
    struct dir dir;
    bool is = node_parent_dir(m->inodes, node, &dir) &&
              retries_is_second(&m->retries, fuse_req_ctx(req)->pid, dir.path, node_name(node));

    free((char *)dir.path);
    return is;
}

/* Must the open take the file that replaced the node's, which has these rights? */
static bool must_stand_in(struct mount *m, fuse_req_t req, const struct node *node,
                          const struct rights *r)
{
    return is_second(m, req, node) && caller_may_read(req, r);
}

/* An open fails with `err`. After ESTALE the kernel looks the name up again, but a second one it
 * returns to the program, which would not know what it means. Returns -err->code. */
static int fail_open(struct mount *m, fuse_req_t req, const struct node *node, struct error *err)
{
    pid_t thread = fuse_req_ctx(req)->pid;
    struct dir dir;
    bool known = node_parent_dir(m->inodes, node, &dir);
    bool again = !known || retries_is_second(&m->retries, thread, dir.path, node_name(node));

    retries_forget(&m->retries, thread);
    if (err->code == ESTALE && again)
        error_set(err, EIO, "%s: replaced again and again while it is opened", node_name(node));
    else if (err->code == ESTALE)
        retries_note(&m->retries, thread, dir.path, node_name(node));
    free((char *)dir.path);
    return -err->code;
}

static int open_source(struct mount *m, fuse_req_t req, struct node *node,
                       struct fuse_file_info *fi, struct error *err)
{
    struct node_identity id = {.kind = NODE_SOURCE};
    struct file *f = files_open(&m->files, FILE_SOURCE);
    struct stat st = {.st_mode = 0};
    struct rights rights;
    struct dir dir;
    int ret;

    ret = node_parent_dir(m->inodes, node, &dir) && f
              ? engine_open_source(m->engine, &dir, node_name(node), &f->fd, &st, err)
              : error_set(err, ENOMEM, "out of memory");
    free((char *)dir.path);
    id.a = ret == 0 ? st.st_dev : 0;
    id.b = ret == 0 ? st.st_ino : 0;
    /* another file may have the name now, whose bytes must not get into this node's page cache */
    fi->direct_io = ret == 0 && !node_is(node, &id);
    rights = (struct rights){st.st_mode, st.st_uid, st.st_gid};
    if (fi->direct_io && !must_stand_in(m, req, node, &rights))
        ret = error_set(err, ESTALE, "%s was replaced", node_name(node));
    if (ret != 0) {
        files_close(&m->files, f);
        return ret;
    }
    enter_node(m, node, f, fi->direct_io ? -1 : f->fd);
    fi->keep_cache = fi->direct_io || node_same_bytes(m->inodes, node, &st);
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

static bool is_command(const struct node *node)
{
    return derived_info(node->derived).is_command;
}

/* May the reader's newer file be read as the node's? Its size must be the one that was reported. If
 * it is not known yet, reply_derived() looks. */
static bool may_stand_in(const struct node *node, const struct reader_info *info)
{
    return !info->sized || info->nbytes == derived_info(node->derived).nbytes;
}

static int open_derived(struct mount *m, fuse_req_t req, struct node *node,
                        struct fuse_file_info *fi, struct error *err)
{
    struct file *f = files_open(&m->files, FILE_DERIVED);
    struct reader_info info = {.sized = false};
    struct dir dir;
    bool other;
    int ret;

    ret = node_parent_dir(m->inodes, node, &dir) && f
              ? reader_open(m->engine, &dir, node_name(node), &f->reader, err)
              : error_set(err, ENOMEM, "out of memory");
    free((char *)dir.path);
    if (ret == 0)
        info = reader_info(f->reader);
    other = ret == 0 && info.version != node->id.a;
    if (other && !(must_stand_in(m, req, node, &info.rights) && may_stand_in(node, &info)))
        ret = error_set(err, ESTALE, "the sources of %s have changed", node_name(node));
    if (ret < 0) {
        files_close(&m->files, f);
        return ret;
    }
    f->stands_in = other;
    enter_node(m, node, f, other || is_command(node) ? -1 : reader_fd(f->reader));
    /* A node is one version, so its cached pages stay valid. Without the flag, this open would drop
     * them, and so wait, unkillably, for a page that a mapping waits for. */
    fi->keep_cache = 1;
    /* A computed series is read through the page cache: read-ahead is cheap then, and later reads
     * hit the cache (cat of 500 MB went from 0.15 of the speed of a plain file to 0.46). */
    fi->direct_io =
        other || is_command(node) || (kernel_maps_direct_io() && !reader_is_computed(f->reader));
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

/* A text whose length was unknown before. */
static int open_text(struct mount *m, struct node *node, char *text, size_t nbytes,
                     struct fuse_file_info *fi, struct error *err)
{
    struct file *f = text ? files_open(&m->files, FILE_TEXT) : NULL;

    if (!f) {
        free(text);
        return error_set(err, ENOMEM, "out of memory");
    }
    f->text = text;
    f->text_nbytes = nbytes;
    f->node = node;
    if (node_stat(m, node, &f->st, err) < 0)
        f->st = (struct stat){.st_mode = S_IFREG | 0444, .st_nlink = 1};
    node->text_nbytes = nbytes;
    atomic_fetch_add(&node->ntexts, 1);
    fi->direct_io = 1;
    fi->fh = (uint64_t)(uintptr_t)f;
    return 0;
}

static int open_drawn(struct mount *m, fuse_req_t req, struct node *node, struct fuse_file_info *fi,
                      struct error *err)
{
    char *dot = NULL, *picture = NULL;
    struct rights rights;
    struct dir dir;
    size_t nbytes;
    int ret = node_parent_dir(m->inodes, node, &dir)
                  ? engine_draw(m->engine, &dir, node_name(node), &rights, &dot, err)
                  : error_set(err, ENOMEM, "out of memory");

    free((char *)dir.path);
    if (ret == 0 && !caller_may_read(req, &rights)) /* a new lookup tells him so */
        ret = error_set(err, ESTALE, "the sources of %s have changed", node_name(node));
    if (ret == 0)
        ret = draw(dot, derived_info(node->derived).drawing, &picture, &nbytes, err);
    free(dot);
    if (ret != 0)
        return ret;
    return open_text(m, node, picture, nbytes, fi, err);
}

/* A text whose length stat(2) has reported. */
static int open_sized_text(struct mount *m, fuse_req_t req, struct node *node,
                           struct fuse_file_info *fi, struct error *err)
{
    struct entry entry;
    int ret = lookup_node(m, node, &entry, err);
    struct rights rights;
    bool other;

    if (ret < 0)
        return ret;
    other = entry.kind != ENTRY_TEXT || strlen(entry.text) != node->id.b;
    rights = (struct rights){entry.st.st_mode & 0444, entry.st.st_uid, entry.st.st_gid};
    if (other && (entry.kind != ENTRY_TEXT || !must_stand_in(m, req, node, &rights))) {
        entry_clear(&entry);
        return error_set(err, ESTALE, "%s was replaced", node_name(node));
    }
    ret = open_text(m, node, entry.text, strlen(entry.text), fi, err);
    fi->direct_io = other; /* else it can be mapped */
    return ret;
}

static int open_control(struct mount *m, struct node *node, struct fuse_file_info *fi,
                        struct error *err)
{
    char *text = control_text(m->engine, node->id.a);

    return open_text(m, node, text, text ? strlen(text) : 0, fi, err);
}

static void reply_open(fuse_req_t req, struct mount *m, const struct node *node,
                       const struct fuse_file_info *fi)
{
    struct file *f = file_of(fi);
    int ret;

    note_access(m, ERRLOG_CONTENT, node, NULL, NULL);
    retries_forget(&m->retries, fuse_req_ctx(req)->pid);
    ret = f->backing_id > 0 ? kernel_reply_passthrough(req, fi, f->backing_id)
                            : fuse_reply_open(req, fi);
    if (ret != 0)
        close_file(m, f); /* the opener was interrupted: there is no release */
}

/* ---- opens that wait ---- */

/* The file's result, or its runs, are there. */
static int reply_derived(struct parked *p, struct wait *w, struct error *err)
{
    struct reader_info info = reader_info(p->file->reader);
    uint64_t told = p->nbytes; /* 0: nothing, but that it is below UNKNOWN_NBYTES */

    (void)w;
    if (told == 0 && info.nbytes > UNKNOWN_NBYTES)
        return error_set(err, EIO,
                         "its length is known only now, and larger than programs were told; open "
                         "it again");
    /* fetched runs make it another file, whose size a new lookup finds */
    if (info.version != p->node->id.a &&
        !(p->file->stands_in && (told == 0 || told == info.nbytes))) {
        error_set(err, ESTALE, "the sources of %s have changed", node_name(p->node));
        return fail_open(p->m, p->req, p->node, err);
    }
    if (p->file->stands_in && !caller_may_read(p->req, &info.rights))
        return error_set(err, EACCES, "%s: what replaced it is for others", node_name(p->node));
    reply_open(p->req, p->m, p->node, &p->fi);
    return 0;
}

/* The fetched file has another inode: the kernel looks the name up again, and opens that. */
static int reply_fetched(struct parked *p, struct wait *w, struct error *err)
{
    (void)w;
    error_set(err, ESTALE, "%s was fetched", node_name(p->node));
    return fail_open(p->m, p->req, p->node, err);
}

/* A table or the page, made at each open. */
static int reply_text(struct parked *p, struct wait *w, struct error *err)
{
    struct rights rights = text_wait_rights(w);
    size_t nbytes;
    char *text;
    int ret;

    if (!caller_may_read(p->req, &rights)) /* a new lookup tells him so */
        return error_set(err, ESTALE, "the sources of %s have changed", node_name(p->node));
    text = text_wait_take(w, &nbytes);
    ret = open_text(p->m, p->node, text, nbytes, &p->fi, err);
    if (ret == 0)
        reply_open(p->req, p->m, p->node, &p->fi);
    return ret;
}

static struct wait *text_wait(struct mount *m, const struct node *node)
{
    struct wait *w = NULL;
    struct dir dir;

    if (node->id.kind == NODE_CONTROL)
        return page_wait_new(m->engine, "../", 0); /* from .derivfs */
    if (node_parent_dir(m->inodes, node, &dir))
        w = table_wait_new(m->engine, &dir, node_name(node), 0);
    free((char *)dir.path);
    return w;
}

static struct wait *source_wait(struct mount *m, const struct node *node)
{
    char *path = node_path(m->inodes, node);
    struct wait *w = path ? fetch_wait_new(m->engine, path) : NULL;

    free(path);
    return w;
}

static bool is_waited_for(const struct node *node)
{
    return node->id.kind == NODE_TABLE ||
           (node->id.kind == NODE_CONTROL && control_is_page(node->id.a));
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct error err = {.code = EIO};
    struct parked p;
    int ret = -EIO;

    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
        fuse_reply_err(req, EROFS);
        return;
    }
    switch (node->id.kind) {
    case NODE_SOURCE:
        ret = open_source(m, req, node, fi, &err);
        break;
    case NODE_DERIVED:
        ret = derived_info(node->derived).drawing ? open_drawn(m, req, node, fi, &err)
                                                  : open_derived(m, req, node, fi, &err);
        break;
    case NODE_CONTROL:
        if (!is_waited_for(node))
            ret = open_control(m, node, fi, &err);
        break;
    case NODE_TEXT:
        ret = open_sized_text(m, req, node, fi, &err);
        break;
    case NODE_DIR:
    case NODE_CONTROL_DIR:
        break; /* only opendir opens them */
    case NODE_TABLE:
        break; /* parked, like the page */
    }
    p = (struct parked){.req = req, .m = m, .node = node, .fi = *fi};
    if (is_waited_for(node)) {
        p.reply = reply_text;
        park(&p, text_wait(m, node));
    } else if (ret == -ENODATA && node->id.kind == NODE_SOURCE) {
        p.reply = reply_fetched;
        park(&p, source_wait(m, node));
    } else if (ret < 0) {
        fail_open(m, req, node, &err);
        fuse_reply_err(req, note_access(m, ERRLOG_CONTENT, node, NULL, &err));
    } else if (file_of(fi)->reader && !reader_info(file_of(fi)->reader).sized) {
        p.reply = reply_derived;
        p.file = file_of(fi);
        p.unbounded = is_command(node);
        p.nbytes = engine_derived_nbytes(m->engine, node->derived); /* as the program was told */
        park(&p, reader_wait_new(p.file->reader, 0, 1));
    } else {
        reply_open(req, m, node, fi);
    }
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);

    (void)ino;
    /* whoever lists directories looks for files that may not be there; a mere read does not */
    if (file_of(fi)->kind == FILE_LISTING && !atomic_exchange(&m->listed, true))
        engine_search_runs(m->engine);
    close_file(m, file_of(fi));
    fuse_reply_err(req, 0);
}
