/* SPDX-License-Identifier: MIT
 *
 * Shared by reader.c (opening, reading available bytes) and reader_wait.c (waiting for others).
 *
 * Thread rule: as in engine.h.
 */
#ifndef DERIVFS_READER_PRIVATE_H
#define DERIVFS_READER_PRIVATE_H

#include <pthread.h>

#include "engine_private.h"
#include "wait_private.h"

/* Parts that a reader keeps, and that a request may span. */
enum { READER_KEPT = 2, READER_SPAN_MAX = 4 };

/* Some bytes of the file. */
struct part {
    uint64_t off;      /* where in the file they start */
    uint64_t nbytes;   /* bytes of the file */
    struct blob *blob; /* their source: a reference; NULL: none */
    unsigned edition;  /* of the reader, that they belong to */
};

struct reader {
    atomic_int refs; /* the owner's and one per wait */
    struct engine *engine;
    struct dir dir; /* its path is owned */
    char *name, *path;
    _Atomic uint64_t version;
    struct rights rights; /* when it was opened or fetched */
    _Atomic uint64_t nbytes;
    atomic_bool sized; /* nbytes is known */
    bool lacking;      /* runs must be fetched before anything else is known */
    struct parts parts;
    _Atomic uint64_t slice_nbytes; /* of an image that can be computed in slices; else 0 */
    size_t trailer_nbytes;
    pthread_mutex_t lock;
    unsigned edition;              /* guarded by lock: counts the versions that the file has had */
    bool handed_out;               /* guarded by lock: so the edition is the last one */
    struct file_header header;     /* guarded by lock, as of the edition */
    struct derived *derived;       /* guarded by lock: replaced after a change of a source */
    struct graph *plan;            /* guarded by lock: of part planned_part; or NULL */
    size_t planned_part;           /* guarded by lock */
    struct part kept[READER_KEPT]; /* guarded by lock: the latest first */
    bool reached_end;              /* guarded by lock: the last part of a series was kept */
    uint64_t sliced_nbytes;        /* guarded by lock: returned in slices so far */
    uint64_t sliced_end;           /* guarded by lock: end of the latest request for slices */
    uint32_t crc;                  /* guarded by lock: of the header and `nsummed` parts; */
    size_t nsummed;                /* guarded by lock: all: the trailer is known */
    struct error failure;          /* guarded by lock: the latest; code 0: none */
    int64_t failed_ns;             /* guarded by lock: CLOCK_MONOTONIC */
};

void reader_put(struct reader *r);

/* Look the file up, and its first part in the cache. */
int reader_resolve(struct reader *r, enum scan_freshness freshness, struct error *err) NODISCARD;

/* The latest version of the file, a reference, and its edition. */
struct derived *reader_derived(struct reader *r, unsigned *edition) NODISCARD;
/* Look the file up again: a source changed. Goes on with what the name stands for by now: the same
 * version, or one of the same size that begins a new edition, in which nothing of the former is
 * left. EIO: a part of the former edition was handed out, or the file has a form, a recipe or readers
 * that it did not have when it was opened. */
int reader_resolve_again(struct reader *r, struct error *err) NODISCARD;
/* All bytes that a reader hands out are of one edition. From now on that is `edition`; false: it is
 * a later one. */
bool reader_hand_out(struct reader *r, unsigned edition) NODISCARD;
/* The plan of a part, or of the checksum, of the latest version of the file: a reference. Keeps the
 * latest plan; does not cut it. */
int reader_plan(struct reader *r, size_t part, struct graph **out, unsigned *edition,
                struct error *err) NODISCARD;
/* Plan anew: the names of runs are known now. */
void reader_forget_plan(struct reader *r);

/* Where the trailer begins, or the file ends. */
uint64_t reader_trailer_off(const struct reader *r);

/* The kept part with the byte at `off`, or the trailer: a reference; blob NULL: not available. */
struct part reader_kept_part(struct reader *r, uint64_t off);
/* Unless it is of a former edition. */
void reader_keep_part(struct reader *r, const struct part *part);

/* The bytes of the part cannot be read: it is not kept any more, and goes if it is damaged. */
void reader_lose_part(struct reader *r, struct blob *blob);

/* Take the size of the file from the result of a command. */
void reader_take_size(struct reader *r, const struct blob *blob);

/* Copy the bytes of [off, off + nbytes) that the header of the edition has. Returns how many. */
size_t reader_copy_header(struct reader *r, uint64_t off, char *buf, size_t nbytes,
                          unsigned *edition);
/* Copy the bytes of [off, off + nbytes) that the part has, if it has the byte at `off`. */
int reader_copy_part(const struct reader *r, const struct part *part, uint64_t off, char *buf,
                     size_t nbytes, size_t *got, struct error *err) NODISCARD;

#endif
