/* SPDX-License-Identifier: MIT
 *
 * Looking over the whole cache directory, for those who count, evict or clean up.
 *
 * Costs one stat per entry. Only files with the cache's own name pattern are seen at all, so nothing
 * else can ever be removed; nothing is followed through a link. Others publish and evict meanwhile:
 * what is seen is true of no single moment, and need not be.
 */
#include "cache_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "grow.h"

enum { TEMP_SUFFIX = 6 };

static const char meta_suffix[] = ".meta";

/* What follows the key in a file name that starts with one; NULL where it does not. */
static const char *after_key(const char *name)
{
    return strspn(name, "0123456789abcdef") == KEY_HEX ? name + KEY_HEX : NULL;
}

/* ".XXXXXX", as mkostemp(3) makes it? */
static bool is_temp_suffix(const char *rest)
{
    return rest[0] == '.' && strlen(rest + 1) == TEMP_SUFFIX &&
           strspn(rest + 1, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
               TEMP_SUFFIX;
}

static bool is_temp_name(const char *name)
{
    const char *rest = after_key(name);
    return rest && is_temp_suffix(rest);
}

static bool is_temp_secret(const char *name)
{
    static const char secret[] = "secret";
    return strncmp(name, secret, strlen(secret)) == 0 && is_temp_suffix(name + strlen(secret));
}

/* What NFS or FUSE keep of a file that was removed while it was open. It goes when it is closed,
 * unless the host dies. Elsewhere, reads of it fail with ESTALE then. */
static bool is_silly_name(const char *name)
{
    return strncmp(name, ".nfs", 4) == 0 || strncmp(name, ".fuse_hidden", 12) == 0;
}

/* *out is NULL where there is no such directory. */
static int open_dir(const struct disk *d, const char *below, DIR **out)
{
    *out = NULL;
    char *path;
    if (asprintf(&path, "%s/v1/%s", d->root, below) < 0)
        return -ENOMEM;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int ret = fd < 0 && errno != ENOENT ? -errno : 0;
    free(path);
    if (fd < 0)
        return ret;
    *out = fdopendir(fd);
    if (*out)
        return 0;
    ret = -errno;
    close(fd);
    return ret;
}

/* The next name, or NULL with *ret at the end (0) or on failure. */
static const char *next_name(DIR *dir, int *ret)
{
    errno = 0;
    const struct dirent *entry = readdir(dir);
    *ret = entry ? 0 : -errno;
    return entry ? entry->d_name : NULL;
}

static bool stat_regular(DIR *dir, const char *name, struct stat *st)
{
    return fstatat(dirfd(dir), name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

static int by_key_payload_first(const void *a, const void *b)
{
    const struct disk_entry *x = a;
    const struct disk_entry *y = b;
    int order = memcmp(x->key.hex, y->key.hex, KEY_HEX);
    return order != 0 ? order : (int)y->payload - (int)x->payload;
}

/* Join each payload with its meta, in entries[from..n), which are sorted. */
static void pair_up(struct disk_list *list, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < list->n; i++) {
        struct disk_entry *entry = &list->entries[i];
        struct disk_entry *last = kept > from ? &list->entries[kept - 1] : NULL;
        if (last && entry->meta && key_equal(&last->key, &entry->key))
            last->meta = true;
        else
            list->entries[kept++] = *entry;
    }
    list->n = kept;
}

static void stat_lone_metas(DIR *dir, struct disk_list *list, size_t from)
{
    for (size_t i = from; i < list->n; i++) {
        struct disk_entry *entry = &list->entries[i];
        char name[KEY_HEX + sizeof(meta_suffix)];
        struct stat st;
        snprintf(name, sizeof(name), "%s%s", entry->key.hex, meta_suffix);
        if (!entry->payload && stat_regular(dir, name, &st)) {
            entry->nbytes = (uint64_t)st.st_size;
            entry->mtime_ns = disk_mtime_ns(&st);
        }
    }
}

/* False for what is not of the cache. A lone meta has mtime "now" until it is looked at. */
static bool classify(DIR *dir, const char *bucket, const char *name, struct disk_entry *out)
{
    const char *rest = after_key(name);
    if (!rest || strncmp(name, bucket, 2) != 0)
        return false;
    *out = (struct disk_entry){.mtime_ns = INT64_MAX};
    memcpy(out->key.hex, name, KEY_HEX);
    struct stat st;
    if (strcmp(rest, meta_suffix) == 0) {
        out->meta = true;
        return true;
    }
    if (rest[0] != '\0' || !stat_regular(dir, name, &st))
        return false;
    out->payload = true;
    out->nbytes = (uint64_t)st.st_size;
    out->mtime_ns = disk_mtime_ns(&st);
    return true;
}

static int scan_bucket(DIR *dir, const char *bucket, struct disk_list *list)
{
    size_t from = list->n;
    int ret = 0;
    const char *name;
    while (ret == 0 && (name = next_name(dir, &ret))) {
        struct disk_entry entry;
        if (!classify(dir, bucket, name, &entry))
            continue;
        ret = GROW(list->entries, list->n);
        if (ret == 0)
            list->entries[list->n++] = entry;
    }
    if (ret < 0 || list->n == from)
        return ret;
    qsort(list->entries + from, list->n - from, sizeof(*list->entries), by_key_payload_first);
    pair_up(list, from);
    stat_lone_metas(dir, list, from);
    return 0;
}

static bool is_bucket_name(const char *name)
{
    return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

int disk_scan(const struct disk *d, struct disk_list *out)
{
    *out = (struct disk_list){0};
    DIR *objects;
    int ret = open_dir(d, "objects", &objects);
    if (ret < 0 || !objects)
        return ret;
    const char *name;
    while (ret == 0 && (name = next_name(objects, &ret))) {
        if (!is_bucket_name(name))
            continue;
        char below[16];
        snprintf(below, sizeof(below), "objects/%.2s", name);
        DIR *bucket;
        ret = open_dir(d, below, &bucket);
        if (ret == -ENOTDIR || ret == -ELOOP)
            ret = 0; /* not a directory of ours */
        if (ret == 0 && bucket) {
            ret = scan_bucket(bucket, name, out);
            closedir(bucket);
        }
    }
    closedir(objects);
    return ret;
}

void disk_list_free(struct disk_list *list)
{
    free(list->entries);
    *list = (struct disk_list){0};
}

/* Unlink the regular files in `below` whose names are `wanted`, or silly, and that were last written
 * before `before_ns`. */
static int sweep(const struct disk *d, const char *below, bool (*wanted)(const char *name),
                 int64_t before_ns, uint64_t *freed_nbytes)
{
    DIR *dir;
    int ret = open_dir(d, below, &dir);
    if (ret < 0 || !dir)
        return ret;
    const char *name;
    while ((name = next_name(dir, &ret))) {
        struct stat st;
        if ((is_silly_name(name) || wanted(name)) && stat_regular(dir, name, &st) &&
            disk_mtime_ns(&st) < before_ns && unlinkat(dirfd(dir), name, 0) == 0)
            *freed_nbytes += (uint64_t)st.st_size;
    }
    closedir(dir);
    return ret;
}

static bool is_nothing(const char *name)
{
    (void)name;
    return false;
}

int disk_sweep(const struct disk *d, int64_t before_ns, uint64_t *freed_nbytes)
{
    static const char *const dirs[] = {"tmp", "headers", "names"};
    int ret = sweep(d, ".", is_temp_secret, before_ns, freed_nbytes);

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && ret == 0; i++)
        ret = sweep(d, dirs[i], is_temp_name, before_ns, freed_nbytes);
    for (unsigned i = 0; i < 256 && ret == 0 && d->remote; i++) {
        char bucket[32];

        snprintf(bucket, sizeof bucket, "objects/%02x", i);
        ret = sweep(d, bucket, is_nothing, before_ns, freed_nbytes);
    }
    return ret;
}

/* KEY, or KEY.XXXXXX of a writer that died. */
static bool is_headers_name(const char *name)
{
    return after_key(name) != NULL;
}

void disk_sweep_headers(const struct disk *d, int64_t before_ns)
{
    uint64_t freed_nbytes = 0;

    /* what stays takes some space and nothing else */
    (void)sweep(d, "headers", is_headers_name, before_ns, &freed_nbytes);
    (void)sweep(d, "names", is_headers_name, before_ns, &freed_nbytes);
}

int disk_lock(const struct disk *d, bool wait)
{
    char *path;
    if (asprintf(&path, "%s/v1/lock", d->root) < 0)
        return -ENOMEM;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = errno;
    free(path);
    if (fd < 0)
        return -code;
    int ret;
    do {
        ret = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno == EWOULDBLOCK) {
        close(fd);
        return -EWOULDBLOCK;
    }
    return fd; /* where locks do not work at all, collecting twice does no harm */
}
