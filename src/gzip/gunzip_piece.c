/* SPDX-License-Identifier: MIT
 *
 * One piece: find its first block, decode without a window until the window is known, and continue
 * at full speed.
 *
 *     stored  from ....[block][block][block] ... [block].... to
 *                      ^ start_bit       ^ ISA-L takes over ^ stop_bit, where the next one begins
 *              search    16-bit symbols      bytes
 *
 * Once the last 32 KiB of symbols refer to no unknown byte, they are the window. In runs of int16
 * voxels that takes 1 to 7 MiB of output. If it never happens, the piece is all symbols, up to its
 * end or until its chunks are full.
 * Guarantee: its ready output is the data that begins at its first bit. Symbols become ready by
 * whole blocks, because the owner cannot continue within one.
 *
 *     helper ─> [chunk] [chunk] [chun ] ──> owner
 *        ^                                    │
 *        └────────────── spare <──────────────┘
 *
 * The owner takes output while the helper adds more, so that neither waits for the other longer
 * than a few hundred KiB take, however wrong the plan was. Chunks are reused: touching memory for
 * the first time can cost more than decoding into it, if a virtual machine has to get it from its
 * host; and a helper that begins its next piece while the owner still takes the previous one needs
 * little more than one piece's memory.
 */
#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"
#include "vector.h"

enum {
    SEARCH_STEP = SEARCH_NBYTES / 4, /* mostly the first step finds a header */
    FEED_NBYTES = 64 << 10,          /* read at a time for symbols */
    /* If blocks are shorter on average, building their tables costs more than decoding: the piece
     * ends, so that a hostile file cannot hold up a helper and the owner that waits for it. */
    BLOCKS_MIN = 64,
    BLOCK_SYMBOLS_MIN = 256,
};

size_t piece_nbytes(void)
{
    return sizeof(struct piece) + inflater_nbytes() + deflate_marker_nbytes() +
           PIECE_CHUNKS * sizeof(struct chunk);
}

struct piece *piece_new(struct ring *ring)
{
    struct piece *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->ring = ring;
    p->inflater = inflater_new(&ring->o.source);
    p->marker = deflate_marker_new();
    if (p->inflater && p->marker)
        return p;
    piece_free(p);
    return NULL;
}

void piece_free(struct piece *p)
{
    free(p->inflater);
    free(p->marker);
    free(p);
}

/* Fill `buf` from stored byte `off` on; less at the end, or if reading fails. */
static size_t fetch(const struct decoder_source *source, uint64_t off, unsigned char *buf,
                    size_t nbytes)
{
    size_t done = 0, got = 1;

    while (done < nbytes && got > 0) {
        struct error err;
        if (source->pread(source->ctx, off + done, buf + done, nbytes - done, &got, &err) < 0)
            break;
        done += got;
    }
    return done;
}

uint64_t piece_search(const struct decoder_source *source, uint64_t from,
                      const atomic_bool *cancelled, unsigned char *scratch, size_t *got)
{
    uint64_t bit, searched = 0;
    size_t n;

    *got = 0;
    do {
        n = fetch(source, from + *got, scratch + *got, SEARCH_STEP);
        *got += n;
        if (deflate_find(scratch, *got, searched, 8 * (uint64_t)*got, &bit))
            return 8 * from + bit;
        /* repeat the places whose header may have been cut off */
        searched = *got > DEFLATE_HEADER_MAX ? 8 * (uint64_t)(*got - DEFLATE_HEADER_MAX) : 0;
    } while (n == SEARCH_STEP && *got < SEARCH_NBYTES &&
             !(cancelled && atomic_load_explicit(cancelled, memory_order_relaxed)));
    return NO_BIT;
}

/* ---- symbols ---- */

/* Move `*bit`, counted from in_base, into the first byte, and read on. False: nothing was read. */
static bool advance(struct piece *p, uint64_t *bit)
{
    size_t used = (size_t)(*bit >> 3);

    memmove(p->in, p->in + used, p->in_nbytes - used);
    p->in_base += used;
    p->in_nbytes -= used;
    *bit &= 7;
    size_t want = SEARCH_NBYTES - p->in_nbytes;
    size_t got = fetch(&p->ring->o.source, p->in_base + p->in_nbytes, p->in + p->in_nbytes,
                       want < FEED_NBYTES ? want : FEED_NBYTES);
    p->in_nbytes += got;
    return got > 0;
}

/* False: no room is left. */
static bool put_symbols(struct piece *p, bool ready)
{
    size_t nsymbols;
    const uint16_t *symbols = deflate_marker_take(p->marker, &nsymbols);

    while (nsymbols > 0) {
        struct chunk *c = output_room(p, true);
        if (!c)
            return false;
        size_t room = chunk_left(c), n = nsymbols < room ? nsymbols : room;
        memcpy(c->room + c->n * sizeof *symbols, symbols, n * sizeof *symbols);
        symbols += n;
        nsymbols -= n;
        output_put(p, c, n);
    }
    if (ready)
        output_ready(p);
    return true;
}

