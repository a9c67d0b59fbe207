/* SPDX-License-Identifier: MIT
 *
 * The cache directory.
 *
 *     DIR/v1/objects/ab/KEY        the result's bytes, nothing else (so that it can be handed to
 *                                  the kernel as it is); ab are the first two digits of KEY
 *     DIR/v1/objects/ab/KEY.meta   five lines of text: "derivfs-cache 1", then length, xxh3, time
 *                                  and label, each followed by a blank and its value
 *     DIR/v1/headers/KEY           headers of a directory's runs (headers.c): no entries
 *     DIR/v1/names/KEY             names of contents (names.c): no entries
 *     DIR/v1/secret                what these are hashed with (names.c)
 *     DIR/v1/tmp/KEY.XXXXXX        a file being written, where O_TMPFILE is not to be had
 *     DIR/v1/lock                  flock()ed by the one who evicts
 *
 * An entry is a payload with its meta; one without the other is no entry. Both are written as files
 * that nobody can see and get their names by link(2), which never replaces: the meta first, then
 * the payload after an fdatasync. Killed in between, there is a meta alone, which the next
 * publisher of the key takes for its own. Removal goes the other way round. The directory is not
 * synced: after a power failure an entry may be gone, or its meta empty; it is computed again then.
 * No lock is needed for any of this, between threads, processes or hosts; where two do
 * contradictory things at once (publish and evict, say), the worst outcome is half an entry, which
 * is none.
 *
 * Damage is found by length (at every open) and checksum (by who asks for disk_check()).
 */
#include "cache_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "keyed_hash.h"

enum {
    META_TEXT_MAX = 512,
    PUBLISH_TRIES = 8,        /* each lost race with somebody else costs one */
    CHECK_NBYTES = 128 << 10, /* read at a time: stays in the processor's cache */
};

#define NS_PER_S INT64_C(1000000000)
#define MTIME_MAX_S INT64_C(4000000000)

/* Long enough for every root that the kernel accepts: a longer one is cut here, but to a path that
 * is still too long for the kernel, which says ENAMETOOLONG. */
struct path {
    char text[PATH_MAX + 64];
};

__attribute__((format(printf, 2, 3))) static struct path path_in(const struct disk *d,
                                                                 const char *fmt, ...)
{
    struct path p;
    int n = snprintf(p.text, sizeof(p.text), "%s/v1", d->root);
    if (n < 0 || (size_t)n >= sizeof(p.text))
        return p;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p.text + n, sizeof(p.text) - (size_t)n, fmt, args);
    va_end(args);
    return p;
}

static struct path payload_path(const struct disk *d, const struct key *key)
{
    return path_in(d, "/objects/%.2s/%s", key->hex, key->hex);
}

static struct path meta_path(const struct disk *d, const struct key *key)
{
    return path_in(d, "/objects/%.2s/%s.meta", key->hex, key->hex);
}

/* O_NOFOLLOW and O_NONBLOCK: whatever lies under an entry's name, opening it neither leaves the
 * cache nor hangs. */
static int open_read(const char *path)
{
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int make_dir(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Of the parents only the last error counts: one that exists may refuse mkdir for any reason. */
static int make_root(const struct disk *d)
{
    char *path = strdup(d->root);
    if (!path)
        return -ENOMEM;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)make_dir(path);
        *slash = '/';
    }
    int ret = make_dir(path);
    free(path);
    return ret;
}

