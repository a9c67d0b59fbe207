/* SPDX-License-Identifier: MIT
 *
 * git-annex: what a dataset's links and pointer files say about content that may be elsewhere.
 *
 * An annexed file is a symlink to .git/annex/objects/XX/YY/KEY/KEY, or (unlocked) a regular file
 * that holds the content or, where that is absent, one line "/annex/objects/KEY". A key reads
 * BACKEND-sSIZE-mMTIME--NAME. Part of the source layer.
 * Thread rule: all functions are reentrant.
 */
#ifndef DERIVFS_ANNEX_H
#define DERIVFS_ANNEX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"

enum { ANNEX_KEY_MAX = 256 };

struct annex_key {
    char text[ANNEX_KEY_MAX];
    bool is_content_hash; /* equal keys mean equal bytes */
    int64_t size;         /* of the content in bytes; -1 where the key does not say */
};

/* The key of an annex object by its resolved path; false for any other file. */
bool annex_key_of_object(const char *resolved, struct annex_key *out);

/* Is the regular file a pointer to content that is not here? `size` is st_size. 1, 0 or -errno. */
int annex_is_pointer(int fd, uint64_t size) NODISCARD;

/* What a name that cannot be opened because something does not exist is. */
enum annex_absence {
    ABSENT_NAME,        /* there is no such name */
    ABSENT_LINK_TARGET, /* a link whose target does not exist */
    ABSENT_CONTENT,     /* a git-annex link whose content is not here */
};
/* -errno: that cannot be told, because of a fault. */
int annex_explain_absence(int rootfd, const char *path, enum annex_absence *out) NODISCARD;

/* Content that is not here, and where to ask for it. */
struct annex_content {
    char *path;           /* of the file, link or object that lacks it */
    struct annex_key key; /* names it */
    char *dir;         /* where git-annex is to be run: a directory of the file's own repository, */
    bool is_git_dir;   /* or, of an object, that repository's .git */
    uint64_t dev, ino; /* of the repository's .git: tells repositories apart; 0 where it is not
                          beneath the root */
    uint32_t mode, uid, gid; /* the same's, as stat(2) has them: git-annex gives its objects no
                                other rights */
};

/* What the file at `path` beneath `rootfd` lacks: of a link (or a chain of links) into an annex, of
 * a pointer file, or of an object's own path. -ENOENT: nothing, as it is here or no such file. Other
 * codes are faults. */
int annex_find_absent(int rootfd, const char *path, struct annex_content *out,
                      struct error *err) NODISCARD;
void annex_content_clear(struct annex_content *c);

/* Is `path` a place within a repository where git-annex keeps content, or would: a directory
 * (S_IFDIR), or the object itself (S_IFREG, with its size in *nbytes)? 0 for any other path. Looks
 * at the text alone. */
mode_t annex_object_place(const char *path, int64_t *nbytes);

#endif
