/* SPDX-License-Identifier: MIT
 *
 * Which file a source is: opened beneath the root, identified by file system, inode, size, mtime and
 * ctime.
 *
 * An annex object's key is a hash of its content, says its place; but anybody can put any file
 * there, and a disk can damage it. So a key is only noted. The object's place is asked from the
 * kernel (/proc/self/fd) once the file is open, because links in the middle of a path count too;
 * where there is no /proc the file has no key.
 */
#include "source_id.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "annex.h"
#include "fd.h"
#include "filesystem.h"
#include "resolve_links.h"
#include "rights.h"
#include "time_ns.h"

/* The directories that links lead through, equal ones once. */
struct passed {
    struct rights dirs[16]; /* [n]; mode: all of it */
    size_t n;
    bool unknown; /* there were more */
};

static void pass(void *ctx, int dirfd)
{
    struct passed *p = ctx;
    struct stat st;

    if (fstat(dirfd, &st) < 0)
        st = (struct stat){.st_mode = 0};
    rights_apply_acl(dirfd, "", &st);
    for (size_t i = 0; i < p->n; i++)
        if (p->dirs[i].mode == st.st_mode && p->dirs[i].uid == st.st_uid &&
            p->dirs[i].gid == st.st_gid)
            return;
    p->unknown = p->unknown || p->n == sizeof p->dirs / sizeof *p->dirs;
    if (!p->unknown)
        p->dirs[p->n++] = (struct rights){st.st_mode, st.st_uid, st.st_gid};
}

/* Leave in `id` who may read what is open at `fd`, and may search all directories passed. */
static void narrow_rights(int fd, const struct passed *p, struct source_id *id)
{
    struct stat st = {.st_mode = id->mode};
    struct rights r;

    rights_apply_acl(fd, "", &st);
    r = (struct rights){st.st_mode & 0444, id->uid, id->gid};
    for (size_t i = 0; i < p->n; i++)
        rights_restrict(&r, RIGHT_SEARCH, p->dirs[i].mode, p->dirs[i].uid, p->dirs[i].gid);
    id->mode = (id->mode & ~0444U) | (p->unknown ? r.mode & 0400 : r.mode);
}

static int system_fault(const char *path, const char *operation, int code, struct error *err)
{
    return error_fault(err, code, "%s: cannot %s: %s", path, operation, strerrordesc_np(code));
}

/* ENOENT and ENOTDIR. */
static int explain_absence(int code, int rootfd, const char *path, struct error *err)
{
    enum annex_absence absence;
    int ret = annex_explain_absence(rootfd, path, &absence);

    if (ret < 0)
        return system_fault(path, "follow its links", -ret, err);
    if (absence == ABSENT_CONTENT)
        return error_set(err, ENODATA, "%s: content is not here (git annex get %s)", path, path);
    if (absence == ABSENT_LINK_TARGET)
        return error_set(err, ENOENT, "%s: cannot open: the link's target does not exist", path);
    return error_set(err, code, "%s: cannot open: %s", path,
                     code == ENOENT ? "no such file" : strerrordesc_np(code));
}

static int explain_open(int code, int rootfd, const char *path, struct error *err)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR: /* the .git of a submodule is a file before git-annex is set up in it */
        return explain_absence(code, rootfd, path, err);
    case EXDEV:
        return error_set(err, EXDEV, "%s: cannot open: a link leads out of the dataset", path);
    case ELOOP:
        return error_set(err, ELOOP, "%s: cannot open: too many levels of links", path);
    case ENXIO: /* a socket, or a device without driver */
        return error_set(err, EINVAL, "%s: cannot open: not a regular file", path);
    default:
        break;
    }
    if (resolve_is_fault(-code))
        return system_fault(path, "open", code, err);
    return error_set(err, code, "%s: cannot open: %s", path, strerrordesc_np(code));
}

/* Which file system, and what attributes are worth there. A ctime in whole seconds is no evidence
 * anywhere: it may be an image's, which was made with fixed times. */