/* Is the block that has ended the piece's last one? */
static bool ends_here(const struct piece *p, size_t nblocks)
{
    return p->end_bit >= p->stop_bit || (p->stop_bit == NO_BIT && p->end_bit / 8 >= p->to) ||
           (nblocks >= BLOCKS_MIN && p->put_n / nblocks < BLOCK_SYMBOLS_MIN);
}

/* Decode blocks to symbols. PIECE_MIDDLE: the window at end_bit is known. */
static enum piece_end run_symbols(struct piece *p)
{
    uint64_t bit = p->start_bit - 8 * p->in_base;
    size_t nblocks = 0;

    deflate_marker_restart(p->marker);
    for (;;) {
        enum deflate_status status = deflate_marker_run(p->marker, p->in, p->in_nbytes, &bit);
        bool whole = status == DEFLATE_BLOCK || status == DEFLATE_FINAL;
        bool kept = put_symbols(p, whole);

        if (atomic_load_explicit(&p->cancelled, memory_order_relaxed))
            return PIECE_BROKEN;
        if (kept && whole) {
            p->end_bit = 8 * p->in_base + bit;
            p->marker_nbytes = (p->end_bit - p->start_bit) / 8;
        }
        if (!kept || status == DEFLATE_BAD || (status == DEFLATE_INPUT && !advance(p, &bit)))
            return p->end_bit > p->start_bit ? PIECE_BOUNDARY : PIECE_BROKEN;
        if (status == DEFLATE_FINAL)
            return PIECE_FINAL;
        if (whole && ends_here(p, ++nblocks))
            return PIECE_BOUNDARY;
        if (whole && deflate_marker_is_clear(p->marker))
            return PIECE_MIDDLE;
    }
}

/* ---- bytes ---- */

static enum piece_end run_bytes(struct piece *p)
{
    uint64_t limit = p->stop_bit != NO_BIT              ? inflater_limit(p->stop_bit)
                     : p->to < p->ring->o.stored_nbytes ? p->to
                                                        : UINT64_MAX;
    struct chunk *c;
    struct error err;

    while ((c = output_room(p, false))) {
        enum inflater_status status;
        unsigned char *out = chunk_byte(c, c->n - c->nsymbols);
        size_t got;

        if (atomic_load_explicit(&p->cancelled, memory_order_relaxed) ||
            inflater_run(p->inflater, out, chunk_left(c), limit, &got, &status, &err) < 0)
            return PIECE_BROKEN;
        p->crc = crc32_gzip_refl(p->crc, out, got);
        p->nbytes += got;
        output_put(p, c, got);
        output_ready(p);
        switch (status) {
        case INFLATER_MORE:
            break;
        case INFLATER_LIMIT:
            return inflater_between_blocks(p->inflater, &p->end_bit) && p->end_bit == p->stop_bit
                       ? PIECE_BOUNDARY
                       : PIECE_MIDDLE;
        case INFLATER_FINAL:
            (void)inflater_between_blocks(p->inflater, &p->end_bit);
            return PIECE_FINAL;
        default:
            return PIECE_BROKEN;
        }
    }
    return PIECE_MIDDLE;
}

/* ---- a piece ---- */

/* The first header behind stored byte `from`; `in` holds the bytes from there on. */
static uint64_t search(struct piece *p, uint64_t from)
{
    p->in_base = from;
    return piece_search(&p->ring->o.source, from, &p->cancelled, p->in, &p->in_nbytes);
}

bool piece_find(struct piece *p)
{
    p->begin_ns = (double)monotonic_ns();
    p->end = PIECE_BROKEN;
    p->nbytes = 0;
    p->crc = 0;
    p->marker_nbytes = 0;
    p->marker_ns = 0;
    if (p->stop_bit == NO_BIT && p->to < p->ring->o.stored_nbytes)
        p->stop_bit = search(p, p->to);
    p->start_bit = p->known ? p->known->in_bit : search(p, p->from);
    if (p->start_bit >= p->stop_bit) /* one block reaches from there to the next piece */
        p->start_bit = NO_BIT;
    return p->start_bit != NO_BIT;
}

void piece_run(struct piece *p)
{
    p->end_bit = p->start_bit;
    if (p->known) {
        inflater_place(p->inflater, p->known->in_bit, p->known->window, CHECKPOINT_WINDOW);
        p->end = PIECE_MIDDLE;
    } else {
        unsigned char window[DEFLATE_WINDOW];

        p->end = run_symbols(p);
        if (p->end == PIECE_MIDDLE) {
            deflate_marker_window(p->marker, window);
            inflater_place(p->inflater, p->end_bit, window, sizeof window);
        }
        p->marker_ns = (double)monotonic_ns() - p->begin_ns;
    }
    if (p->end == PIECE_MIDDLE)
        p->end = run_bytes(p);
    p->total_ns = (double)monotonic_ns() - p->begin_ns;
}

