/* SPDX-License-Identifier: MIT
 *
 * The names of file systems.
 *
 *     network   type and source in /proc/self/mountinfo: the same on all hosts that mount it
 *     local     f_fsid of statfs(2), unless that is only the device again; else the UUID
 *               (FS_IOC_GETFSUUID, Linux 6.9); else the device number
 *
 * f_fsid comes first because that of btrfs has the subvolume, in which inode numbers count.
 * A device number comes and goes: a loop device may have another image a moment later. So what is
 * known is kept by mount, too. Since Linux 6.8 a mount has an id that is never used again.
 * Deliberate imprecision: before that an id may be used again. Then a file system that is mounted in
 * place of another one, within the dataset and while the daemon runs, may be taken for that one. (The
 * dataset's own file system cannot go: the daemon holds its root.)
 */
#include "filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

const unsigned filesystem_statx_mask = STATX_BASIC_STATS | STATX_MNT_ID | STATX_MNT_ID_UNIQUE;

/* Linux 6.9; not in every linux/fs.h. */
struct fs_uuid {
    uint8_t nbytes;
    uint8_t bytes[16];
};
#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

enum { KNOWN_MAX = 4096 };

struct known {
    struct {
        uint64_t mount, dev;
    } at;
    struct filesystem fs;
    UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *known; /* guarded by lock */

static pthread_once_t session_once = PTHREAD_ONCE_INIT;
static char session[SESSION_HEX + 1]; /* set once */
static char *trusted;                 /* as filesystem_trust() was given it; NULL: nothing */

/* ---- session and trust ---- */

static void make_session(void)
{
    unsigned char random[SESSION_HEX / 2];

    if (session[0])
        return;
    if (getentropy(random, sizeof random) < 0) { /* Linux 3.17 */
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        memset(random, 0, sizeof random);
        memcpy(random, &now, sizeof random < sizeof now ? sizeof random : sizeof now);
    }
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(session + 2 * i, 3, "%02x", random[i]);
}

const char *filesystem_session(void)
{
    pthread_once(&session_once, make_session);
    return session;
}

void filesystem_join_session(const char *joined)
{
    snprintf(session, sizeof session, "%s", joined);
}

static uint64_t mount_id(const struct statx *stx)
{
    return stx->stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE) ? stx->stx_mnt_id : 0;
}

static int look_at(int dirfd, const char *path, unsigned mask, struct statx *out)
{
    return statx(dirfd, path, AT_EMPTY_PATH | AT_NO_AUTOMOUNT, mask, out);
}

/* Call `found` for each item of the list until it returns true. */
static bool any_trusted(bool (*found)(const char *item, const void *ctx), const void *ctx)
{
    const char *at = trusted;
    bool is = false;

    while (at && *at && !is) {
        size_t n = strcspn(at, ":");
        char *item = strndup(at, n);

        is = item && *item && found(item, ctx);
        free(item);
        at += n + (at[n] == ':');
    }
    return is;
}

static bool is_missing(const char *item, const void *ctx)
{
    struct error *err = *(struct error *const *)ctx;
    struct statx stx;

    if (item[0] != '/' || look_at(AT_FDCWD, item, STATX_BASIC_STATS, &stx) == 0)
        return false;
    error_set(err, EINVAL, "trust_ids=%s: %s", item, strerrordesc_np(errno));
    return true;
}

int filesystem_trust(const char *list, struct error *err)
{
    free(trusted);
    trusted = list ? strdup(list) : NULL;
    if (list && !trusted)
        return error_set(err, ENOMEM, "trust_ids=%s: out of memory", list);
    return list && any_trusted(is_missing, &err) ? -EINVAL : 0;
}

/* ---- one file system ---- */

struct looked_at {
    int fd;
    const struct statx *stx;
    /* as in mountinfo; "": unknown */
    char type[64], source[512], at[1024], options[1024];
};

/* The line of mountinfo that begins with `id`:
 * "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw". */
static bool take_mount(struct looked_at *l, const char *line, uint64_t id)
{
    const char *rest = strstr(line, " - ");

    return strtoull(line, NULL, 10) == id && rest &&
           sscanf(line, "%*u %*u %*s %*s %1023s", l->at) == 1 &&
           sscanf(rest, " - %63s %511s %1023s", l->type, l->source, l->options) >= 2;
}

