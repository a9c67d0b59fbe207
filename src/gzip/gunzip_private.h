/* SPDX-License-Identifier: MIT
 *
 * Pieces of a gzip file that helpers inflate ahead of the reader, and the ring that plans them.
 *
 * The reader ("owner") goes through the file from front to back. Ahead of it helpers decode pieces,
 * each from the first block header found behind its nominal start, or from a checkpoint. If the
 * owner reaches exactly the bit where the next piece began, the piece is right and the owner takes
 * its output, also while that still grows; if not, it drops the piece.
 * gunzip_ring.c places and schedules pieces, gunzip_piece.c decodes them and passes their output
 * on.
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
    PIECE_CHUNKS = 20,           /* at most, of a piece */
    PIECE_OUT_NBYTES = 20 << 20, /* target size of a piece: each costs the search and the symbols */
    SEARCH_NBYTES = 256 << 10,   /* how far to search for a block's header */
};

static const uint64_t NO_BIT = UINT64_MAX;

/* ---- output ---- */

/* A part of a piece's output: symbols while some may refer to the unknown window, then bytes. Only
 * the helper changes it, under ring->lock. */
struct chunk {
    struct chunk *prev, *next;
    size_t n;        /* symbols and bytes */
    size_t nsymbols; /* of these */
    bool has_bytes;  /* no more symbols follow */
    _Alignas(64) unsigned char room[CHUNK_NBYTES - 64];
};

enum { CHUNK_NSYMBOLS = (CHUNK_NBYTES - 64) / 2 };

/* Output to take: one of the two is NULL. */
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
    PIECE_BROKEN,   /* an error (the owner will meet it), cancelled, or no block found: the owner
                       continues alone from the piece's start */
    PIECE_BOUNDARY, /* between two blocks, at end_bit */
    PIECE_FINAL,    /* behind the stream's last block, at end_bit */
    PIECE_MIDDLE,   /* anywhere: its inflater continues from there */
};

struct piece {
    struct helper_job job; /* must be first */
    struct ring *ring;
    struct piece *prev, *next; /* in ring->active, in file order */

    /* guarded by ring->lock */
    enum piece_state state;
    bool start_known;     /* start_bit is final */
    bool dropped;         /* the owner does not want it */
    double due_ns;        /* expected end, on the monotonic clock */
    struct chunk *chunks; /* of output, not yet taken */
    unsigned nchunks;     /* since the piece began */
    size_t put_n;         /* symbols and bytes put out */
    size_t ready_n;       /* of these, final and ready to be taken */
    size_t taken_n;       /* of these, taken; only the owner changes it */
    size_t chunk_taken_n; /* of the first chunk */

    atomic_bool cancelled;

    /* the plan: set before it runs */
    uint64_t from, to;              /* stored bytes */
    const struct checkpoint *known; /* where it begins, or NULL */
    uint64_t stop_bit;              /* where the next piece may begin; NO_BIT: to be searched for */

    /* the result: of the thread that runs it, then of the owner */
    uint64_t start_bit; /* NO_BIT: none found */
    enum piece_end end;
    uint64_t end_bit;
    size_t nbytes;    /* of the output, without symbols */
    uint32_t crc;     /* of these */
    double begin_ns;  /* of the search, on the monotonic clock */
    double marker_ns; /* duration of the search and the symbols */
    double total_ns;
    uint64_t marker_nbytes; /* stored bytes that became symbols */

    /* reused */
    struct inflater *inflater;
    struct deflate_marker *marker;
    uint64_t in_base; /* the stored byte of in[0] */
    size_t in_nbytes; /* valid bytes of `in` */
    unsigned char in[SEARCH_NBYTES + DEFLATE_SLACK];
};

size_t piece_nbytes(void);                            /* of memory, at most */
struct piece *piece_new(struct ring *ring) NODISCARD; /* NULL: out of memory */
void piece_free(struct piece *p);                     /* which has no chunk left */

/* Find the first bit of the piece, start_bit, and of the next one. False: none found, do not run.
 * */
bool piece_find(struct piece *p);
/* Decode the piece that piece_find() has found. */
void piece_run(struct piece *p);

/* The first likely block header in SEARCH_NBYTES from stored byte `from` on, or NO_BIT; also when
 * *cancelled (may be NULL) becomes true. Needs scratch[SEARCH_NBYTES + DEFLATE_SLACK], which then
 * holds *got bytes from `from` on. */
