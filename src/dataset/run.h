/* SPDX-License-Identifier: MIT
 *
 * A run: a source with its NIfTI header. Immutable and reference-counted once made, so that a
 * directory listing, an open file and a running task may share it.
 *
 * Thread rule: run_get/run_put from any thread; all fields are read-only after run_probe().
 */
#ifndef DERIVFS_RUN_H
#define DERIVFS_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "error.h"
#include "headers.h"
#include "names.h"
#include "nifti.h"
#include "source.h"

/* Why a file that may be a run is none, or cannot be read. */
enum run_state {
    RUN_OK,      /* a 4-D series of a real datatype */
    RUN_NOT,     /* a sound NIfTI file, but 3-D, one volume, complex or RGB: not a run */
    RUN_ABSENT,  /* git-annex content that is not here (ENODATA) */
    RUN_BROKEN,  /* what the file holds, or its name leads to, is no image: `error` says why */
    RUN_UNKNOWN, /* it may not be read, or the system failed (error.fault): nobody knows what it is,
                    perhaps a run */
};

/* What a run is called in keys, as far as it is known. */
enum run_named {
    NAMED_NOT,        /* nobody has asked */
    NAMED_ATTRIBUTES, /* after its attributes, or those of another file of the same content, which
                         were recorded */
    NAMED_CONTENT,    /* its content has been hashed, so it has its name for good */
    NAMED_ANNEX,      /* absent: by its git-annex key */
};

struct naming {
    pthread_mutex_t lock;
    enum run_named named; /* guarded by lock; the later, the more is known */
    struct key name;      /* guarded by lock; valid unless NAMED_NOT */
    bool looked;          /* guarded by lock: run_find_name() has found none */
    bool checked;         /* guarded by lock: it has been read to its end, where its checksum is */
    struct source_id
        linked; /* guarded by lock: other attributes with which it was found to have its
                                content (run_still_has); size 0: none */
    char parts[SESSION_HEX]; /* guarded by lock: what keys of its unchecked parts have; "": not yet
                                decided */
};

struct run {
    atomic_int refs;
    char *path; /* relative to the dataset's root */
    enum run_state state;
    struct source_id id;       /* all zero where the file could not even be identified */
    struct nifti nifti;        /* valid for RUN_OK and RUN_NOT */
    const struct codec *codec; /* likewise: how the file is stored */
    size_t reading_nbytes;     /* likewise: of memory that its codec holds while it is read */
    bool absent; /* RUN_OK, RUN_NOT: known by its git-annex key, which its content was hashed to
                           before; its content is not here, only what was made of it may be */
    struct error error;  /* for RUN_ABSENT, RUN_BROKEN and RUN_UNKNOWN: what a reader is told */
    struct names *names; /* borrowed; NULL: its name is its own */
    struct naming naming;
};

/* Look at the file at `path` beneath `rootfd`, in `dirfd` (source_identify): identify it and read its header, unless `page` (may
 * be NULL) has it, which gets it otherwise. `names` (may be NULL) outlives the run. Never fails but for memory (NULL): what is wrong with the
 * file is told by `state`. Plain files are also checked for being long enough for what their header
 * promises; a compressed file's length is known only when it has been read. Returns with one
 * reference. */
struct run *run_probe(int rootfd, int dirfd, const char *path, struct header_page *page,
                      struct names *names) NODISCARD;

/* A plain file must be as long as its header promises: EIO with a sentence. */
int run_check_length(const struct run *run, struct error *err) NODISCARD;

/* Add its name to a key. */
void run_add_to_key(struct run *run, struct key_builder *b);
/* The same for a result that a part of the run is enough for. A compressed run's checksum is at its end:
 * until somebody has read so far, such a result may be that of a damaged file. So the key has the
 * session too, and who reads the run to its end records the session's results as good. */
void run_add_part_to_key(struct run *run, struct key_builder *b);

/* Is it worth to hash the file before it is read: may its content have a name? */
bool run_may_have_name(struct run *run);
/* Hash it, if its fingerprint is that of a known content; then that content's name is its own. Not
 * finding one is no failure; ECANCELED, ENOMEM. */
int run_find_name(int rootfd, struct run *run, const struct cancel_token *cancel,
                  struct error *err) NODISCARD;

/* What its bytes are to be hashed with while they are read: NULL: they were hashed before, or there
 * are no names. */
const struct hash_secret *run_hash_secret(struct run *run);
/* Has the run been read to its end, and found sound? */
bool run_is_checked(struct run *run);
void run_note_checked(struct run *run);

/* Does the file, whose ctime alone has changed since, have the content still that the run was named for, or
 * `content` if that is not NULL? Hashes all of it, once for each new ctime. *now: its attributes. */
bool run_still_has(int rootfd, struct run *run, const struct content_id *content,
                   struct source_id *now);

/* Record that the run, which was read as a whole, has this content; `was_settled`: as
 * source_is_settled() said before. Then hash its content to its git-annex key, if it claims one that is
 * not known. */
void run_learn(int rootfd, struct run *run, const struct content_id *content, bool was_settled);

/* Hash a file that is no run, and record nothing: a key for its content. False: it cannot be read, or is
 * another one than `id`. */
bool file_content_key(struct names *names, int rootfd, const char *path, const struct source_id *id,
                      struct key *out) NODISCARD;

/* What its name comes from, for people. */
enum run_named run_named(struct run *run);

/* Can results of the run be in the cache? */
enum run_standing {
    RUN_KNOWN,    /* its content, or a git-annex key of it, was read before */
    RUN_UNREAD,   /* no file at its place was */
    RUN_CHANGED,  /* one with other attributes was */
    RUN_UNPROVEN, /* its attributes count for this mount and session only */
};
enum run_standing run_standing(int rootfd, struct run *run);

/* True while the file at run->path, in `dirfd`, is still the one that was probed; never after a fault. */
bool run_is_current(int rootfd, int dirfd, const struct run *run);

struct run *run_get(struct run *run);
void run_put(struct run *run); /* NULL is allowed */

#endif
