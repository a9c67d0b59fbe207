/* SPDX-License-Identifier: MIT
 *
 * FUSE operations on names, and the session. ops_list.c has directories.
 *
 * The kernel caches attributes and names for a second. When the file of a name is replaced, the
 * name gets a new node (inode.h). An operation on the old node then answers ESTALE, and the kernel
 * looks the name up again.
 */
#include "ops_private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "kernel_caps.h"
#include "options.h"

static const double TIMEOUT_S = 1.0;

struct mount *mount_new(struct engine *e)
{
    struct mount *m = calloc(1, sizeof *m);
    struct entry root;

    if (!m)
        return NULL;
    if (engine_lookup_path(e, "", &root, NULL) == 0)
        m->root_dev = root.st.st_dev;
    m->engine = e;
    pthread_mutex_init(&m->files.lock, NULL);
    pthread_mutex_init(&m->iomodes.lock, NULL);
    pthread_mutex_init(&m->parking.lock, NULL);
    pthread_cond_init(&m->parking.changed, NULL);
    m->inodes = inodes_new();
    if (m->inodes)
        return m;
    free(m);
    return NULL;
}

void mount_free(struct mount *m)
{
    if (!m)
        return;
    parking_stop(&m->parking);
    files_close_all(&m->files);
    inodes_free(m->inodes);
    free(m);
}

int mount_start(struct mount *m)
{
    return parking_start(&m->parking);
}

void mount_activity(struct mount *m, struct mount_activity *out)
{
    *out = (struct mount_activity){.reads_wait = parked_any(&m->parking),
                                   .is_open = files_any(&m->files),
                                   .nreads = atomic_load(&m->nreads)};
}

int reply_code(const struct error *err)
{
    switch (err->code) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ENODATA:
    case ENOMEM:
    case ELOOP:
    case ENAMETOOLONG:
    case ESTALE:
        return err->code;
    case EDOM: /* wrong parameters in the name; EIO would blame the data */
        return EINVAL;
    case ECANCELED:
    case EINTR:
        return EINTR;
    default:
        return EIO;
    }
}

int note_access(struct mount *m, enum errlog_kind kind, const struct node *node, const char *name,
                const struct error *err)
{
    char *path, *dir;

    if (!err && !engine_access_failed(m->engine))
        return 0;
    dir = node_path(m->inodes, node);
    if (dir && !name)
        engine_note_access(m->engine, kind, dir, err);
    else if (dir && asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) >= 0) {
        engine_note_access(m->engine, kind, path, err);
        free(path);
    }
    free(dir);
    return err ? reply_code(err) : 0;
}

int lookup_node(struct mount *m, const struct node *node, struct entry *out, struct error *err)
{
    struct dir dir;
    int ret;

    if (node == inodes_find(m->inodes, FUSE_ROOT_ID))
        return engine_lookup_path(m->engine, "", out, err);
    ret = node_parent_dir(m->inodes, node, &dir)
              ? engine_lookup(m->engine, &dir, node_name(node), out, err)
              : error_set(err, ENOMEM, "%s: out of memory", node_name(node));
    free((char *)dir.path);
    return ret;
}

/* ---- attributes ---- */

uint64_t shown_ino(const struct mount *m, uint64_t dev, uint64_t ino)
{
    uint64_t both[] = {dev, ino};

    if (dev == m->root_dev)
        return ino;
    /* the upper bits tell apart what the mount makes up */
    return (XXH3_64bits(both, sizeof both) >> 3) | UINT64_C(1) << 61;
}

/* The control directory and its files. Only opening them makes the text. */
static void stat_control(const struct node_identity *id, struct stat *st)
{
    bool dir = id->kind == NODE_CONTROL_DIR, own = !dir && !control_is_public(id->a);

    *st = (struct stat){
        .st_ino = UINT64_C(1) << 62 | (dir ? 0 : id->a + 1),
        .st_mode = dir   ? S_IFDIR | 0555
                   : own ? S_IFREG | 0400
                         : S_IFREG | 0444,
        .st_uid = own ? geteuid() : 0,
        .st_gid = own ? getegid() : 0,
        .st_nlink = 1,
        .st_size = dir ? 0 : (off_t)UNKNOWN_NBYTES,
        .st_blocks = !dir,
        .st_blksize = 4096,
    };
    clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    st->st_ctim = st->st_atim = st->st_mtim;
}

/* Is the content made at each open? Then its length is known while it is open. */
static bool is_made(const struct node *node)
{
    return node->id.kind == NODE_TABLE || node->id.kind == NODE_CONTROL ||
           (node->id.kind == NODE_DERIVED && derived_info(node->derived).drawing);
}

