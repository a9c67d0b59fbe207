/* SPDX-License-Identifier: MIT
 *
 * Pieces of a gzip file that a crew inflates ahead of the reader, and the ring that plans them.
 *
 * The reader ("owner") goes through the file from front to back. Ahead of it pieces are being
 * decoded, each from the first block header that the search finds behind its nominal beginning, or
 * from a checkpoint. Where the owner ends at exactly the bit where the next piece began, the piece
 * is right, and its output is taken over; where it does not, the piece is dropped.
 */
#ifndef DERIVFS_GUNZIP_PRIVATE_H
#define DERIVFS_GUNZIP_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "deflate.h"
#include "gunzip.h"

struct ring;

enum piece_state {
    PIECE_FREE,
    PIECE_OFFERED, /* to the crew */
    PIECE_RUNNING,
    PIECE_DONE,
};

enum piece_end {
    PIECE_NOTHING,  /* no use: no header found, an error (the owner will meet it), cancelled */
    PIECE_BOUNDARY, /* between two blocks, at end_bit */
    PIECE_FINAL,    /* behind the stream's last block, at end_bit */
    PIECE_MIDDLE,   /* somewhere: its inflater goes on from there */
};

enum {
    PIECE_OUT_NBYTES = 12 << 20, /* of output aimed at */
    PIECE_ROOM = 16 << 20,       /* for output where the window is known, bytes */
    PIECE_SYMBOLS = 8 << 20,     /* for output where it is not, symbols */
    PIECE_IN_NBYTES = 1 << 20,   /* a block longer than that ends a piece */
    SEARCH_NBYTES = 256 << 10,   /* a block's header is looked for so far */
};

static const uint64_t NO_BIT = UINT64_MAX;

struct piece {
    struct crew_job job; /* must be first */
    struct ring *ring;
    struct piece *prev, *next; /* in ring->active, in the order of their places */

    /* guarded by ring->lock */
    enum piece_state state;
    bool start_known; /* start_bit is set, and stays */
    bool dropped;     /* nobody waits for it */

    atomic_bool cancelled;

    /* the plan: set before it runs */
    uint64_t from, to;              /* stored bytes */
    const struct checkpoint *known; /* begins there, or NULL */
    uint64_t stop_bit;              /* where what is behind may begin; NO_BIT: to be looked for */

    /* the result: of the thread that runs it, then of the owner */
    uint64_t start_bit; /* NO_BIT: none found */
    enum piece_end end;
    uint64_t end_bit;
    struct deflate_marker *marker; /* its output comes first */
    size_t nbytes;                 /* then these of `bytes` */
    uint32_t crc;                  /* of these */
    double marker_ns;              /* time that the search and the symbols took */
    double total_ns;
    uint64_t marker_nbytes; /* stored bytes that became symbols */

    /* kept from one use to the next */
    struct inflater *inflater;
    unsigned char *bytes; /* [PIECE_ROOM] */
};

size_t piece_nbytes(void); /* of memory, with all its buffers */
struct piece *piece_new(struct ring *ring, const struct deflate_source *source) NODISCARD;
void piece_free(struct piece *p); /* NULL is allowed */

/* Decode as planned. */
void piece_run(struct piece *p, const struct deflate_source *source,
               const struct deflate_finder *finder, uint64_t stored_nbytes);

/* The first block header that may be one in SEARCH_NBYTES from stored byte `from` on, or NO_BIT.
 * Needs scratch[SEARCH_NBYTES + DEFLATE_SLACK]; *got of it are valid then, those from `from` on. */
uint64_t piece_search(const struct deflate_source *source, const struct deflate_finder *finder,
                      uint64_t from, unsigned char *scratch, size_t *got);

/* ---- the ring ----------------------------------------------------------------------------------
 */

struct ring *ring_new(const struct gunzip_options *o) NODISCARD; /* NULL: out of memory */
/* Stop all pieces, wait for those that run. */
void ring_free(struct ring *r);
/* The same, and give their memory back; pieces may be begun again later. */
void ring_rest(struct ring *r);

/* Called by a piece that runs, once start_bit is set. */
void ring_found_start(struct piece *p);

/* Where the owner is in the file. */
struct owner {
    uint64_t fed;        /* stored bytes that it has read; it may read INFLATER_FEED_MAX more */
    uint64_t begun;      /* `fed` when it began to read from front to back */
    uint64_t out_nbytes; /* inflated since then */
};

/* Offer pieces to idle hands. Returns the bit where the next piece begins, or NO_BIT while that is
 * further away than the owner reads at a time. */
uint64_t ring_go_on(struct ring *r, const struct owner *o);

/* The owner stands at the bit that ring_go_on() told: that piece when it is done, to be given back.
 * NULL: it is no good; go on alone. */
struct piece *ring_take(struct ring *r);
void ring_give_back(struct ring *r, struct piece *p);

/* The owner did not come by that bit: drop the piece. */
void ring_drop(struct ring *r);

#endif
