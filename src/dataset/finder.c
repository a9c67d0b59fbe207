/* SPDX-License-Identifier: MIT
 *
 * What is kept of directories and files is replaced only by what was looked at later: an open that
 * finds a file changed never meets the old one again. When too much is kept, all of it goes.
 */
#include "finder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "grow.h"
#include "listing.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { KEPT_MAX = 4096 };
static const int64_t RECENT_NS = 1000000000;

/* What is known of a path: one of the two. Guarded by finder.lock, but for the path. */
struct kept {
    char *path;
    struct folder *folder;  /* reference */
    struct dir_stamp stamp; /* of the folder */
    struct run *file;       /* reference */
    int64_t checked_ns;     /* when it was last looked at, by the finder's clock */
    uint64_t begun;         /* finder.tick when that look began */
    UT_hash_handle hh;
};

struct finder {
    int rootfd;
    int64_t (*clock_ns)(void);
    struct names *names; /* borrowed; NULL: none are kept */
    pthread_mutex_t lock;
    struct kept
        *kept;     /* guarded by lock: hash by path; no path is that of a folder and of a file */
    uint64_t tick; /* guarded by lock: counts the looks */
};

struct finder *finder_new(int rootfd, int64_t (*clock_ns)(void))
{
    struct finder *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->rootfd = rootfd;
    f->clock_ns = clock_ns;
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

static struct folder *folder_get(struct folder *folder)
{
    atomic_fetch_add_explicit(&folder->refs, 1, memory_order_relaxed);
    return folder;
}

void folder_put(struct folder *folder)
{
    if (!folder || atomic_fetch_sub_explicit(&folder->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < folder->n; i++)
        free(folder->names[i]);
    free(folder->names);
    free(folder);
}

static void kept_free(struct kept *k)
{
    folder_put(k->folder);
    run_put(k->file);
    free(k->path);
    free(k);
}

/* With the lock held. */
static void forget_all(struct finder *f)
{
    struct kept *k, *next;

    HASH_ITER(hh, f->kept, k, next)
    {
        HASH_DEL(f->kept, k); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        kept_free(k);
    }
}

void finder_free(struct finder *f)
{
    if (!f)
        return;
    forget_all(f);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void finder_keep(struct finder *f, struct names *names)
{
    f->names = names;
}

int finder_rootfd(const struct finder *f)
{
    return f->rootfd;
}

/* ---- what is kept ---- */

/* A look at a path. */
struct look {
    const char *path;
    uint64_t begun;
    struct kept last; /* what is kept: references; all NULL: nothing */
    bool recent;      /* and it will do */
};

static void look_begin(struct finder *f, const char *path, enum scan_freshness freshness,
                       struct look *out)
{
    int64_t now_ns = f->clock_ns();
    struct kept *k;

    *out = (struct look){.path = path};
    pthread_mutex_lock(&f->lock);
    out->begun = ++f->tick;
    HASH_FIND_STR(f->kept, path, k);
    if (k) {
        out->last = (struct kept){.folder = k->folder ? folder_get(k->folder) : NULL,
                                  .file = k->file ? run_get(k->file) : NULL,
                                  .stamp = k->stamp};
        out->recent = freshness == SCAN_RECENT && now_ns - k->checked_ns < RECENT_NS;
    }
    pthread_mutex_unlock(&f->lock);
}

/* NULL: no memory, so it is not kept. With the lock held. */
static struct kept *add_kept(struct finder *f, const char *path)
{
    struct kept *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->path = strdup(path);
    if (k->path)
        HASH_ADD_KEYPTR(hh, f->kept, k->path, strlen(k->path), k);
    if (!k->hh.tbl) {
        kept_free(k);
        return NULL;
    }
    return k;
}

/* Keep what was found, unless a later look has ended before. Takes nothing over. */
static void look_end(struct finder *f, const struct look *look, struct folder *folder,
                     const struct dir_stamp *stamp, struct run *file)
{
    int64_t now_ns = f->clock_ns();
    struct kept *k;

    pthread_mutex_lock(&f->lock);
    HASH_FIND_STR(f->kept, look->path, k);
    if (!k && HASH_COUNT(f->kept) == KEPT_MAX)
        forget_all(f);
    if (!k)
        k = add_kept(f, look->path);
    if (k && k->begun < look->begun) {
        folder_put(k->folder);
        run_put(k->file);
        k->folder = folder ? folder_get(folder) : NULL;
        k->file = file ? run_get(file) : NULL;
        if (stamp)
            k->stamp = *stamp;
        k->checked_ns = now_ns;
        k->begun = look->begun;
    }
    pthread_mutex_unlock(&f->lock);
}

static void look_clear(struct look *look)
{
    folder_put(look->last.folder);
    run_put(look->last.file);
}

/* ---- directories ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fail(struct error *err, const char *path, const char *operation, int code)
{
    return resolve_is_fault(-code)
               ? error_fault(err, code, "%s: %s: %s", *path ? path : ".", operation, strerror(code))
               : error_set(err, code, "%s: %s: %s", *path ? path : ".", operation, strerror(code));
}

static int collect(DIR *stream, const char *path, struct folder *folder, struct error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *de = readdir(stream);

        if (!de)
            return errno ? fail(err, path, "read directory", errno) : 0;
        if (de->d_name[0] == '.' || de->d_type == DT_DIR || !bids_is_nifti_name(de->d_name))
            continue;
        if (GROW(folder->names, folder->n) < 0 || !(folder->names[folder->n] = strdup(de->d_name)))
            return fail(err, path, "read directory", ENOMEM);
        folder->n++;
    }
}

static struct folder *folder_new(void)
{
    struct folder *folder = calloc(1, sizeof *folder);

    if (folder)
        atomic_init(&folder->refs, 1);
    return folder;
}

static int read_names(int dirfd, const char *path, struct folder *folder, struct error *err)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

    if (!stream) {
        ret = fail(err, path, "open directory", errno);
        if (fd >= 0)
            close(fd);
        return ret;
    }
    ret = collect(stream, path, folder, err);
    closedir(stream);
    if (folder->n > 0)
        qsort(folder->names, folder->n, sizeof *folder->names, by_name);
    return ret;
}

/* The names, unless those of the last look still hold. */
static int look_at_names(struct look *look, int dirfd, int64_t now_ns, struct folder **out,
                         struct dir_stamp *stamp, struct error *err)
{
    const struct folder *last = look->last.folder;
    bool holds;
    int ret = listing_stamp(dirfd, look->path, now_ns, last ? &look->last.stamp : NULL, stamp,
                            &holds, err);

    if (ret < 0)
        return ret;
    if (holds) {
        *out = folder_get(look->last.folder);
        return 0;
    }
    *out = folder_new();
    return *out ? read_names(dirfd, look->path, *out, err)
                : fail(err, look->path, "read directory", ENOMEM);
}

int finder_names(struct finder *f, const char *path, enum scan_freshness freshness,
                 struct folder **out, struct error *err)
{
    const struct dir dir = {.path = path};
    struct dir_stamp stamp = {.settled = false};
    struct look look;
    int64_t now_ns = f->clock_ns();
    int dirfd, ret = 0;

    look_begin(f, path, freshness, &look);
    *out = NULL;
    if (look.recent && look.last.folder) {
        *out = look.last.folder;
        return 0;
    }
    dirfd = dir_enter(f->rootfd, &dir);
    if (dirfd >= 0) {
        ret = look_at_names(&look, dirfd, now_ns, out, &stamp, err);
        dir_leave(&dir, dirfd);
    } else {
        ret = fail(err, path, "open directory", -dirfd);
    }
    if (ret < 0 && ret != -ENOMEM && !resolve_is_fault(ret)) { /* there is none, or it is closed */
        folder_put(*out);
        *out = folder_new();
        ret = *out ? 0 : fail(err, path, "read directory", ENOMEM);
    }
    if (ret == 0)
        look_end(f, &look, *out, &stamp, NULL);
    look_clear(&look);
    if (ret == 0)
        return 0;
    folder_put(*out);
    return ret;
}

/* ---- files ---- */

struct run *finder_file(struct finder *f, const char *path, enum scan_freshness freshness)
{
    struct look look;
    struct run *run;

    look_begin(f, path, freshness, &look);
    if (look.last.file && (look.recent || run_is_current(f->rootfd, -1, look.last.file)))
        run = run_get(look.last.file);
    else
        run = run_probe(f->rootfd, -1, path, NULL, f->names);
    if (run && !(look.recent && run == look.last.file))
        look_end(f, &look, NULL, NULL, run);
    look_clear(&look);
    return run;
}
