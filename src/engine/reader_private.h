/* SPDX-License-Identifier: MIT
 *
 * What reader.c (opening, reading what is there), reader_wait.c (having the rest computed) and
 * reader_extent.c (how much of it by one job) share. Nobody else includes it.
 *
 * Thread rule: as in engine.h.
 */
#ifndef DERIVFS_READER_PRIVATE_H
#define DERIVFS_READER_PRIVATE_H

#include <pthread.h>

#include "engine_private.h"
#include "wait_private.h"

/* Parts that a reader keeps, and that one request may span. */
enum { READER_KEPT = 2, READER_SPAN_MAX = 4 };

/* Some bytes of the file. */
struct part {
    uint64_t off;      /* where in the file they start */
    uint64_t nbytes;   /* how many of the file's they are */
    struct blob *blob; /* what they are made from: a reference; NULL: none */
};

struct reader {
    atomic_int refs; /* the owner's and one per wait */
    struct engine *engine;
    char *dir, *name, *path;
    uint64_t version;
    _Atomic uint64_t nbytes;
    atomic_bool sized; /* nbytes is known: of a command's file once it is computed */
    bool lacking;      /* runs have to be fetched before anything else is known */
    struct parts parts;
    uint64_t slice_nbytes; /* of an image of which slices can be computed by themselves; else 0 */
    struct file_header header;
    size_t trailer_nbytes;
    pthread_mutex_t lock;
    struct derived *derived;       /* guarded by lock: replaced when a source has changed */
    struct graph *plan;            /* guarded by lock: of a part of it, the latest; or NULL */
    size_t planned_part;           /* guarded by lock: which */
    struct part kept[READER_KEPT]; /* guarded by lock: the latest first */
    bool reached_end;              /* guarded by lock: of a series in parts: the last one came by */
    uint64_t sliced_nbytes;        /* guarded by lock: handed out slice by slice so far */
    uint64_t sliced_end;           /* guarded by lock: where the latest such request ended */
    uint32_t crc;         /* guarded by lock: of the header and the first `nsummed` parts; */
    size_t nsummed;       /* guarded by lock: with all of them, the trailer is known */
    struct error failure; /* guarded by lock: the last failure, code 0: none */
    int64_t failed_ns;    /* guarded by lock: when that was */
};

void reader_put(struct reader *r);

/* Find the file, and whether its first part is there. */
int reader_resolve(struct reader *r, enum scan_freshness freshness, struct error *err) NODISCARD;

/* The file as it was found last: a reference. */
struct derived *reader_derived(struct reader *r) NODISCARD;
/* The file has been found again: what was planned for it holds no longer. Takes `d` over. */
void reader_set_derived(struct reader *r, struct derived *d);
/* The plan of a part, or of the checksum, of the file as it was found last: a reference. One that
 * was made before is used again; it is not cut. */
int reader_plan(struct reader *r, size_t part, struct graph **out, struct error *err) NODISCARD;

/* Where the trailer begins, or the file ends. */
static inline uint64_t reader_trailer_off(const struct reader *r)
{
    return r->nbytes - r->trailer_nbytes;
}

/* The kept part that has the byte at `off`, or the trailer, with a reference; blob NULL: there is
 * none. */
struct part reader_kept_part(struct reader *r, uint64_t off);
void reader_keep_part(struct reader *r, const struct part *part);

/* A command's result tells how long the file is. */
void reader_take_size(struct reader *r, const struct blob *blob);

/* Copy from the header what of [off, off + nbytes) lies in it. Returns how much. */
size_t reader_copy_head(const struct reader *r, uint64_t off, char *buf, size_t nbytes);
/* Copy from one part what of [off, off + nbytes) lies in it, if it has the byte at `off`. */
int reader_copy_part(const struct reader *r, const struct part *part, uint64_t off, char *buf,
                     size_t nbytes, size_t *got, struct error *err) NODISCARD;

/* ---- requests that wait ---- */

/* What one job computes: a part of the file, or slices of an image. */
struct extent {
    uint64_t off, nbytes;
};

struct reader_wait {
    struct wait wait; /* the first member */
    struct reader *reader;
    struct request request; /* from the start to the end: how others see it */
    uint64_t end;           /* the request is for what lies before it, */
    struct extent slices;   /* of these slices; nbytes 0: of whole parts */
    /* only touched by the job's callbacks, which come one after the other, and then by the owner */
    uint64_t at;                        /* up to here it is there */
    struct part parts[READER_SPAN_MAX]; /* [nparts] */
    size_t nparts;
    bool retried;      /* after a change of a source */
    bool fetched;      /* runs that were not here */
    unsigned nevicted; /* times that a result had gone from the cache before it was used */
};

/* Keep a part; what lies before its end is there then. */
static inline void reader_wait_add(struct reader_wait *w, struct part part)
{
    w->parts[w->nparts++] = part;
    w->at = part.off + part.nbytes;
}

/* Decide, once for each request, whether it is for slices by themselves. */
void reader_choose_slices(struct reader_wait *w);
/* Plan the job that brings what is there next, of the file as it was found last. */
int reader_wait_plan(struct reader_wait *w, struct graph **out, struct error *err) NODISCARD;
/* Take over what this job has brought. EIO: it is not what was promised. */
int reader_take_result(struct reader_wait *w, struct blob *blob, struct error *err) NODISCARD;

#endif