/* ---- output, from the helper to the owner ---- */

_Static_assert(sizeof(struct chunk) == CHUNK_NBYTES, "a chunk has its size");

unsigned char *chunk_byte(struct chunk *c, size_t i)
{
    return c->room + (2 * c->nsymbols + 63) / 64 * 64 + i;
}

size_t chunk_left(struct chunk *c)
{
    return c->has_bytes ? (size_t)(c->room + sizeof c->room - chunk_byte(c, c->n - c->nsymbols))
                        : CHUNK_NSYMBOLS - c->n;
}

/* Append a chunk. With the lock held. */
static void append(struct piece *p, struct chunk *c, bool symbols)
{
    c->has_bytes = !symbols;
    c->n = c->nsymbols = 0;
    p->nchunks++;
    DL_APPEND(p->chunks, c);
}

/* The piece's last chunk, if it has room for more of that kind. With the lock held. */
static struct chunk *last_chunk(struct piece *p, bool symbols)
{
    struct chunk *c = p->chunks ? p->chunks->prev : NULL;

    if (!c || (symbols && c->has_bytes))
        return NULL;
    c->has_bytes = !symbols;
    return chunk_left(c) > 0 ? c : NULL;
}

struct chunk *output_room(struct piece *p, bool symbols)
{
    struct ring *r = p->ring;

    pthread_mutex_lock(&r->lock);
    struct chunk *c = last_chunk(p, symbols);
    bool full = p->nchunks == PIECE_CHUNKS;
    if (!c && !full && r->spare) {
        c = r->spare;
        DL_DELETE(r->spare, c);
        append(p, c, symbols);
    }
    pthread_mutex_unlock(&r->lock);
    if (c || full || !(c = vector_alloc(sizeof *c)))
        return c;
    pthread_mutex_lock(&r->lock);
    append(p, c, symbols);
    pthread_mutex_unlock(&r->lock);
    return c;
}

void output_put(struct piece *p, struct chunk *c, size_t n)
{
    pthread_mutex_lock(&p->ring->lock);
    c->n += n;
    c->nsymbols += c->has_bytes ? 0 : n;
    p->put_n += n;
    pthread_mutex_unlock(&p->ring->lock);
}

void output_ready(struct piece *p)
{
    pthread_mutex_lock(&p->ring->lock);
    p->ready_n = p->put_n;
    pthread_cond_broadcast(&p->ring->changed);
    pthread_mutex_unlock(&p->ring->lock);
}

/* How much the owner may take now, of one chunk and of one kind. With the lock held. */
static size_t look(struct piece *p)
{
    struct chunk *c = p->chunks;

    while (c && p->chunk_taken_n == c->n && c->next) {
        DL_DELETE(p->chunks, c);
        DL_PREPEND(p->ring->spare, c);
        p->chunk_taken_n = 0;
        c = p->chunks;
    }
    size_t end = c && p->chunk_taken_n < c->nsymbols ? c->nsymbols : c ? c->n : 0;
    size_t n = p->ready_n - p->taken_n, there = c ? end - p->chunk_taken_n : 0;
    return n < there ? n : there;
}

bool output_next(struct piece *p, struct span *out)
{
    struct ring *r = p->ring;
    double begin = 0;

    *out = (struct span){0};
    pthread_mutex_lock(&r->lock);
    while ((out->n = look(p)) == 0 && p->state == PIECE_RUNNING) {
        if (begin == 0)
            begin = (double)monotonic_ns();
        pthread_cond_wait(&r->changed, &r->lock);
    }
    if (out->n > 0 && p->chunk_taken_n < p->chunks->nsymbols)
        out->symbols = (const uint16_t *)(const void *)p->chunks->room + p->chunk_taken_n;
    else if (out->n > 0)
        out->bytes = chunk_byte(p->chunks, p->chunk_taken_n - p->chunks->nsymbols);
    pthread_mutex_unlock(&r->lock);
    if (begin > 0)
        r->waited_ns += (double)monotonic_ns() - begin;
    return out->n > 0;
}

void output_took(struct piece *p, size_t n)
{
    pthread_mutex_lock(&p->ring->lock);
    p->taken_n += n;
    p->chunk_taken_n += n;
    pthread_mutex_unlock(&p->ring->lock);
}

void output_drop(struct piece *p)
{
    DL_CONCAT(p->ring->spare, p->chunks);
    p->chunks = NULL;
}

void output_free(struct chunk *chunks)
{
    struct chunk *c, *next;

    DL_FOREACH_SAFE(chunks, c, next)
    vector_free(c);
}