static void add_filesystem(int fd, const struct statx *stx, struct source_id *out)
{
    struct filesystem fs;

    filesystem_of(fd, stx, &fs);
    out->lasting = fs.lasting && stx->stx_ctime.tv_nsec != 0;
    out->fs = out->lasting ? fs.name : fs.mount;
}

int source_id_of_fd(int fd, const char *path, struct source_id *out, mode_t *type,
                    struct error *err)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, filesystem_statx_mask, &stx) < 0)
        return system_fault(path, "stat", errno, err);
    *type = stx.stx_mode & S_IFMT;
    *out = (struct source_id){
        .ino = stx.stx_ino,
        .size = stx.stx_size,
        .mtime_ns = time_ns_of(&stx.stx_mtime),
        .ctime_ns = time_ns_of(&stx.stx_ctime),
        .mode = stx.stx_mode,
        .uid = stx.stx_uid,
        .gid = stx.stx_gid,
    };
    add_filesystem(fd, &stx, out);
    return 0;
}

/* Look whether the open file is an object of git-annex, and as long as it should be. */
static int identify_object(int fd, const char *path, struct source_id *id, struct error *err)
{
    char name[64], resolved[PATH_MAX];
    struct annex_key key;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, resolved, sizeof(resolved) - 1);
    if (len < 0) /* without /proc that is always so */
        return resolve_is_fault(-errno) ? system_fault(path, "find its place", errno, err) : 0;
    resolved[len] = '\0';
    if (!annex_key_of_object(resolved, &key))
        return 0;
    if (key.size >= 0 && (uint64_t)key.size != id->size)
        return error_set(err, EIO,
                         "%s: corrupt git-annex object: %" PRIu64 " bytes, its key says %" PRId64,
                         path, id->size, key.size);
    if (key.is_content_hash)
        memcpy(id->annex_key, key.text, sizeof(id->annex_key));
    return 0;
}

static int identify_annex(int fd, const char *path, struct source_id *id, struct error *err)
{
    int pointer = annex_is_pointer(fd, id->size);

    if (pointer < 0)
        return system_fault(path, "read", -pointer, err);
    if (pointer)
        return error_set(err, ENODATA, "%s: content is not here (git annex get %s)", path, path);
    return identify_object(fd, path, id, err);
}

int source_id_open(int rootfd, int dirfd, const char *path, int *out_fd, struct source_id *out,
                   struct error *err)
{
    struct passed passed = {.n = 0};
    mode_t type;
    int fd = resolve_links(rootfd, dirfd, path, O_RDONLY, pass, &passed);

    if (fd < 0)
        return explain_open(-fd, rootfd, path, err);
    int ret = source_id_of_fd(fd, path, out, &type, err);
    if (ret == 0 && type == S_IFDIR)
        ret = error_set(err, EISDIR, "%s: cannot open: is a directory", path);
    else if (ret == 0 && type != S_IFREG)
        ret = error_set(err, EINVAL, "%s: cannot open: not a regular file", path);
    if (ret == 0)
        ret = identify_annex(fd, path, out, err);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    narrow_rights(fd, &passed, out);
    *out_fd = fd;
    return 0;
}

int source_identify(int rootfd, int dirfd, const char *path, struct source_id *out,
                    struct error *err)
{
    int fd;
    int ret = source_id_open(rootfd, dirfd, path, &fd, out, err);

    if (ret == 0)
        close(fd);
    return ret;
}

static bool is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* Nobody knows who could read the content when it was here. Whoever makes a link and a repository may
 * name any content in them, also what he could never read: only root and the daemon's user are
 * believed. */
