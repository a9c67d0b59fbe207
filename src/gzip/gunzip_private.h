/* SPDX-License-Identifier: MIT
 *
 * Pieces of a gzip file that helpers inflates ahead of the reader, and the ring that plans them.
 *
 * The reader ("owner") goes through the file from front to back. Ahead of it pieces are being
 * decoded, each from the first block header that the search finds behind its nominal beginning, or
 * from a checkpoint. Where the owner ends at exactly the bit where the next piece began, the piece
 * is right, and its output is taken over, also while it is still growing; where it does not, the
 * piece is dropped.
 * gunzip_ring.c has the pieces' lives, gunzip_plan.c decides where they lie, gunzip_output.c hands
 * their output on, gunzip_piece.c makes it.
 */
#ifndef DERIVFS_GUNZIP_PRIVATE_H
#define DERIVFS_GUNZIP_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "deflate.h"
#include "gunzip.h"

struct ring;

enum {
    CHUNK_NBYTES = 2 << 20,      /* of memory */
    PIECE_CHUNKS = 20,           /* that a piece may fill */
    PIECE_OUT_NBYTES = 20 << 20, /* of output aimed at: each costs the search and the symbols */
    SEARCH_NBYTES = 256 << 10,   /* a block's header is looked for so far */
};

static const uint64_t NO_BIT = UINT64_MAX;

/* ---- output ---- */

/* A part of a piece's output: symbols as long as some may stand for the unknown window, and behind
 * them bytes. Changed under lock, by the helper alone. */
struct chunk {
    struct chunk *prev, *next;
    size_t n;        /* symbols and bytes that are there */
    size_t nsymbols; /* of these */
    bool has_bytes;  /* no more symbols come */
    _Alignas(64) unsigned char room[CHUNK_NBYTES - 64];
};

enum { CHUNK_NSYMBOLS = (CHUNK_NBYTES - 64) / 2 };

/* Byte `i` of those behind the symbols. */
static inline unsigned char *chunk_byte(struct chunk *c, size_t i)
{
    return c->room + (2 * c->nsymbols + 63) / 64 * 64 + i;
}

/* How many more symbols, or bytes, fit. */
static inline size_t chunk_left(struct chunk *c)
{
    return c->has_bytes ? (size_t)(c->room + sizeof c->room - chunk_byte(c, c->n - c->nsymbols))
                        : CHUNK_NSYMBOLS - c->n;
}

/* What the owner may take next: one of the two is NULL. */
struct span {
    const uint16_t *symbols;
    const unsigned char *bytes;
    size_t n;
};

/* ---- pieces ---- */

enum piece_state {
    PIECE_FREE,
    PIECE_OFFERED, /* to the helpers */
    PIECE_RUNNING,
    PIECE_DONE,
};

enum piece_end {
    PIECE_BROKEN,   /* an error (the owner will meet it), cancelled, or nothing came of it: the
                       owner goes on alone from where the piece began */
    PIECE_BOUNDARY, /* between two blocks, at end_bit */
    PIECE_FINAL,    /* behind the stream's last block, at end_bit */
    PIECE_MIDDLE,   /* somewhere: its inflater goes on from there */
};

/* What a helper needs while it works on a piece. */
struct piece_scratch {
    struct piece_scratch *prev, *next;
    struct deflate_marker *marker;
    uint64_t base; /* of the stored file: in[0] */
    size_t nbytes; /* of `in` that are there */
    unsigned char in[SEARCH_NBYTES + DEFLATE_SLACK];
};

struct piece {
    struct helper_job job; /* must be first */
    struct ring *ring;
    struct piece *prev, *next; /* in ring->active, in the order of their places */

    /* guarded by ring->lock */
    enum piece_state state;
    bool start_known;     /* start_bit is set, and stays */
    bool dropped;         /* nobody waits for it */
    double due_ns;        /* when it is expected to be done, on the monotonic clock */
    struct chunk *chunks; /* of output, not yet taken */
    unsigned nchunks;     /* since the piece began */
    size_t put_n;         /* bytes that the output stands for */
    size_t ready_n;       /* of these may be taken: whatever comes, they stay right */
    size_t taken_n;       /* of these have been: only the owner changes it */
    size_t chunk_taken_n; /* of the first chunk */

    atomic_bool cancelled;

    /* the plan: set before it runs */
    uint64_t from, to;              /* stored bytes */
    const struct checkpoint *known; /* begins there, or NULL */
    uint64_t stop_bit;              /* where what is behind may begin; NO_BIT: to be looked for */

    /* the result: of the thread that runs it, then of the owner */
    uint64_t start_bit; /* NO_BIT: none found */
    enum piece_end end;
    uint64_t end_bit;
    size_t nbytes;    /* of the output that are bytes */
    uint32_t crc;     /* of these */
    double begin_ns;  /* when the search began, on the monotonic clock */
    double marker_ns; /* time that the search and the symbols took */
    double total_ns;
    uint64_t marker_nbytes; /* stored bytes that became symbols */

    /* kept from one use to the next */
    struct inflater *inflater;
};

size_t piece_nbytes(void); /* of memory, with all that it may come to need */
struct piece *piece_new(struct ring *ring, const struct deflate_source *source) NODISCARD;
void piece_free(struct piece *p); /* of which no chunk is left; NULL is allowed */

