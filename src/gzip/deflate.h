/* SPDX-License-Identifier: MIT
 *
 * Deflate (RFC 1951) from the middle: find where a block begins, decode from there without the
 * 32 KiB before it, and go on with ISA-L once these are known.
 *
 * Bits are counted from the least significant one of each byte. Every input may be hostile.
 * Thread rule: no shared state; an object belongs to one thread at a time.
 */
#ifndef DERIVFS_DEFLATE_H
#define DERIVFS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum {
    DEFLATE_WINDOW = 32 * 1024, /* bytes that a block may refer back to */
    DEFLATE_NSYMBOLS = 256 + DEFLATE_WINDOW,
    DEFLATE_SLACK = 8, /* bytes of any value that must be readable behind an input */
    /* Bits of a dynamic block's header that do not suffice to decode any: 14, and at least 12 for
     * the code of the code lengths. */
    DEFLATE_HEADER_BITS_MIN = 26,
    /* Bytes of the longest: 17 bits, 19 lengths of 3 bits, 286 + 30 codes of 7 bits with 7 more. */
    DEFLATE_HEADER_MAX = 563,
};

/* ---- where blocks begin ---- */

/* Tables; they do not change, and any number of threads may use them. */
struct deflate_finder;

struct deflate_finder *deflate_finder_new(void) NODISCARD; /* NULL: out of memory */
void deflate_finder_free(struct deflate_finder *t);        /* NULL is allowed */

/* The first bit in [from, to) of in[nbytes + DEFLATE_SLACK] where the whole header of a dynamic
 * block that is not its stream's last can be read. That may be chance: only who gets there by
 * decoding knows. False: there is none, or too much that only looks like one. */
bool deflate_find(const struct deflate_finder *t, const unsigned char *in, size_t nbytes,
                  uint64_t from, uint64_t to, uint64_t *bit);

/* ---- without the window ---- */

struct deflate_marker;

enum deflate_status {
    DEFLATE_BLOCK, /* a block is done */
    DEFLATE_FINAL, /* the stream's last block is done */
    DEFLATE_INPUT, /* the input is used up, but for less than a header or DEFLATE_SLACK bytes;
                      behind a gzip member's last block are that many */
    DEFLATE_ROOM,  /* what has been decoded is to be taken first */
    DEFLATE_BAD,   /* no block */
};

struct deflate_marker *deflate_marker_new(void) NODISCARD; /* NULL: out of memory */
void deflate_marker_free(struct deflate_marker *d);        /* NULL is allowed */
size_t deflate_marker_nbytes(void);                        /* of memory */
/* At a block, with an unknown window. */
void deflate_marker_restart(struct deflate_marker *d);

/* Decode on, at *bit of in[nbytes + DEFLATE_SLACK], up to the end of the block; *bit is then behind
 * what has been decoded. After DEFLATE_INPUT and DEFLATE_ROOM the next call goes on within the
 * block, after DEFLATE_BAD only deflate_marker_restart() does. */
enum deflate_status deflate_marker_run(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit) NODISCARD;

/* Take what has been decoded since the last time, [*nsymbols]: a byte, or 256 + i for byte i of the
 * window before. Good until the next run. */
const uint16_t *deflate_marker_take(struct deflate_marker *d, size_t *nsymbols);
/* Does the last DEFLATE_WINDOW of them stand for nothing unknown? Then it is the window. */
bool deflate_marker_is_clear(const struct deflate_marker *d);
void deflate_marker_window(const struct deflate_marker *d, unsigned char window[DEFLATE_WINDOW]);

/* What each symbol stands for, [DEFLATE_NSYMBOLS], where the window [DEFLATE_WINDOW] is known. */
void deflate_meanings(const unsigned char *window, unsigned char *meanings);
void deflate_resolve(const uint16_t *symbols, size_t nsymbols, const unsigned char *meanings,
                     unsigned char *out);

/* ---- with the window ---- */

/* As gunzip_pread in gunzip.h. */
struct deflate_source {
    int (*pread)(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                 struct error *err);
    void *ctx;
};

enum inflater_status {
    INFLATER_MORE,  /* the output or the input at hand is used up */
    INFLATER_LIMIT, /* all input before the limit is used up, and its output is out */
    INFLATER_FINAL, /* the stream's last block is done */
    INFLATER_END,   /* the stored bytes end first */
    INFLATER_BAD,   /* the data is corrupt */
};

struct inflater;

enum { INFLATER_FEED_MAX = 128 * 1024 }; /* stored bytes read at a time, at most */

struct inflater *inflater_new(const struct deflate_source *source) NODISCARD; /* NULL: no memory */
void inflater_free(struct inflater *f);                                       /* NULL is allowed */
size_t inflater_nbytes(void);                                                 /* of memory */

/* Stand at a bit of the stored bytes, with the up to DEFLATE_WINDOW bytes of output before it. */
void inflater_place(struct inflater *f, uint64_t bit, const unsigned char *window,
                    size_t window_nbytes);

/* Inflate into out[cap], cap > 0; *got may be 0. Reads no stored byte from `limit` on. Fails only
 * as the source does. */
int inflater_run(struct inflater *f, unsigned char *out, size_t cap, uint64_t limit, size_t *got,
                 enum inflater_status *status, struct error *err) NODISCARD;

/* After INFLATER_LIMIT or INFLATER_FINAL: does it stand between two blocks, and at which bit? */
bool inflater_between_blocks(const struct inflater *f, uint64_t *bit);

/* The limit with which it gets so much of a header at `bit` that it is sure to stop there. */
static inline uint64_t inflater_limit(uint64_t bit)
{
    return (bit + DEFLATE_HEADER_BITS_MIN - 10) / 8 + 1;
}

/* The stored byte up to which it has read. */
uint64_t inflater_fed(const struct inflater *f);

/* Read as bytes what is not deflate: from the next whole byte on. *got is 0 at the end only. */
int inflater_peek(struct inflater *f, const unsigned char **bytes, size_t *got,
                  struct error *err) NODISCARD;
void inflater_advance(struct inflater *f, size_t nbytes);

/* Read a member's gzip header. *code is of ISA-L: 0, ISAL_END_INPUT or a failure. */
int inflater_gzip_header(struct inflater *f, int *code, struct error *err) NODISCARD;

#endif