static void find_mount(struct looked_at *l)
{
    struct statx stx;
    char *line = NULL;
    size_t room = 0;
    FILE *f;

    if (look_at(l->fd, "", STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
        return;
    f = fopen("/proc/self/mountinfo", "re");
    while (f && getline(&line, &room, f) > 0 && !take_mount(l, line, stx.stx_mnt_id))
        ;
    free(line);
    if (f)
        fclose(f);
}

static bool is_trusted(const char *item, const void *ctx)
{
    const struct looked_at *l = ctx;
    struct statx stx;

    if (item[0] != '/')
        return strcmp(item, l->type) == 0;
    return look_at(AT_FDCWD, item, filesystem_statx_mask, &stx) == 0 && mount_id(&stx) != 0 &&
           mount_id(&stx) == mount_id(l->stx);
}

/* A UUID that FS_IOC_GETFSUUID gives. A descriptor made with O_PATH must be opened again for it. */
static bool add_uuid(const struct looked_at *l, struct key_builder *b)
{
    struct fs_uuid uuid = {.nbytes = 0};
    char path[64];
    int fd, ret;

    if (!S_ISREG(l->stx->stx_mode) && !S_ISDIR(l->stx->stx_mode))
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->fd);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    ret = ioctl(fd, GET_FS_UUID, &uuid);
    close(fd);
    if (ret < 0 || uuid.nbytes == 0 || uuid.nbytes > sizeof uuid.bytes)
        return false;
    key_add(b, "uuid", uuid.bytes, uuid.nbytes);
    return true;
}

static uint64_t device(const struct statx *stx)
{
    return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

/* The device as file systems put it into f_fsid that have nothing better. */
static uint64_t encoded_device(const struct statx *stx)
{
    return (stx->stx_dev_minor & 0xff) | (uint64_t)stx->stx_dev_major << 8 |
           (uint64_t)(stx->stx_dev_minor & ~0xffU) << 12;
}

static void name_local(const struct looked_at *l, const struct statfs *st, struct key_builder *b)
{
    uint32_t half[2];
    uint64_t fsid;

    memcpy(half, &st->f_fsid, sizeof half);
    fsid = half[0] | (uint64_t)half[1] << 32;
    key_add_numbers(b, "type", (const int64_t[]){(int64_t)st->f_type}, 1);
    if (fsid != 0 && fsid != encoded_device(l->stx))
        key_add_numbers(b, "fsid", (const int64_t[]){(int64_t)fsid}, 1);
    else if (!add_uuid(l, b))
        key_add_numbers(b, "device", (const int64_t[]){(int64_t)device(l->stx)}, 1);
}

enum kind { KIND_OTHER, KIND_LOCAL, KIND_NETWORK };

/* Of the file systems whose ctime is the kernel's own, or their server's. */
static enum kind kind_of(const struct statfs *st)
{
    static const struct {
        uint32_t type;
        enum kind kind;
    } types[] = {
        {0xef53, KIND_LOCAL},       /* ext2, ext3, ext4 */
        {0x58465342, KIND_LOCAL},   /* xfs */
        {0x9123683e, KIND_LOCAL},   /* btrfs */
        {0xf2f52010, KIND_LOCAL},   /* f2fs */
        {0x2fc12fc1, KIND_LOCAL},   /* zfs */
        {0x01021994, KIND_LOCAL},   /* tmpfs */
        {0x6969, KIND_NETWORK},     /* nfs */
        {0x0bd00bd0, KIND_NETWORK}, /* lustre */
        {0x47504653, KIND_NETWORK}, /* gpfs */
        {0x00c36400, KIND_NETWORK}, /* ceph */
        {0x19830326, KIND_NETWORK}, /* beegfs */
    };

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)st->f_type == types[i].type)
            return types[i].kind;
    return KIND_OTHER;
}

static void add_name(const struct looked_at *l, const struct statfs *st, enum kind kind,
                     struct key_builder *b)
{
    if (kind == KIND_LOCAL || !l->type[0]) {
        name_local(l, st, b);
        return;
    }
    key_add_text(b, "type", l->type);
    key_add_text(b, "source", l->source);
    if (kind == KIND_OTHER) { /* there may be many of type "overlay" and source "overlay" */
        key_add_text(b, "at", l->at);
        key_add_text(b, "options", l->options);
    }
}

/* Where memory is out, the empty key, which equals itself only within this process. */
static void inspect(int fd, const struct statx *stx, struct filesystem *out)
{
    struct looked_at l = {.fd = fd, .stx = stx};
    struct key_builder *mount = key_begin("mount", 1), *name = key_begin("file system", 1);
    struct statfs st = {.f_type = 0};
    enum kind kind;

    *out = (struct filesystem){.lasting = false};
    if (mount) {
        key_add_text(mount, "session", filesystem_session());
        key_add_numbers(mount, "mount",
                        (const int64_t[]){(int64_t)mount_id(stx), (int64_t)device(stx)}, 2);
        key_end(mount, &out->mount);
    }
    kind = fstatfs(fd, &st) == 0 ? kind_of(&st) : KIND_OTHER;
    if (kind == KIND_NETWORK || (kind == KIND_OTHER && trusted))
        find_mount(&l);
    if (name) {
        add_name(&l, &st, kind, name);
        key_end(name, &out->name);
    }
    out->lasting = mount && name && (kind != KIND_OTHER || any_trusted(is_trusted, &l));
}

/* ---- all of them ---- */

static void forget_all(void)
{
    struct known *k, *next;

    HASH_ITER(hh, known, k, next)
    {
        HASH_DEL(known, k); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(k);
    }
}

static void remember(const struct known *fresh)
{
    struct known *k = malloc(sizeof *k), *old;

    if (!k)
        return;
    *k = *fresh;
    pthread_mutex_lock(&lock);
    HASH_FIND(hh, known, &k->at, sizeof k->at, old);
    if (!old && HASH_COUNT(known) >= KNOWN_MAX)
        forget_all();
    if (!old)
        HASH_ADD(hh, known, at, sizeof k->at, k);
    if (old || !k->hh.tbl)
        free(k);
    pthread_mutex_unlock(&lock);
}

void filesystem_of(int fd, const struct statx *stx, struct filesystem *out)
{
    struct known fresh = {.at = {mount_id(stx), device(stx)}}, *found;

    pthread_mutex_lock(&lock);
    /* No padding: every byte is set. NOLINTNEXTLINE(clang-analyzer-core.*) */
    HASH_FIND(hh, known, &fresh.at, sizeof fresh.at, found);
    if (found)
        *out = found->fs;
    pthread_mutex_unlock(&lock);
    if (found)
        return;
    inspect(fd, stx, &fresh.fs);
    *out = fresh.fs;
    remember(&fresh);
}