/* Find where it begins, start_bit, and where what is behind it does. False: nowhere; then there is
 * nothing to run. */
bool piece_find(struct piece *p, struct piece_scratch *b, const struct deflate_source *source,
                const struct deflate_finder *finder, uint64_t stored_nbytes);
/* Decode what piece_find() has found with the same scratch. */
void piece_run(struct piece *p, struct piece_scratch *b, const struct deflate_source *source,
               uint64_t stored_nbytes);

/* The first block header that may be one in SEARCH_NBYTES from stored byte `from` on, or NO_BIT:
 * also where *cancelled, which may be NULL, comes true. Needs scratch[SEARCH_NBYTES +
 * DEFLATE_SLACK]; *got of it are valid then, those from `from` on. */
uint64_t piece_search(const struct deflate_source *source, const struct deflate_finder *finder,
                      uint64_t from, const atomic_bool *cancelled, unsigned char *scratch,
                      size_t *got);

/* ---- where pieces lie ---- */

/* Times in ns, places and lengths in stored bytes; none is negative. */
struct forecast {
    double left;      /* behind the last piece that has been begun, to the end of the file */
    double arrival;   /* of the owner at its beginning, from now */
    double alone;     /* the owner's for a byte alone, with all that its caller does in between */
    double over;      /* the owner's for a byte of a finished piece */
    double bytes;     /* a helper's for a byte */
    double head;      /* a helper's for the search and the symbols of a piece, on top */
    double width;     /* of a piece, aimed at */
    unsigned helpers; /* that work on pieces; at least one */
};

/* How far behind the last one the next piece is to begin, and how long it is to be. False: there is
 * no place for one. */
bool plan_piece(const struct forecast *o, double *gap, double *width);

/* ---- the ring ---- */

enum { RING_SLOTS_MAX = 128 };

/* An average in which what was long ago counts less. */
struct rate {
    double ns, amount;
};

struct ring {
    struct gunzip_options o;
    struct deflate_source source;
    struct deflate_finder *finder;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a piece's state, start_known or ready_n */

    /* guarded by lock */
    bool stopped;              /* no piece begins */
    uint64_t wait_until;       /* no place for one was found: ask again when `claim` is there */
    unsigned nfailed_searches; /* pieces in a row for which no header was found */
    struct piece *active;      /* begun and not yet reached by the owner, in order */
    struct piece *taking;      /* the one that the owner is in, or NULL */
    struct chunk *spare; /* chunks that no piece has; at most PIECE_CHUNKS a slot, with theirs */
    struct piece_scratch *scratches; /* that no helper is at */
    uint64_t claim;                  /* stored bytes that the owner has read or may be reading */
    double ratio;                    /* of output to stored bytes */
    double width;                    /* stored bytes of a piece, aimed at */
    unsigned helpers;
    struct rate alone, over; /* of the owner, by stored bytes: alone; of finished pieces */
    struct rate bytes, head; /* of a helper: by stored bytes; by pieces, what comes on top */

    /* the owner's */
    struct piece *slots[RING_SLOTS_MAX]; /* [nslots] */
    unsigned nslots;
    double taken_ns;    /* when a piece was taken */
    double waited_ns;   /* for its output, since then */
    double since_ns;    /* the last call of ring_go_on(), or 0 */
    uint64_t since_fed; /* then */
};

struct ring *ring_new(const struct gunzip_options *o) NODISCARD; /* NULL: out of memory */
/* Stop all pieces, wait for those that run. */
void ring_free(struct ring *r);
/* The same, and give their memory back; pieces may be begun again later. */
void ring_rest(struct ring *r);

/* Where the owner is in the file. */
struct owner {
    uint64_t fed;        /* stored bytes that it has read; it may read INFLATER_FEED_MAX more */
    uint64_t begun;      /* `fed` when it began to read from front to back */
    uint64_t out_nbytes; /* inflated since then */
};

/* Offer pieces to idle helpers. Returns the bit where the next piece begins, or NO_BIT while that is
 * further away than the owner reads at a time. */
uint64_t ring_go_on(struct ring *r, const struct owner *o);

/* The owner stands at the bit that ring_go_on() told: that piece, to be given back when all of its
 * output has been taken. */
struct piece *ring_take(struct ring *r);
void ring_give_back(struct ring *r, struct piece *p);

/* The owner did not come by that bit: drop the piece. */
void ring_drop(struct ring *r);

/* ---- output, of one thread to the other ---- */

/* The chunk that the running piece goes on in; NULL: it has had as many as it may. */
struct chunk *output_room(struct piece *p, bool symbols);
/* `n` symbols or bytes more have been put into that chunk. */
void output_put(struct piece *p, struct chunk *c, size_t n);
/* All that has been put may be taken. */
void output_ready(struct piece *p);

/* What the owner may take next; waits for it. False: all has been taken, and the piece is done. */
bool output_next(struct piece *p, struct span *out);
void output_took(struct piece *p, size_t n);

/* With the lock held: nobody wants what is left of it. */
void output_drop(struct piece *p);
void output_free(struct chunk *chunks); /* without the lock */

#endif
