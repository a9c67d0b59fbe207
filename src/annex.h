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

enum { ANNEX_KEY_MAX = 256 };

struct annex_key {
    char text[ANNEX_KEY_MAX];
    bool is_content_hash; /* equal keys mean equal bytes */
    int64_t size;         /* of the content in bytes; -1 where the key does not say */
};

/* The key of an annex object by its resolved path; false for any other file. */
bool annex_key_of_object(const char *resolved, struct annex_key *out);

/* Is the regular file a pointer to content that is not here? `size` is st_size. */
bool annex_is_pointer(int fd, uint64_t size);

/* What a name that cannot be opened because something does not exist is. */
enum annex_absence {
    ABSENT_NAME,        /* there is no such name */
    ABSENT_LINK_TARGET, /* a link whose target does not exist */
    ABSENT_CONTENT,     /* a git-annex link whose content is not here */
};
enum annex_absence annex_explain_absence(int rootfd, const char *path);

#endif