uint64_t piece_search(const struct decoder_source *source, uint64_t from,
                      const atomic_bool *cancelled, unsigned char *scratch, size_t *got);

/* ---- where pieces lie ---- */

/* Times in ns, places and lengths in stored bytes; none is negative. */
struct forecast {
    double left;      /* from the end of the last begun piece to the end of the file */
    double arrival;   /* of the owner at its start, from now */
    double alone;     /* the owner's time per byte alone, its caller's included */
    double over;      /* the owner's time per byte of a finished piece */
    double bytes;     /* a helper's time per byte */
    double head;      /* a helper's additional time per piece: the search and the symbols */
    double width;     /* target width of a piece */
    unsigned helpers; /* that work on pieces; at least one */
};

/* The gap between the last piece and the next, and the width of the next. False: no piece fits. */
bool plan_piece(const struct forecast *o, double *gap, double *width);

/* ---- the ring ---- */

enum { RING_SLOTS_MAX = 128 };

/* A moving average. */
struct rate {
    double ns, amount;
};

struct ring {
    struct decoder_input o;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a piece's state, start_known or ready_n */

    /* guarded by lock */
    bool stopped;              /* no piece begins */
    uint64_t wait_until;       /* plan no piece before `claim` gets here */
    unsigned nfailed_searches; /* pieces in a row without a header */
    struct piece *active;      /* begun and not yet reached by the owner, in order */
    struct piece *taking;      /* the one that the owner takes, or NULL */
    struct chunk *spare;       /* unused; with those in use at most PIECE_CHUNKS a slot */
    uint64_t claim;            /* stored bytes that the owner has read or may be reading */
    double ratio;              /* of output to stored bytes */
    double width;              /* target width of a piece, in stored bytes */
    unsigned helpers;
    struct rate alone, over; /* the owner's, by stored bytes: alone; of finished pieces */
    struct rate bytes, head; /* a helper's: by stored bytes; by pieces, the additional time */

    /* the owner's */
    struct piece *slots[RING_SLOTS_MAX]; /* [nslots] */
    unsigned nslots;
    double taken_ns;    /* when it took the piece */
    double waited_ns;   /* for its output, since then */
    double since_ns;    /* the last call of ring_go_on(), or 0 */
    uint64_t since_fed; /* then */
};

struct ring *ring_new(const struct decoder_input *o) NODISCARD; /* NULL: out of memory */
void ring_free(struct ring *r); /* calls ring_rest(); NULL is allowed */
/* Stop all pieces, wait for those that run, free them; new ones may begin later. */
void ring_rest(struct ring *r);

/* Where the owner is in the file. */
struct owner {
    uint64_t fed;        /* stored bytes that it has read; it may read INFLATER_FEED_MAX more */
    uint64_t begun;      /* `fed` when it began to read from front to back */
    uint64_t out_nbytes; /* inflated since then */
};

/* Offer pieces to idle helpers. Returns the bit where the next piece begins, or NO_BIT while that
 * is further away than the owner reads at a time. */
uint64_t ring_go_on(struct ring *r, const struct owner *o);

/* The owner is at the bit that ring_go_on() returned: take the piece, and give it back when all of
 * its output is taken. */
struct piece *ring_take(struct ring *r);
void ring_give_back(struct ring *r, struct piece *p);

/* The owner passed that bit without a block there: drop the piece. */
void ring_drop(struct ring *r);

/* ---- output, from a helper to the owner ---- */

unsigned char *chunk_byte(struct chunk *c, size_t i); /* byte `i` behind the symbols */
size_t chunk_left(struct chunk *c);                   /* how many more symbols, or bytes, fit */

/* A chunk with room for the running piece; NULL: out of memory, or it has had PIECE_CHUNKS. */
struct chunk *output_room(struct piece *p, bool symbols);
/* The helper has put `n` more symbols or bytes into that chunk. */
void output_put(struct piece *p, struct chunk *c, size_t n);
/* The owner may take all that was put. */
void output_ready(struct piece *p);

/* The output to take next; waits for it. False: all is taken, and the piece is done. */
bool output_next(struct piece *p, struct span *out);
void output_took(struct piece *p, size_t n);

/* Discard the rest of its output. With the lock held. */
void output_drop(struct piece *p);
void output_free(struct chunk *chunks); /* without the lock */

#endif
