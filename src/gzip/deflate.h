/* SPDX-License-Identifier: MIT
 *
 * Deflate (RFC 1951) from the middle: find where a block begins, decode from there without the
 * 32 KiB before it, and continue with ISA-L once these are known.
 *
 * Bits are counted from each byte's least significant one. Every input may be hostile.
 * Thread rule: no shared state; an object belongs to one thread at a time.
 */
#ifndef DERIVFS_DEFLATE_H
#define DERIVFS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decoder.h"
#include "error.h"

enum {
    DEFLATE_WINDOW = 32 * 1024, /* bytes that a block may refer back to */
    DEFLATE_NSYMBOLS = 256 + DEFLATE_WINDOW,
    DEFLATE_SLACK = 8, /* bytes of any value that must be readable behind an input */
    /* Bits of a dynamic block's header that never suffice to decode it: 14, and at least 12 for the
     * code of the code lengths. */
    DEFLATE_HEADER_BITS_MIN = 26,
    /* Bytes of the longest: 17 bits, 19 lengths of 3 bits, 286 + 30 codes of 7 bits with 7 more. */
    DEFLATE_HEADER_MAX = 563,
};

/* The first bit in [from, to) of in[nbytes + DEFLATE_SLACK] where a whole header of a dynamic block
 * that is not its stream's last can be read. It may be one by chance: only decoding up to there
 * proves it. False: there is none, or the search gave up after many look-alikes. */
bool deflate_find(const unsigned char *in, size_t nbytes, uint64_t from, uint64_t to,
                  uint64_t *bit);

/* ---- without the window ---- */

struct deflate_marker;

enum deflate_status {
    DEFLATE_BLOCK, /* a block is done */
    DEFLATE_FINAL, /* the stream's last block is done */
    DEFLATE_INPUT, /* the input is used up, except less than a header or DEFLATE_SLACK bytes, which
                      a gzip member's trailer has */
    DEFLATE_ROOM,  /* the decoded symbols must be taken first */
    DEFLATE_BAD,   /* not a block */
};

/* To be released with free(). NULL: out of memory. */
struct deflate_marker *deflate_marker_new(void) NODISCARD;
size_t deflate_marker_nbytes(void); /* of memory */
/* Start at a block, with an unknown window. */
void deflate_marker_restart(struct deflate_marker *d);

/* Decode from *bit of in[nbytes + DEFLATE_SLACK] to the end of the block; *bit then is behind the
 * decoded bits. After DEFLATE_INPUT and DEFLATE_ROOM the next call continues within the block;
 * after DEFLATE_BAD call deflate_marker_restart() first. */
enum deflate_status deflate_marker_run(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit) NODISCARD;

/* Take the symbols decoded since the last call, [*nsymbols]: a byte, or 256 + i for byte i of the
 * unknown window. Valid until the next run. */
const uint16_t *deflate_marker_take(struct deflate_marker *d, size_t *nsymbols);
/* Do the last DEFLATE_WINDOW symbols refer to no unknown byte? Then they are the window. */
bool deflate_marker_is_clear(const struct deflate_marker *d);
void deflate_marker_window(const struct deflate_marker *d, unsigned char window[DEFLATE_WINDOW]);

/* The byte of each symbol, meanings[DEFLATE_NSYMBOLS], given window[DEFLATE_WINDOW]. */
void deflate_meanings(const unsigned char *window, unsigned char *meanings);
void deflate_resolve(const uint16_t *symbols, size_t nsymbols, const unsigned char *meanings,
                     unsigned char *out);

/* ---- with the window ---- */

enum inflater_status {
    INFLATER_MORE,  /* the output buffer is full, or the input read so far is used up */
    INFLATER_LIMIT, /* all input before the limit is inflated and handed out */
    INFLATER_FINAL, /* the stream's last block is done */
    INFLATER_END,   /* the stored bytes end first */
    INFLATER_BAD,   /* the data is corrupt */
};

struct inflater;

enum { INFLATER_FEED_MAX = 128 * 1024 }; /* stored bytes read at a time, at most */

/* To be released with free(). NULL: out of memory. */
struct inflater *inflater_new(const struct decoder_source *source) NODISCARD;
size_t inflater_nbytes(void); /* of memory */

/* Move to a bit of the stored bytes; the window is the at most DEFLATE_WINDOW bytes of output
 * before it. */
void inflater_place(struct inflater *f, uint64_t bit, const unsigned char *window,
                    size_t window_nbytes);

/* Inflate into out[cap], cap > 0; *got may be 0. Uses no stored byte from `limit` on. Fails only if
 * the source does. */
int inflater_run(struct inflater *f, unsigned char *out, size_t cap, uint64_t limit, size_t *got,
                 enum inflater_status *status, struct error *err) NODISCARD;

/* After INFLATER_LIMIT or INFLATER_FINAL: is it between two blocks, and at which bit? */
bool inflater_between_blocks(const struct inflater *f, uint64_t *bit);

/* The limit that ends within the header at `bit`, so that the inflater stops there. */
uint64_t inflater_limit(uint64_t bit);

/* How many stored bytes it has read up to. */
uint64_t inflater_fed(const struct inflater *f);

/* Bytes that are not deflate, from the next whole byte on. *got is 0 at the end only. */
int inflater_peek(struct inflater *f, const unsigned char **bytes, size_t *got,
                  struct error *err) NODISCARD;
void inflater_advance(struct inflater *f, size_t nbytes);

/* Read a member's gzip header. *code is ISA-L's: 0, ISAL_END_INPUT or a failure. */
int inflater_gzip_header(struct inflater *f, int *code, struct error *err) NODISCARD;

#endif
