/* SPDX-License-Identifier: MIT
 *
 * Listings: the names of one directory that may be runs, and whether an earlier list still holds.
 *
 * Hides the directory's descriptor, unknown entry types and the file system's clock. Reads no file.
 * Thread rule: all functions are reentrant; a struct listing belongs to one thread at a time.
 */
#ifndef DERIVFS_LISTING_H
#define DERIVFS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dir.h"
#include "error.h"
#include "key.h"
#include "omission.h"

/* A directory's identity and times. Any change of its names changes the times, but perhaps not if
 * it follows the one before within the file system's clock tick. */
struct dir_stamp {
    struct key fs; /* as in struct source_id */
    bool lasting;
    uint64_t ino;
    uint64_t dev; /* until the next mount */
    int64_t mtime_ns, ctime_ns;
    int64_t since_ns; /* when the rest was first seen as it is, by the caller's clock */
    bool settled;     /* a list made now will be wrong only if the times have changed */
};

/* Enter `dir` beneath `rootfd`: a descriptor for dir_leave(), or a negative errno: ENOENT, ENOTDIR,
 * EACCES, EXDEV, ELOOP, ESTALE (dir_enter). */
int listing_open(int rootfd, const struct dir *dir, struct error *err) NODISCARD;

/* Look at the directory's times. `before` is the stamp of the list at hand, or NULL; *holds tells
 * whether that list is still right. */
int listing_stamp(int dirfd, const char *dir, int64_t now_ns, const struct dir_stamp *before,
                  struct dir_stamp *out, bool *holds, struct error *err) NODISCARD;

struct listing {
    char **name; /* [n] in strcmp order, candidates only */
    size_t n;
    struct omissions omitted; /* in the order of names: names that might be taken for runs */
    size_t nothers;           /* NIfTI files with BIDS names of other suffixes */
};

/* The names that may be runs: NIfTI files (links too, directories and hidden names not), of names
 * that differ only in their endings the one whose codec is preferred, and where one of them is a
 * BIDS name only BIDS names of runs. Costs one pass over the names; no file is looked at unless the
 * file system tells no types. */
int listing_read(int dirfd, const char *dir, struct listing *out, struct error *err) NODISCARD;
void listing_free(struct listing *list);

#endif