static void set_made_size(const struct node *node, struct stat *st)
{
    bool known = node->ntexts > 0;

    st->st_size = (off_t)(known ? node->text_nbytes : UNKNOWN_NBYTES);
    st->st_blocks = known ? (st->st_size + 511) / 512 : 1;
}

/* Is the size unknown, or will it change when the runs are here? */
static bool is_unsettled(const struct node *node, const struct stat *st)
{
    return is_made(node) ||
           (node->id.kind == NODE_DERIVED &&
            (st->st_size == (off_t)UNKNOWN_NBYTES || derived_info(node->derived).is_wrong));
}

/* The kernel must not cache a size that the next open changes, nor that of a command's file that is
 * not computed yet, which a program may ask for right after opening it. */
static double attr_timeout(const struct node *node, const struct stat *st)
{
    return is_unsettled(node, st) ? 0 : TIMEOUT_S;
}

static int find_control(const char *name, struct node_identity *id)
{
    for (size_t i = 0; control_name(i); i++)
        if (strcmp(control_name(i), name) == 0) {
            *id = (struct node_identity){NODE_CONTROL, i, 0};
            return 0;
        }
    return -ENOENT;
}

static struct node_identity identity_of(const struct entry *entry)
{
    switch (entry->kind) {
    case ENTRY_DERIVED:
        return (struct node_identity){NODE_DERIVED, derived_info(entry->derived).version, 0};
    case ENTRY_DIR:
        return (struct node_identity){NODE_DIR, entry->dev, entry->ino};
    case ENTRY_TEXT:
        return (struct node_identity){NODE_TEXT, entry->st.st_ino, (uint64_t)entry->st.st_size};
    case ENTRY_TABLE:
        return (struct node_identity){NODE_TABLE, entry->st.st_ino,
                                      (uint64_t)entry->st.st_mtim.tv_sec * 1000000000 +
                                          (uint64_t)entry->st.st_mtim.tv_nsec};
    case ENTRY_SOURCE:
        break;
    }
    return (struct node_identity){NODE_SOURCE, entry->st.st_dev, entry->st.st_ino};
}

static int find(struct mount *m, struct node *parent, const struct dir *dir, const char *name,
                struct stat *st, struct node **out, struct error *err)
{
    struct entry entry = {.derived = NULL};
    struct node_identity id;
    int ret = 0;

    if (parent == inodes_find(m->inodes, FUSE_ROOT_ID) && strcmp(name, CONTROL_DIR) == 0) {
        id = (struct node_identity){NODE_CONTROL_DIR, 0, 0};
        stat_control(&id, st);
    } else if (parent->id.kind == NODE_CONTROL_DIR) {
        if (find_control(name, &id) < 0)
            return error_set(err, ENOENT, "%s: no such control file", name);
        stat_control(&id, st);
    } else {
        ret = engine_lookup(m->engine, dir, name, &entry, err);
        if (ret < 0)
            return ret;
        id = identity_of(&entry);
        *st = entry.st;
        free(entry.text);
    }
    *out = inodes_enter(m->inodes, parent, name, &id, entry.derived);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}

static void fill_entry(struct mount *m, const struct node *node, const struct stat *st,
                       struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = node_id(m->inodes, node),
        .generation = node->generation,
        .attr = *st,
        .attr_timeout = attr_timeout(node, st),
        .entry_timeout = TIMEOUT_S,
    };
    if (node->id.kind == NODE_SOURCE && st->st_dev != 0)
        e->attr.st_ino = shown_ino(m, st->st_dev, st->st_ino);
    /* The kernel looks a file of unknown size up before each open: sendfile(2) and mappings end at
     * the size that the kernel knows, which a read that reaches the end makes smaller, but none
     * larger. */
    if (is_unsettled(node, st))
        e->attr_timeout = e->entry_timeout = 0;
}

int enter_name(struct mount *m, struct node *parent, const struct dir *dir, const char *name,
               struct fuse_entry_param *e, struct node **out)
{
    struct error err;
    struct stat st;
    bool failed = find(m, parent, dir, name, &st, out, &err) < 0;

    if (!failed)
        fill_entry(m, *out, &st, e);
    return note_access(m, ERRLOG_NAME, parent, name, failed ? &err : NULL);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *in = inodes_find(m->inodes, parent), *node;
    struct fuse_entry_param e;
    struct dir dir;
    int code = ENOMEM;

    if (node_dir(m->inodes, in, &dir))
        code = enter_name(m, in, &dir, name, &e, &node);
    free((char *)dir.path);
    if (code != 0) {
        fuse_reply_err(req, code);
        return;
    }
    if (fuse_reply_entry(req, &e) != 0)
        inodes_forget(m->inodes, node, 1); /* the kernel did not get it */
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    struct mount *m = fuse_req_userdata(req);

    inodes_forget(m->inodes, inodes_find(m->inodes, ino), nlookup);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct mount *m = fuse_req_userdata(req);

