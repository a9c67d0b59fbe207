/* SPDX-License-Identifier: MIT
 *
 * One piece: find its first block, decode that without a window until the window is known, and go
 * on at full speed.
 *
 *     stored  from ....[block][block][block] ... [block].... to
 *                      ^ start_bit       ^ ISA-L takes over ^ stop_bit, where the next one begins
 *              search    16-bit symbols      bytes
 *
 * The symbols' last 32 KiB being without any of the unknown window, they are the window of what
 * follows. In runs of int16 voxels that takes 1 to 7 MiB of output. Where it does not come to that,
 * the piece ends at its end all the same, or as soon as there is no more room.
 * Guarantee: what it has put out and called ready is what follows from the bit where it began.
 * Symbols are ready by whole blocks, for nobody can go on within one.
 */
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "gunzip_private.h"
#include "monotonic.h"

enum {
    SEARCH_STEP = SEARCH_NBYTES / 4, /* in the first of four parts a header is mostly found */
    FEED_NBYTES = 64 << 10,          /* read at a time for symbols */
    /* Of a piece whose blocks make less than that on average, making their tables costs more than
     * decoding: it ends, so that a hostile file cannot hold a helper, and the owner who waits for it.
     */
    BLOCKS_MIN = 64,
    BLOCK_SYMBOLS_MIN = 256,
};

size_t piece_nbytes(void)
{
    return sizeof(struct piece) + inflater_nbytes() + sizeof(struct piece_scratch) +
           deflate_marker_nbytes() + PIECE_CHUNKS * sizeof(struct chunk);
}

struct piece *piece_new(struct ring *ring, const struct deflate_source *source)
{
    struct piece *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->ring = ring;
    p->inflater = inflater_new(source);
    if (p->inflater)
        return p;
    piece_free(p);
    return NULL;
}

void piece_free(struct piece *p)
{
    if (!p)
        return;
    inflater_free(p->inflater);
    free(p);
}

