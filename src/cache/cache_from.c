/* SPDX-License-Identifier: MIT
 *
 * Caches of others, which are only read: a lab's, a site's.
 *
 * A result is believed because of who could have written it. So each directory from the cache's own
 * down, the meta and the payload must belong to root, to this user or to a named one, and nobody
 * else may write to them. All are opened relative to a checked descriptor, follow no link, and are
 * checked after they were opened: what was checked is what is read. The parents of the directory
 * are the business of whoever names it.
 *
 * Nothing is written there: no touch, no lock, no removal. A damaged entry is remembered and passed
 * over.
 */
#include "cache_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

struct from {
    int v1, objects; /* descriptors of its v1 and v1/objects; -1: not used */
    bool remote;
};

static bool is_trusted(const struct cache *c, const struct stat *st)
{
    bool owner = st->st_uid == 0 || st->st_uid == geteuid();

    for (size_t i = 0; i < c->nowners && !owner; i++)
        owner = st->st_uid == c->owners[i];
    return owner && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* A descriptor, or -errno; -EPERM: it is not to be believed. */
static int open_trusted(const struct cache *c, int at, const char *name, mode_t type,
                        struct stat *st)
{
    int fd, ret = 0;

    do {
        fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    if (fstat(fd, st) < 0)
        ret = -errno;
    else if ((st->st_mode & S_IFMT) != type)
        ret = type == S_IFDIR ? -ENOTDIR : -EBADMSG;
    else if (!is_trusted(c, st))
        ret = -EPERM;
    if (ret < 0)
        close(fd);
    return ret < 0 ? ret : fd;
}

/* ---- opening ---- */

static void warn_of(const struct cache *c, const char *dir, int code, const struct stat *st)
{
    struct error what;

    if (!c->warn)
        return;
    if (code != EPERM)
        error_set(&what, code, "cache_from=%s: %s; it is not used", dir, strerror(code));
    else if (st->st_mode & (S_IWGRP | S_IWOTH))
        error_set(&what, code,
                  "cache_from=%s: others than its owner may write there (mode %o); it is not used",
                  dir, st->st_mode & 07777);
    else
        error_set(&what, code,
                  "cache_from=%s: it belongs to user %u; it is not used unless cache_from_owner "
                  "names that user",
                  dir, st->st_uid);
    c->warn(c->warn_ctx, &what);
}

/* 0, or -errno, and then neither is open. */
static int open_dirs(const struct cache *c, const char *dir, struct from *f, struct stat *st)
{
    int root = open_trusted(c, AT_FDCWD, dir, S_IFDIR, st);

    f->v1 = root < 0 ? root : open_trusted(c, root, "v1", S_IFDIR, st);
    f->objects = f->v1 < 0 ? f->v1 : open_trusted(c, f->v1, "objects", S_IFDIR, st);
    if (root >= 0)
        close(root);
    if (f->objects >= 0)
        return 0;
    if (f->v1 >= 0)
        close(f->v1);
    return f->objects;
}

int from_open(struct cache *c, const struct cache_config *config)
{
    if (config->nfrom == 0)
        return 0;
    c->from = calloc(config->nfrom, sizeof *c->from);
    c->owners = calloc(config->nowners + 1, sizeof *c->owners);
    if (!c->from || !c->owners)
        return -ENOMEM;
    if (config->nowners > 0)
        memcpy(c->owners, config->owners, config->nowners * sizeof *c->owners);
    c->nowners = config->nowners;
    for (; c->nfrom < config->nfrom; c->nfrom++) {
        struct from *f = &c->from[c->nfrom];
        struct stat st = {.st_mode = 0};

        int ret = open_dirs(c, config->from[c->nfrom], f, &st);

        if (ret < 0)
            warn_of(c, config->from[c->nfrom], -ret, &st);
        f->v1 = ret < 0 ? -1 : f->v1;
        f->objects = ret < 0 ? -1 : f->objects;
        if (ret == 0)
            f->remote = disk_is_remote(config->from[c->nfrom]);
    }
    return 0;
}

void from_close(struct cache *c)
{
    for (size_t i = 0; i < c->nfrom; i++)
        if (c->from[i].objects >= 0) {
            close(c->from[i].objects);
            close(c->from[i].v1);
        }
    free(c->from);
    free(c->owners);
}

/* ---- entries ---- */

static int open_pair(const struct cache *c, int bucket, const struct key *key,
                     struct disk_meta *meta, struct stat *st)
{
    char name[KEY_HEX + sizeof ".meta"];
    int fd, ret;

    snprintf(name, sizeof name, "%.*s.meta", KEY_HEX, key->hex);
    fd = open_trusted(c, bucket, name, S_IFREG, st);
    if (fd < 0)
        return fd;
    ret = disk_read_meta(fd, meta);
    close(fd);
    if (ret < 0)
        return ret;
    name[KEY_HEX] = '\0';
    fd = open_trusted(c, bucket, name, S_IFREG, st);
    if (fd >= 0 && (uint64_t)st->st_size != meta->nbytes) {
        close(fd);
        return -EBADMSG;
    }
    return fd;
}

static int open_entry(const struct cache *c, const struct from *f, const struct key *key,
                      struct disk_meta *meta, struct stat *st)
{
    char name[] = {key->hex[0], key->hex[1], '\0'};
    int bucket = f->objects >= 0 ? open_trusted(c, f->objects, name, S_IFDIR, st) : -ENOENT;
    int fd;

    if (bucket < 0)
        return bucket;
    fd = open_pair(c, bucket, key, meta, st);
    close(bucket);
    return fd;
}

/* The bytes of a new payload are compared. */
static bool is_sound(struct cache *c, const struct key *key, int fd, const struct disk_meta *meta,
                     const struct stat *st)
{
    int ret = 0;

    if (!cache_is_known(c, key, st, PAYLOAD_SOUND)) {
        ret = disk_check(fd, meta->nbytes, meta->xxh3);
        if (ret == 0)
            cache_remember(c, key, st, PAYLOAD_SOUND);
        else if (ret == -EBADMSG)
            cache_remember(c, key, st, PAYLOAD_REFUSED);
    }
    return ret == 0;
}

int from_find(struct cache *c, const struct key *key, bool check, struct blob_entry *out)
{
    struct disk_meta meta;
    struct stat st;

    for (size_t i = 0; i < c->nfrom; i++) {
        int fd = open_entry(c, &c->from[i], key, &meta, &st);

        if (fd < 0)
            continue;
        if (!cache_is_known(c, key, &st, PAYLOAD_REFUSED) &&
            (!check || is_sound(c, key, fd, &meta, &st))) {
            *out = (struct blob_entry){.key = *key,
                                       .nbytes = meta.nbytes,
                                       .xxh3 = meta.xxh3,
                                       .remote = c->from[i].remote,
                                       .foreign = true};
            return fd;
        }
        close(fd);
    }
    return -ENOENT;
}

void from_refuse(struct cache *c, const struct key *key)
{
    struct blob_entry entry;
    struct stat st;
    int fd = from_find(c, key, false, &entry);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0)
        cache_remember(c, key, &st, PAYLOAD_REFUSED);
    close(fd);
}

/* ---- other files ---- */

static int open_beside(const struct cache *c, const struct from *f, const char *dir,
                       const char *name)
{
    struct stat st;
    int at, fd;

    if (f->v1 < 0)
        return -ENOENT;
    if (!dir)
        return open_trusted(c, f->v1, name, S_IFREG, &st);
    at = open_trusted(c, f->v1, dir, S_IFDIR, &st);
    if (at < 0)
        return at;
    fd = open_trusted(c, at, name, S_IFREG, &st);
    close(at);
    return fd;
}

ssize_t cache_read_from(const struct cache *c, size_t which, const char *dir, const char *name,
                        void *bytes, size_t cap)
{
    int fd = which < c->nfrom ? open_beside(c, &c->from[which], dir, name) : -ENOENT;
    ssize_t n;

    if (fd < 0)
        return fd;
    n = fd_pread(fd, bytes, cap, 0);
    close(fd);
    return n;
}
