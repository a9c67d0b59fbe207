/* SPDX-License-Identifier: MIT
 *
 * Names of contents: small facts beside the cache's entries, by which a result is found again though
 * the file that it was made from has other attributes now.
 *
 * In keys, a content has the name of the first file that had it (source_id_name()). Facts say which
 * name a content id, other attributes or a git-annex key has. A fact about bytes is added only when
 * these bytes have been hashed; a fingerprint is only a reason to hash a file. Only hints: without
 * them (damage, no right to write, no space) results are computed again.
 * Facts are also looked up in caches that are only read; nothing is written there.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_NAMES_H
#define DERIVFS_NAMES_H

#include <stdbool.h>
#include <sys/types.h>

#include "content.h"
#include "filesystem.h"
#include "headers.h"
#include "key.h"

struct names;

/* Caches that are only read. */
struct names_from {
    size_t n;
    void *ctx;
    /* Read a file of the cache `which` if whoever could write it is believed: `name` beneath its
     * v1/DIR, or with `dir` NULL beneath its v1. How many bytes, or -errno. */
    ssize_t (*read)(void *ctx, size_t which, const char *dir, const char *name, void *bytes,
                    size_t cap);
};

/* Beneath the cache directory `root`; NULL: nothing is kept. NULL: out of memory. */
struct names *names_new(const char *root, const struct names_from *from) NODISCARD;
void names_free(struct names *n); /* NULL is allowed */

/* The secret that all content ids of this cache are hashed with. If there is none yet, that of the
 * first cache that is only read and has one, else a new one. It lives as long as `n`. NULL: there is
 * none, as the directory cannot be read or written. */
const struct hash_secret *names_secret(struct names *n);

/* What is known of a file whose content was hashed. */
struct named {
    struct key name; /* of its content */
    char
        parts[SESSION_HEX]; /* of `own` = name: what keys of its unchecked parts have to be believed
                                (run_add_part_to_key() in run.h); else undefined */
};

/* Of a file whose own name, after its attributes, is `own`. */
bool names_of_attributes(const struct names *n, const struct key *own, struct named *out);
void names_add_attributes(const struct names *n, const struct key *own, const struct named *what);

/* A place is a file system, a directory and a name, in words: was a file there read before? */
bool names_know_place(const struct names *n, const char *place);
void names_add_place(const struct names *n, const char *place);

/* May a file of `nbytes` have a known content: has any content that is known as many? */
bool names_know_size(const struct names *n, uint64_t nbytes);
bool names_know_fingerprint(const struct names *n, const struct content_id *id);
bool names_of_content(const struct names *n, const struct content_id *id, struct key *name);
/* A content that has a name keeps it. */
void names_add_content(struct names *n, const struct content_id *id, const struct key *name);

/* What is known of a git-annex key whose content was hashed to it. */
struct annexed {
    struct key name;
    struct header_bytes header;
};

/* -ENOENT: nothing; other codes: a fault of the system, so nobody knows. */
int names_of_annex(const struct names *n, const char *annex_key, struct annexed *out) NODISCARD;
void names_add_annex(const struct names *n, const char *annex_key, const struct annexed *what);

#endif