/* Fill `buf` from stored byte `off` on; fewer at the end, or where reading fails. */
static size_t fetch(const struct deflate_source *source, uint64_t off, unsigned char *buf,
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

uint64_t piece_search(const struct deflate_source *source, const struct deflate_finder *finder,
                      uint64_t from, const atomic_bool *cancelled, unsigned char *scratch,
                      size_t *got)
{
    uint64_t bit, searched = 0;
    size_t n;

    *got = 0;
    do {
        n = fetch(source, from + *got, scratch + *got, SEARCH_STEP);
        *got += n;
        if (deflate_find(finder, scratch, *got, searched, 8 * (uint64_t)*got, &bit))
            return 8 * from + bit;
        /* again where a header would have gone on behind what was there */
        searched = *got > DEFLATE_HEADER_MAX ? 8 * (uint64_t)(*got - DEFLATE_HEADER_MAX) : 0;
    } while (n == SEARCH_STEP && *got < SEARCH_NBYTES &&
             !(cancelled && atomic_load_explicit(cancelled, memory_order_relaxed)));
    return NO_BIT;
}

/* ---- symbols ---- */

/* Make `*bit`, counted from base, lie in the first byte, and fill up. False: nothing was gained. */
static bool advance(const struct deflate_source *source, struct piece_scratch *b, uint64_t *bit)
{
    size_t used = (size_t)(*bit >> 3);

    memmove(b->in, b->in + used, b->nbytes - used);
    b->base += used;
    b->nbytes -= used;
    *bit &= 7;
    size_t want = SEARCH_NBYTES - b->nbytes;
    size_t got = fetch(source, b->base + b->nbytes, b->in + b->nbytes,
                       want < FEED_NBYTES ? want : FEED_NBYTES);
    b->nbytes += got;
    return got > 0;
}

/* False: there is no room for them. */
static bool put_symbols(struct piece *p, struct deflate_marker *marker, bool ready)
{
    size_t nsymbols;
    const uint16_t *symbols = deflate_marker_take(marker, &nsymbols);

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

/* At the end of a block: is it the piece's last one? */
static bool ends_here(const struct piece *p, size_t nblocks)
{
    return p->end_bit >= p->stop_bit || (p->stop_bit == NO_BIT && p->end_bit / 8 >= p->to) ||
           (nblocks >= BLOCKS_MIN && p->put_n / nblocks < BLOCK_SYMBOLS_MIN);
}

/* Decode blocks to symbols. PIECE_MIDDLE: from end_bit on the window is known. */
static enum piece_end run_symbols(struct piece *p, struct piece_scratch *b,
                                  const struct deflate_source *source)
{
    struct deflate_marker *marker = b->marker;
    uint64_t bit = p->start_bit - 8 * b->base;
    size_t nblocks = 0;

    deflate_marker_restart(marker);
    for (;;) {
        enum deflate_status status = deflate_marker_run(marker, b->in, b->nbytes, &bit);
        bool whole = status == DEFLATE_BLOCK || status == DEFLATE_FINAL;
        bool kept = put_symbols(p, marker, whole);

        if (atomic_load_explicit(&p->cancelled, memory_order_relaxed))
            return PIECE_BROKEN;
        if (kept && whole) {
            p->end_bit = 8 * b->base + bit;
            p->marker_nbytes = (p->end_bit - p->start_bit) / 8;
        }
        if (!kept || status == DEFLATE_BAD ||
            (status == DEFLATE_INPUT && !advance(source, b, &bit)))
            return p->end_bit > p->start_bit ? PIECE_BOUNDARY : PIECE_BROKEN;
        if (status == DEFLATE_FINAL)
            return PIECE_FINAL;
        if (whole && ends_here(p, ++nblocks))
            return PIECE_BOUNDARY;
        if (whole && deflate_marker_is_clear(marker))
            return PIECE_MIDDLE;
    }
}

/* ---- bytes ---- */

static enum piece_end run_bytes(struct piece *p, uint64_t limit)
{
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

bool piece_find(struct piece *p, struct piece_scratch *b, const struct deflate_source *source,
                const struct deflate_finder *finder, uint64_t stored_nbytes)
{
    p->begin_ns = (double)monotonic_ns();
    p->end = PIECE_BROKEN;
    p->nbytes = 0;
    p->crc = 0;
    p->marker_nbytes = 0;
    p->marker_ns = 0;
    if (p->stop_bit == NO_BIT && p->to < stored_nbytes)
        p->stop_bit = piece_search(source, finder, p->to, &p->cancelled, b->in, &b->nbytes);
    b->base = p->from;
    p->start_bit = p->known
                       ? p->known->in_bit
                       : piece_search(source, finder, p->from, &p->cancelled, b->in, &b->nbytes);
    if (p->start_bit >= p->stop_bit) /* one block from there to where the next piece begins */
        p->start_bit = NO_BIT;
    return p->start_bit != NO_BIT;
}

void piece_run(struct piece *p, struct piece_scratch *b, const struct deflate_source *source,
               uint64_t stored_nbytes)
{
    p->end_bit = p->start_bit;
    if (p->known) {
        inflater_place(p->inflater, p->known->in_bit, p->known->window, CHECKPOINT_WINDOW);
        p->end = PIECE_MIDDLE;
    } else {
        unsigned char window[DEFLATE_WINDOW];

        p->end = run_symbols(p, b, source);
        if (p->end == PIECE_MIDDLE) {
            deflate_marker_window(b->marker, window);
            inflater_place(p->inflater, p->end_bit, window, sizeof window);
        }
        p->marker_ns = (double)monotonic_ns() - p->begin_ns;
    }
    if (p->end == PIECE_MIDDLE) {
        uint64_t limit = p->stop_bit != NO_BIT   ? inflater_limit(p->stop_bit)
                         : p->to < stored_nbytes ? p->to
                                                 : UINT64_MAX;
        p->end = run_bytes(p, limit);
    }
    p->total_ns = (double)monotonic_ns() - p->begin_ns;
}