int source_identify_absent(int rootfd, int dirfd, const char *path, struct source_id *out)
{
    struct annex_content c;
    const char *slash = strrchr(path, '/');
    mode_t type;
    int fd = dirfd < 0 ? resolve_beneath(rootfd, path, O_PATH | O_NOFOLLOW)
                       : resolve_beneath(dirfd, slash ? slash + 1 : path, O_PATH | O_NOFOLLOW);
    int ret = fd < 0 ? fd : source_id_of_fd(fd, path, out, &type, NULL);

    if (fd >= 0)
        close(fd);
    if (ret == 0)
        ret = annex_find_absent(rootfd, path, &c, NULL);
    if (ret != 0)
        return resolve_is_fault(ret) ? ret : -ENODATA;
    ret = c.key.is_content_hash && c.key.size >= 0 && c.ino != 0 ? 0 : -ENODATA;
    out->fs = (struct key){.hex = ""};
    out->lasting = false;
    out->ino = 0;
    out->size = (uint64_t)c.key.size;
    out->mode = S_IFREG | (is_trusted(out->uid) && is_trusted(c.uid) ? c.mode & 0444 : 0);
    out->uid = c.uid;
    out->gid = c.gid;
    memcpy(out->annex_key, c.key.text, sizeof out->annex_key);
    annex_content_clear(&c);
    return ret;
}

static bool same_inode(const struct source_id *a, const struct source_id *b)
{
    return key_equal(&a->fs, &b->fs) && a->ino == b->ino && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

static bool same_size_and_rights(const struct source_id *a, const struct source_id *b)
{
    return a->size == b->size && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

static int peek(int rootfd, int dirfd, const char *path, bool objects_too, struct source_id *out)
{
    struct passed passed = {.n = 0};
    mode_t type;
    int fd = resolve_links(rootfd, dirfd, path, O_PATH, pass, &passed);

    if (fd < 0)
        return fd;
    int ret = source_id_of_fd(fd, path, out, &type, NULL);
    if (ret == 0 && type != S_IFREG)
        ret = -EINVAL;
    if (ret == 0 && objects_too)
        ret = identify_object(fd, path, out, NULL);
    if (ret == 0)
        narrow_rights(fd, &passed, out);
    close(fd);
    return ret;
}

int source_peek(int rootfd, int dirfd, const char *path, struct source_id *out)
{
    return peek(rootfd, dirfd, path, true, out);
}

bool source_is_still(int rootfd, int dirfd, const char *path, const struct source_id *known)
{
    struct source_id now;

    return peek(rootfd, dirfd, path, false, &now) == 0 && same_inode(&now, known) &&
           same_size_and_rights(&now, known);
}

static int64_t age_ns(const struct source_id *id)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec - id->ctime_ns;
}

bool source_is_settled(const struct source_id *id)
{
    bool coarse = id->ctime_ns % 1000000000 == 0;

    return age_ns(id) > (coarse ? INT64_C(2000000000) : INT64_C(20000000));
}

bool source_is_fresh(const struct source_id *id)
{
    return age_ns(id) < INT64_C(10000000000);
}

bool source_id_equal(const struct source_id *a, const struct source_id *b)
{
    return same_size_and_rights(a, b) && strcmp(a->annex_key, b->annex_key) == 0 &&
           same_inode(a, b);
}

bool source_id_differs_in_ctime(const struct source_id *a, const struct source_id *b)
{
    struct source_id same = *a;

    same.ctime_ns = b->ctime_ns;
    return a->ctime_ns != b->ctime_ns && source_id_equal(&same, b);
}

void source_id_text(const struct source_id *id, char *out)
{
    snprintf(out, SOURCE_ID_TEXT_MAX,
             "fs %s ino %" PRIu64 " size %" PRIu64 " mtime %" PRId64 " ctime %" PRId64, id->fs.hex,
             id->ino, id->size, id->mtime_ns, id->ctime_ns);
}

void source_id_add_to_key(const struct source_id *id, struct key_builder *b)
{
    key_add_key(b, "file system", &id->fs);
    key_add_numbers(
        b, "source",
        (const int64_t[]){(int64_t)id->ino, (int64_t)id->size, id->mtime_ns, id->ctime_ns}, 4);
}

bool source_id_name(const struct source_id *id, struct key *out)
{
    struct key_builder *b = key_begin("source", 1);

    if (!b)
        return false;
    source_id_add_to_key(id, b);
    key_end(b, out);
    return true;
}