int disk_init(struct disk *d, const char *dir, struct error *err)
{
    char *cwd = dir[0] == '/' ? NULL : getcwd(NULL, 0);
    if (asprintf(&d->root, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", dir) < 0)
        d->root = NULL;
    free(cwd);
    if (!d->root)
        return error_set(err, ENOMEM, "opening the cache: %s", strerror(ENOMEM));
    atomic_init(&d->no_tmpfile, false);
    return 0;
}

void disk_fini(struct disk *d)
{
    free(d->root);
    d->root = NULL;
}

int disk_prepare(const struct disk *d)
{
    int ret = make_root(d);
    if (ret == 0)
        ret = make_dir(path_in(d, "%s", "").text);
    if (ret == 0)
        ret = make_dir(path_in(d, "/objects").text);
    if (ret == 0)
        ret = make_dir(path_in(d, "/tmp").text);
    return ret;
}

/* ---- temps ---- */

static int open_nameless(const struct disk *d)
{
    int fd;
    do {
        fd = open(path_in(d, "/tmp").text, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int open_temp(struct disk *d, const struct key *key, struct disk_temp *out)
{
    out->path[0] = '\0';
    if (!atomic_load(&d->no_tmpfile)) {
        out->fd = open_nameless(d);
        /* EISDIR: a kernel or file system that does not know the flag at all. */
        if (out->fd != -EOPNOTSUPP && out->fd != -EISDIR && out->fd != -ENOSYS)
            return out->fd < 0 ? out->fd : 0;
        atomic_store(&d->no_tmpfile, true);
    }
    struct path p = path_in(d, "/tmp/%s.XXXXXX", key->hex);
    out->fd = mkostemp(p.text, O_CLOEXEC);
    if (out->fd < 0)
        return -errno;
    memcpy(out->path, p.text, sizeof(out->path));
    return 0;
}

static int set_aside(int fd, uint64_t nbytes)
{
    int ret;
    do {
        ret = nbytes == 0 ? 0 : fallocate(fd, 0, 0, (off_t)nbytes);
    } while (ret < 0 && errno == EINTR);
    return ret == 0 || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

int disk_temp_open(struct disk *d, const struct key *key, uint64_t nbytes, struct disk_temp *out)
{
    int ret = open_temp(d, key, out);
    if (ret == -ENOENT || ret == -ESTALE) { /* somebody deleted the directory */
        ret = disk_prepare(d);
        if (ret == 0)
            ret = open_temp(d, key, out);
    }
    if (ret < 0) {
        out->fd = -1;
        return ret;
    }
    ret = set_aside(out->fd, nbytes);
    if (ret < 0)
        disk_temp_discard(out);
    return ret;
}

void disk_temp_begin_sync(const struct disk_temp *t, uint64_t from, uint64_t to)
{
    (void)sync_file_range(t->fd, (off_t)from, (off_t)(to - from), SYNC_FILE_RANGE_WRITE);
}

void disk_temp_discard(struct disk_temp *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    if (t->path[0] != '\0')
        unlink(t->path);
    t->path[0] = '\0';
}

static int temp_link(const struct disk_temp *t, const char *to)
{
    char proc[32];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", t->fd);
    const char *from = t->path[0] != '\0' ? t->path : proc;
    return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

/* ---- metas ---- */

/* The lines before the label. */
static int format_head(const struct disk_meta *m, char out[META_TEXT_MAX])
{
    return snprintf(out, META_TEXT_MAX,
                    "derivfs-cache 1\nlength %" PRIu64 "\nxxh3 %016" PRIx64 "\ntime %" PRId64
                    "\nlabel ",
                    m->nbytes, m->xxh3, m->time_s);
}

static size_t format_meta(const struct disk_meta *m, char out[META_TEXT_MAX])
{
    int head = format_head(m, out);
    int label =
        snprintf(out + head, META_TEXT_MAX - (size_t)head, "%.*s\n", DISK_LABEL_MAX - 1, m->label);
    for (char *c = out + head; c < out + head + label - 1; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return (size_t)head + (size_t)label;
}

/* sscanf is lenient; what it understood must be what would be written for it. */
static bool parse_meta(const char *text, struct disk_meta *m)
{
    if (sscanf(text, "derivfs-cache 1 length %" SCNu64 " xxh3 %" SCNx64 " time %" SCNd64,
               &m->nbytes, &m->xxh3, &m->time_s) != 3)
        return false;
    char head[META_TEXT_MAX];
    size_t nhead = (size_t)format_head(m, head);
    if (strncmp(text, head, nhead) != 0)
        return false;
    const char *label = text + nhead;
    size_t nlabel = strcspn(label, "\n");
    if (nlabel >= DISK_LABEL_MAX || strcmp(label + nlabel, "\n") != 0)
        return false;
    memcpy(m->label, label, nlabel);
    m->label[nlabel] = '\0';
    return true;
}

int disk_read_meta(int fd, struct disk_meta *out)
{
    char text[META_TEXT_MAX];
    ssize_t n = fd_read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return n == -ESTALE ? -ESTALE : -EBADMSG;
    text[n] = '\0';
    return strlen(text) == (size_t)n && parse_meta(text, out) ? 0 : -EBADMSG;
}

static int read_meta(const struct disk *d, const struct key *key, struct disk_meta *m)
{
    int fd = open_read(meta_path(d, key).text);
    if (fd < 0)
        return fd == -ELOOP ? -EBADMSG : fd;
    int ret = disk_read_meta(fd, m);
    close(fd);
    return ret;
}

static bool same_content(const struct disk_meta *a, const struct disk_meta *b)
{
    return a->nbytes == b->nbytes && a->xxh3 == b->xxh3;
}

/* ---- entries ---- */

int64_t disk_mtime_ns(const struct stat *st)
{
    /* A damaged inode may say anything; keep sums and differences of times from overflowing. */
    int64_t s = st->st_mtim.tv_sec;
    if (s > MTIME_MAX_S || s < -MTIME_MAX_S)
        return s > 0 ? MTIME_MAX_S * NS_PER_S : -MTIME_MAX_S * NS_PER_S;
    return s * NS_PER_S + st->st_mtim.tv_nsec;
}

/* Descriptor and stat of a payload. */
static int open_payload(const struct disk *d, const struct key *key, int *fd, struct stat *st)
{
    struct path path = payload_path(d, key);
    if (!fd)
        return lstat(path.text, st) == 0 ? 0 : -errno;
    *fd = open_read(path.text);
    if (*fd < 0)
        return *fd == -ELOOP ? -EBADMSG : *fd;
    if (fstat(*fd, st) == 0)
        return 0;
    int ret = -errno;
    close(*fd);
    return ret;
}

int disk_open(const struct disk *d, const struct key *key, struct disk_meta *meta, int *fd,
              struct stat *st)
{
    int damaged = read_meta(d, key, meta);
    if (damaged != 0 && damaged != -EBADMSG)
        return damaged;
    int ret = open_payload(d, key, fd, st);
    if (ret < 0)
        return ret;
    if (damaged == 0 && S_ISREG(st->st_mode) && (uint64_t)st->st_size == meta->nbytes)
        return 0;
    if (fd)
        close(*fd);
    return -EBADMSG;
}

int disk_check(int fd, uint64_t nbytes, uint64_t expected)
{
    size_t nblock = nbytes < CHECK_NBYTES ? (size_t)nbytes : CHECK_NBYTES;
    unsigned char *block = malloc(nblock > 0 ? nblock : 1);
    void *sum = xxh3()->begin();
    int ret = block && sum ? 0 : -ENOMEM;
    for (uint64_t off = 0; ret == 0 && off < nbytes;) {
        uint64_t left = nbytes - off;
        ssize_t n = fd_pread(fd, block, left < nblock ? (size_t)left : nblock, off);
        if (n == -ESTALE || n == -EFAULT) {
            ret = -ESTALE; /* removed; some network file systems say EFAULT */
        } else if (n <= 0) {
            ret = -EBADMSG; /* cut short meanwhile, or the disk cannot read it */
        } else {
            xxh3()->add(sum, block, (size_t)n);
            off += (uint64_t)n;
        }
    }
    if (ret == 0 && xxh3()->value(sum) != expected)
        ret = -EBADMSG;
    xxh3()->free(sum);
    free(block);
    return ret;
}

int disk_remove(const struct disk *d, const struct key *key)
{
    int payload = unlink(payload_path(d, key).text) == 0 ? 0 : -errno;
    int meta = unlink(meta_path(d, key).text) == 0 ? 0 : -errno;

    return meta == -ENOENT || (meta == 0 && payload != -ENOENT) ? payload : meta;
}

bool disk_touch(int fd, int64_t mtime_ns)
{
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = mtime_ns / NS_PER_S, .tv_nsec = mtime_ns % NS_PER_S},
    };
    return futimens(fd, times) == 0;
}

/* ---- publishing ---- */

int disk_sync(const struct disk_temp *t)
{
    int ret;
    do {
        ret = fdatasync(t->fd);
    } while (ret < 0 && errno == EINTR);
    return ret == 0 ? 0 : -errno;
}

static int publish_meta(struct disk *d, const struct key *key, const struct disk_meta *meta)
{
    char text[META_TEXT_MAX];
    size_t nbytes = format_meta(meta, text);
    struct disk_temp temp;
    int ret = disk_temp_open(d, key, 0, &temp);
    if (ret < 0)
        return ret;
    ret = fd_write(temp.fd, text, nbytes);
    if (ret == 0)
        ret = temp_link(&temp, meta_path(d, key).text);
    disk_temp_discard(&temp);
    return ret;
}

/* Something is there under the key: 0 with a descriptor if it is sound, else it is cleared away and
 * the answer is -EAGAIN. */
static int use_theirs(const struct disk *d, const struct key *key, struct disk_meta *meta,
                      int *theirs_fd)
{
    struct disk_meta theirs;
    struct stat st;
    int fd;
    if (d->remote)
        disk_refresh(d, key);
    int ret = disk_open(d, key, &theirs, &fd, &st);
    if (ret == 0) {
        ret = disk_check(fd, theirs.nbytes, theirs.xxh3);
        if (ret == 0) {
            *meta = theirs;
            *theirs_fd = fd;
            return 0;
        }
        close(fd);
    }
    if (ret != -ENOENT && ret != -EBADMSG)
        return ret;
    disk_remove(d, key);
    return -EAGAIN;
}

static int publish_once(struct disk *d, const struct key *key, const struct disk_temp *t,
                        struct disk_meta *meta, int *theirs_fd)
{
    int ret = publish_meta(d, key, meta);
    if (ret == -EEXIST) {
        /* The same key and the same bytes: this meta serves whoever links the payload first. */
        struct disk_meta found;
        if (read_meta(d, key, &found) != 0 || !same_content(&found, meta))
            return use_theirs(d, key, meta, theirs_fd);
    } else if (ret < 0) {
        return ret;
    }
    ret = temp_link(t, payload_path(d, key).text);
    return ret == -EEXIST ? use_theirs(d, key, meta, theirs_fd) : ret;
}

int disk_publish(struct disk *d, const struct key *key, const struct disk_temp *t,
                 struct disk_meta *meta, int *theirs_fd)
{
    *theirs_fd = -1;
    int ret = -EAGAIN;
    for (int i = 0; i < PUBLISH_TRIES && (ret == -EAGAIN || ret == -ENOENT); i++) {
        if (ret == -ENOENT) { /* the first entry under these two digits, or all was deleted */
            ret = disk_prepare(d);
            if (ret == 0)
                ret = make_dir(path_in(d, "/objects/%.2s", key->hex).text);
            if (ret < 0)
                return ret;
        }
        ret = publish_once(d, key, t, meta, theirs_fd);
    }
    return ret == -EAGAIN ? -EEXIST : ret;
}