    for (size_t i = 0; i < count; i++)
        inodes_forget(m->inodes, inodes_find(m->inodes, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

static int stat_source(struct mount *m, const struct node *node, struct stat *st, struct error *err)
{
    struct entry entry;
    struct node_identity id;
    int ret = lookup_node(m, node, &entry, err);

    if (ret < 0)
        return ret;
    id = identity_of(&entry);
    entry_clear(&entry);
    *st = entry.st;
    if (id.kind == NODE_TABLE && node->id.kind == NODE_TABLE)
        return 0; /* made at each open, so a program may have one open that is older */
    if (node != inodes_find(m->inodes, FUSE_ROOT_ID) && !node_is(node, &id))
        return error_set(err, ESTALE, "%s was replaced", node_name(node));
    return 0;
}

int node_stat(struct mount *m, const struct node *node, struct stat *st, struct error *err)
{
    char *path;
    int ret = 0;

    if (node->id.kind == NODE_CONTROL_DIR || node->id.kind == NODE_CONTROL) {
        stat_control(&node->id, st);
    } else if (node->id.kind == NODE_DERIVED) {
        path = node_path(m->inodes, node);
        if (!path)
            return error_set(err, ENOMEM, "out of memory");
        engine_stat_derived(m->engine, node->derived, path, st);
        free(path);
    } else {
        ret = stat_source(m, node, st, err);
    }
    if (ret == 0 && is_made(node))
        set_made_size(node, st);
    return ret;
}

/* The kernel asks for an open file as for its name, and fstat(2) must not fail because the name is
 * gone or another file's. */
static bool stat_replaced(struct mount *m, const struct node *node, struct stat *st,
                          const struct error *err)
{
    if ((err->code != ESTALE && err->code != ENOENT) || !files_stat(&m->files, node, st))
        return false;
    if (node->ntexts > 0)
        set_made_size(node, st);
    return true;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct file *f = fi ? file_of(fi) : NULL; /* for reads, but not for fstat(2) */
    struct stat st;
    bool known = f && f->kind == FILE_SOURCE && engine_stat_open(f->fd, &st) == 0;
    struct error err;

    if (!known && node_stat(m, node, &st, &err) < 0 && !stat_replaced(m, node, &st, &err)) {
        fuse_reply_err(req, note_access(m, ERRLOG_NAME, node, NULL, &err));
        return;
    }
    if (node->id.kind == NODE_SOURCE && st.st_dev != 0)
        st.st_ino = shown_ino(m, st.st_dev, st.st_ino);
    fuse_reply_attr(req, &st, attr_timeout(node, &st));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    char target[PATH_MAX + 1];
    struct error err = {.code = ENOMEM};
    struct dir dir;

    if (!node_parent_dir(m->inodes, node, &dir) ||
        engine_readlink(m->engine, &dir, node_name(node), target, sizeof target, &err) < 0)
        fuse_reply_err(req, note_access(m, ERRLOG_CONTENT, node, NULL, &err));
    else
        fuse_reply_readlink(req, target);
    free((char *)dir.path);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct mount *m = fuse_req_userdata(req);
    struct statvfs st;

    (void)ino;
    if (engine_statvfs(m->engine, &st) < 0)
        st = (struct statvfs){.f_bsize = 4096, .f_namemax = 255};
    fuse_reply_statfs(req, &st);
}

/* ---- the session ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    const struct mount *m = userdata;

    kernel_caps_init(conn);
    if (m->max_read > 0)
        conn->max_read = m->max_read; /* libfuse wants to be told twice */
    /* many reads may wait at once; with the default of 12 they would block all others */
    conn->max_background = 512;
    conn->congestion_threshold = 512;
    /* moving pages is no faster here, and could remove the source's pages from the page cache */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_MOVE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE);
}

struct fuse_session *mount_session_new(struct mount *m, struct fuse_args *args,
                                       const struct options *o)
{
    struct fuse_lowlevel_ops ops = {
        .init = op_init,
        .lookup = op_lookup,
        .forget = op_forget,
        .forget_multi = op_forget_multi,
        .getattr = op_getattr,
        .readlink = op_readlink,
        .statfs = op_statfs,
        .opendir = op_opendir,
        .readdir = op_readdir,
        .readdirplus = op_readdirplus,
        .releasedir = op_release,
        .open = op_open,
        .read = op_read,
        .release = op_release,
    };

    /* where they are not set, the kernel remembers ENOSYS and asks no more */
    if (o->xattr) {
        ops.getxattr = op_getxattr;
        ops.listxattr = op_listxattr;
    }
    m->max_read = o->max_read;
    m->iomodes.session = fuse_session_new(args, &ops, sizeof ops, m);
    return m->iomodes.session;
}
