/* SPDX-License-Identifier: MIT
 *
 * The cache's format on disk and its durability; the policy (what to keep, when to evict, what to
 * do when the disk cannot) is cache.c's. cache_disk.c describes the format.
 *
 * Functions return 0 or -errno: -ENOENT there is no such entry, -EBADMSG it is damaged.
 * Thread rule: any thread; a struct disk_temp belongs to one.
 */
#ifndef DERIVFS_CACHE_DISK_H
#define DERIVFS_CACHE_DISK_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"
#include "key.h"

enum { DISK_LABEL_MAX = 256 };

struct disk {
    char *root;             /* absolute path of the cache directory */
    bool remote;            /* other hosts change it, too; set by its owner */
    atomic_bool no_tmpfile; /* this file system has no O_TMPFILE: use named files in v1/tmp */
};

/* What stands beside a payload. */
struct disk_meta {
    uint64_t nbytes;            /* length of the payload */
    uint64_t xxh3;              /* XXH3 (64 bits) of the payload */
    int64_t time_s;             /* when it was published, seconds since the epoch */
    char label[DISK_LABEL_MAX]; /* one line for people */
};

/* A file being written that no reader can see yet. */
struct disk_temp {
    int fd;                   /* read and write; -1: none */
    char path[PATH_MAX + 64]; /* "": the file has no name (O_TMPFILE) */
};

struct disk_entry {
    struct key key;
    bool payload, meta; /* which of the two files are there; an entry needs both */
    uint64_t nbytes;    /* of the payload; of the meta where it is alone */
    int64_t mtime_ns;   /* likewise */
};

struct disk_list {
    struct disk_entry *entries; /* [n] */
    size_t n;
};

/* A relative `dir` is taken from the current directory of now. ENOMEM only. */
int disk_init(struct disk *d, const char *dir, struct error *err) NODISCARD;
void disk_fini(struct disk *d);

/* Make the directories that are missing, parents included, mode 0700. */
int disk_prepare(const struct disk *d) NODISCARD;

/* Start a file, to be written at `fd`, with `nbytes` set aside for it where the file system can do that. */
int disk_temp_open(struct disk *d, const struct key *key, uint64_t nbytes,
                   struct disk_temp *out) NODISCARD;
/* Have the disk begin with the bytes [from, to), which have been written: disk_sync() takes less
 * time then, and says what went wrong. */
void disk_temp_begin_sync(const struct disk_temp *t, uint64_t from, uint64_t to);
/* Close and unlink; a file that was published keeps the name it was published under. */
void disk_temp_discard(struct disk_temp *t);

/* What was written is safe on the disk when this returns 0. */
int disk_sync(const struct disk_temp *t) NODISCARD;

/* Make the finished temp the entry of `key`. Where a sound entry is there already that one stays,
 * *theirs_fd is a descriptor of it, open for reading, and *meta becomes its meta; else *theirs_fd is
 * -1. An entry that is damaged is replaced. */
int disk_publish(struct disk *d, const struct key *key, const struct disk_temp *t,
                 struct disk_meta *meta, int *theirs_fd) NODISCARD;

/* Open an entry of the right length for reading. With `fd` NULL only look whether it is there. */
int disk_open(const struct disk *d, const struct key *key, struct disk_meta *meta, int *fd,
              struct stat *st) NODISCARD;
/* Read what stands beside a payload from a file of its own. */
int disk_read_meta(int fd, struct disk_meta *out) NODISCARD;
/* Read the whole payload and compare its checksum. -ESTALE: another host has removed it. */
int disk_check(int fd, uint64_t nbytes, uint64_t expected) NODISCARD;
/* Unlink payload and meta, in this order. -errno: one of them stays; -ENOENT: there is neither. */
int disk_remove(const struct disk *d, const struct key *key);

/* The time of last use, for LRU, is the payload's mtime. A file system may refuse the touch. */
int64_t disk_mtime_ns(const struct stat *st);
bool disk_touch(int fd, int64_t mtime_ns);

/* ---- file systems that other hosts change, too (cache_remote.c) ---- */

bool disk_is_remote(const char *path);
/* Have the kernel ask for the key's files, which another host may have published. */
void disk_refresh(const struct disk *d, const struct key *key);

/* ---- the whole directory (cache_scan.c) ---- */

/* All entries and halves of entries, in no order. Free with disk_list_free() in any case. */
int disk_scan(const struct disk *d, struct disk_list *out) NODISCARD;
void disk_list_free(struct disk_list *list);
/* Unlink named temps, and what network file systems keep of removed files, last written before
 * `before_ns`; adds their bytes to *freed_nbytes. */
int disk_sweep(const struct disk *d, int64_t before_ns, uint64_t *freed_nbytes) NODISCARD;
/* Unlink the headers of runs, and the names of contents, last written before `before_ns`. */
void disk_sweep_headers(const struct disk *d, int64_t before_ns);

/* The collectors' lock: a descriptor (closing it unlocks), or -EWOULDBLOCK without `wait`. */
int disk_lock(const struct disk *d, bool wait) NODISCARD;

#endif
