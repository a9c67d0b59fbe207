/* SPDX-License-Identifier: MIT
 *
 * Sources: the bytes of a file of the dataset, however they are stored, read from front to back or
 * from anywhere.
 *
 * Hides the codec (codec.h): bytes are decompressed, and checksums checked, on the way. Offsets and
 * counts are of decompressed bytes, unless they are called stored.
 * Every path is relative to an open directory and resolved beneath it (openat2 RESOLVE_BENEATH,
 * NO_MAGICLINKS), so that no link leads out of the dataset; only regular files are opened; pread,
 * never mmap. Also knows git-annex: a link into .git/annex/objects or an unlocked pointer file
 * whose content is absent is ENODATA, "not here". Thread rule: a struct source belongs to one
 * thread at a time; source_consumed() may be called from any.
 */
#ifndef DERIVFS_SOURCE_H
#define DERIVFS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "checkpoints.h"
#include "codec.h"
#include "content.h"
#include "error.h"
#include "helpers.h"
#include "key.h"
#include "thread.h"

enum { SOURCE_ID_TEXT_MAX = 256 };

/* What tells that a source is unchanged. */
struct source_id {
    struct key fs; /* the file system (filesystem.h): its name if `lasting` */
    bool lasting;  /* fs, ino, size, mtime and ctime identify the content for good; else
                                   for this mount and session */
    uint64_t ino;
    uint64_t size;              /* bytes of the file as stored (compressed) */
    int64_t mtime_ns, ctime_ns; /* nanoseconds since the epoch */
    uint32_t mode, uid, gid;    /* of the content, as stat(2) has them; but only who may search the
                                   directories that links lead through has a right to read */
    char annex_key[256];        /* git-annex key where the path is a link into .git/annex/objects
                                   and the key's backend is a hash of the content; else "". A claim
                                   (run_learn() in run.h) */
};

/* Identify the file at `path` beneath `rootfd`; `dirfd` is the directory that it must be in, or -1:
 * the one that the path leads to. ENODATA: a git-annex link or pointer whose content is absent.
 * ENOENT, EACCES, ELOOP, EXDEV (link leads out), EISDIR, EINVAL (not a regular file), ESTALE (a link
 * in a directory that the path does not lead to any more). */
int source_identify(int rootfd, int dirfd, const char *path, struct source_id *out,
                    struct error *err) NODISCARD;

/* The same by its attributes and where it lies: it is not opened, so that a pointer file of
 * git-annex is taken for content. EINVAL: not a regular file. EIO: an object that is not as long as
 * its key says. */
int source_peek(int rootfd, int dirfd, const char *path, struct source_id *out) NODISCARD;

/* Identify content that is not here by what is known of it: its git-annex key, which is a hash of
 * it, and size; rights are those of the repository, mtime that of the link. -ENODATA where that
 * does not tell content apart, or it is here; other codes are faults. */
int source_identify_absent(int rootfd, int dirfd, const char *path,
                           struct source_id *out) NODISCARD;

/* Is the file at `path` still the one identified as `known`, by its attributes alone? Nothing is
 * opened: where the dataset is on a network, an open may wait for a read of the same file that is
 * under way. False for an annex object with new times too: then identify it anew. */
bool source_is_still(int rootfd, int dirfd, const char *path, const struct source_id *known);

/* Could the file be changed once more without a new ctime? Then what is kept of it for longer than
 * the daemon lives might be found under the wrong identity. File systems count in ticks of some ms,
 * old ones in seconds or two. The ctime is of the file server's clock, which is compared with this
 * machine's: where that is ahead of the server's, a file that was changed twice within one tick,
 * and read in between, is believed to be settled though it is not. */
bool source_is_settled(const struct source_id *id);

/* May a program still be within the write(2) that gave the file its times? The kernel sets them when the
 * call begins. Of a file whose times are some seconds old it is believed to have ended. */
bool source_is_fresh(const struct source_id *id);

bool source_id_equal(const struct source_id *a, const struct source_id *b);
/* Do they differ in ctime alone, as when somebody made a hard link to the file? */
bool source_id_differs_in_ctime(const struct source_id *a, const struct source_id *b);

/* What tells it from others as a text: file system, inode, size, mtime and ctime. NUL-terminated, at
 * most SOURCE_ID_TEXT_MAX bytes. */
void source_id_text(const struct source_id *id, char *out);
/* The same for a key: there are thousands, and printing takes longer than hashing. */
void source_id_add_to_key(const struct source_id *id, struct key_builder *b);
/* The same as a key of its own: the name of the content in keys, unless it has another one. */
bool source_id_name(const struct source_id *id, struct key *out);

struct source;

/* How to read; all zero: alone, from whatever file is there. What is pointed at outlives the
 * source, but for `expect`. The others matter to codecs that can do with them. */
struct source_options {
    const struct source_id *expect;   /* ESTALE when the opened file is not that one; NULL: any */
    struct helper_pool *helpers;      /* free helpers inflate ahead of the reader; NULL: none */
    struct budget *budget;            /* what reading takes is taken from here; NULL: no ceiling */
    struct checkpoints *known;        /* of the file `expect`; NULL: none. A reference is taken */
    bool learn;                       /* note checkpoints on the way */
    const struct hash_secret *secret; /* hash the bytes on the way; NULL: don't */
    size_t counted_nbytes; /* of what the codec holds, so much has been taken from the budget by
                              the caller; what it comes to hold on top is taken by the source */
};

/* Open for reading from the first byte. The codec is known by its magic bytes, not by the name.
 * `options` may be NULL: all zero. `rootfd` must stay open for as long as the source. The
 * source must be closed. */
int source_open(int rootfd, const char *path, const struct source_options *options,
                struct source **out, struct error *err) NODISCARD;

/* From now on stop where it says so, with ECANCELED: decompressing may take long, and give little.
 * NULL: nobody is asked. */
void source_set_cancel(struct source *s, const struct cancel_token *stop);

const struct codec *source_codec(const struct source *s);

/* Read exactly `nbytes`. EIO with a sentence where the data ends early, is corrupt, or has a wrong
 * checksum, but ESTALE where the file has changed since it was opened
 * (which explains it); the buffer's content is undefined then. Sentences name `path`. */
int source_read(struct source *s, void *buf, size_t nbytes, struct error *err) NODISCARD;

/* Like source_read() but at most `nbytes`, fewer at the end of data; *got tells how many. */
int source_read_some(struct source *s, void *buf, size_t nbytes, size_t *got,
                     struct error *err) NODISCARD;

/* Go on reading at byte `off`, forwards or backwards. EIO where the data ends before. Of a
 * compressed file all is read from the last known checkpoint before that, else from the start,
 * unless it is nearer to go on from here. */
int source_seek(struct source *s, uint64_t off, struct error *err) NODISCARD;

/* Read what is left of a compressed file (a checksum covers it), check it, and check that the file
 * has not changed since it was opened: ESTALE if it has. */
int source_finish(struct source *s, struct error *err) NODISCARD;

/* After source_finish(): a reference to the checkpoints noted, NULL for none (gunzip_learned). */
struct checkpoints *source_learned(struct source *s);

/* After source_finish(): what was hashed on the way. False: too little of the file was read for
 * that, or there was no secret. */
bool source_content(const struct source *s, struct content_id *out);

/* Read the file for its hash alone, of a source that was opened with a secret: the fingerprint, or
 * with `all` all of it; then ESTALE if it has changed since it was opened. */
int source_read_content(struct source *s, bool all, struct content_id *out,
                        struct error *err) NODISCARD;

/* Stored bytes: at most `nbytes` from `off` on; 0 at the end. They say nothing of where the source
 * stands. */
int source_read_stored(struct source *s, uint64_t off, void *buf, size_t nbytes, size_t *got,
                       struct error *err) NODISCARD;

/* Only check that the file has not changed since it was opened: ESTALE if it has. For those who do
 * not read to the end. */
int source_check(const struct source *s, struct error *err) NODISCARD;

/* The same of the open file alone, whatever has its path by now. Costs an fstat(2). */
int source_check_opened(const struct source *s, struct error *err) NODISCARD;

/* Bytes of the stored file read so far, for progress. */
uint64_t source_consumed(const struct source *s);

/* Bytes of memory that the codec holds now, where they count: a window of many MiB, say. */
size_t source_nbytes(const struct source *s);

/* NULL is allowed. */
void source_close(struct source *s);

#endif
