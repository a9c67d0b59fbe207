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
 * the piece ends as soon as there is no more room.
 * Guarantee: what it says to have decoded is what follows from the bit where it began.
 */
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "gunzip_private.h"
#include "monotonic.h"
#include "pages.h"

size_t piece_nbytes(void)
{
    return sizeof(struct piece) + deflate_marker_nbytes(PIECE_SYMBOLS) + inflater_nbytes() +
           pages_nbytes(PIECE_ROOM);
}

struct piece *piece_new(struct ring *ring, const struct deflate_source *source)
{
    struct piece *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->ring = ring;
    p->marker = deflate_marker_new(PIECE_SYMBOLS);
    p->inflater = inflater_new(source);
    p->bytes = pages_alloc(PIECE_ROOM);
    if (p->marker && p->inflater && p->bytes)
        return p;
    piece_free(p);
    return NULL;
}

void piece_free(struct piece *p)
{
    if (!p)
        return;
    deflate_marker_free(p->marker);
    inflater_free(p->inflater);
    free(p->bytes);
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

/* A header is mostly found in the first of four parts of what is searched. */
enum { SEARCH_STEP = SEARCH_NBYTES / 4 };

uint64_t piece_search(const struct deflate_source *source, const struct deflate_finder *finder,
                      uint64_t from, unsigned char *scratch, size_t *got)
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
    } while (n == SEARCH_STEP && *got < SEARCH_NBYTES);
    return NO_BIT;
}

/* The input of the symbols: in[0] is stored byte `base`. It lies in the room of the bytes, which
 * are only put out when it is used up: memory touched for the first time costs as much as decoding.
 */
struct input {
    unsigned char *in; /* [PIECE_IN_NBYTES + DEFLATE_SLACK] */
    uint64_t base;
    size_t nbytes;
};

/* Make `*bit`, counted from base, lie in the first byte, and fill up. False: nothing was gained. */
static bool advance(const struct deflate_source *source, struct input *in, uint64_t *bit)
{
    size_t used = (size_t)(*bit >> 3);

    memmove(in->in, in->in + used, in->nbytes - used);
    in->base += used;
    in->nbytes -= used;
    *bit &= 7;
    size_t got =
        fetch(source, in->base + in->nbytes, in->in + in->nbytes, PIECE_IN_NBYTES - in->nbytes);
    in->nbytes += got;
    return got > 0;
}

/* Of a piece whose blocks make less than that on average, making their tables costs more than
 * decoding: it ends, so that a hostile file cannot hold a hand, and the owner who waits for it. */
enum { BLOCKS_MIN = 64, BLOCK_SYMBOLS_MIN = 256 };

/* Decode blocks to symbols. PIECE_MIDDLE: from end_bit on the window is known. */
static enum piece_end run_symbols(struct piece *p, const struct deflate_source *source,
                                  struct input *in)
{
    uint64_t bit = p->start_bit - 8 * in->base;
    size_t nblocks = 0, nsymbols;

    for (;;) {
        enum deflate_status status = deflate_marker_block(p->marker, in->in, in->nbytes, &bit);

        p->end_bit = 8 * in->base + bit;
        p->marker_nbytes = (p->end_bit - p->start_bit) / 8;
        if (atomic_load_explicit(&p->cancelled, memory_order_relaxed))
            return PIECE_NOTHING;
        if (status == DEFLATE_FINAL)
            return PIECE_FINAL;
        if (status == DEFLATE_INPUT && advance(source, in, &bit))
            continue;
        if (status != DEFLATE_BLOCK)
            return p->end_bit > p->start_bit ? PIECE_BOUNDARY : PIECE_NOTHING;
        (void)deflate_marker_symbols(p->marker, &nsymbols);
        if (p->end_bit >= p->stop_bit || (p->stop_bit == NO_BIT && p->end_bit / 8 >= p->to) ||
            (++nblocks >= BLOCKS_MIN && nsymbols / nblocks < BLOCK_SYMBOLS_MIN))
            return PIECE_BOUNDARY;
        if (deflate_marker_is_clear(p->marker))
            return PIECE_MIDDLE;
    }
}

/* The last bytes that the symbols stand for. */
static void window_of_symbols(const struct piece *p, unsigned char window[DEFLATE_WINDOW])
{
    size_t n;
    const uint16_t *symbols = deflate_marker_symbols(p->marker, &n);

    for (size_t i = 0; i < DEFLATE_WINDOW; i++)
        window[i] = (unsigned char)symbols[n - DEFLATE_WINDOW + i];
}

static enum piece_end run_bytes(struct piece *p, uint64_t limit)
{
    struct error err;

    while (p->nbytes < PIECE_ROOM) {
        enum inflater_status status;
        size_t got;

        if (atomic_load_explicit(&p->cancelled, memory_order_relaxed) ||
            inflater_run(p->inflater, p->bytes + p->nbytes, PIECE_ROOM - p->nbytes, limit, &got,
                         &status, &err) < 0)
            return PIECE_NOTHING;
        p->crc = crc32_gzip_refl(p->crc, p->bytes + p->nbytes, got);
        p->nbytes += got;
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
            return PIECE_NOTHING;
        }
    }
    return PIECE_MIDDLE;
}

/* Find out where to begin and where to stop. */
static bool find_ends(struct piece *p, const struct deflate_source *source,
                      const struct deflate_finder *finder, uint64_t stored_nbytes, struct input *in)
{
    *in = (struct input){.in = p->bytes, .base = p->from};
    p->start_bit =
        p->known ? p->known->in_bit : piece_search(source, finder, p->from, in->in, &in->nbytes);
    ring_found_start(p);
    if (p->start_bit == NO_BIT)
        return false;
    if (p->stop_bit == NO_BIT && p->to < stored_nbytes) {
        size_t got;
        p->stop_bit = piece_search(source, finder, p->to, p->bytes + PIECE_IN_NBYTES, &got);
    }
    return true;
}

void piece_run(struct piece *p, const struct deflate_source *source,
               const struct deflate_finder *finder, uint64_t stored_nbytes)
{
    double begin = (double)monotonic_ns();
    struct input in;

    p->end = PIECE_NOTHING;
    p->nbytes = 0;
    p->crc = 0;
    p->marker_nbytes = 0;
    p->marker_ns = 0;
    deflate_marker_restart(p->marker);
    if (!find_ends(p, source, finder, stored_nbytes, &in))
        return;
    p->end_bit = p->start_bit;
    if (p->known) {
        inflater_place(p->inflater, p->known->in_bit, p->known->window, CHECKPOINT_WINDOW);
        p->end = PIECE_MIDDLE;
    } else {
        unsigned char window[DEFLATE_WINDOW];

        p->end = run_symbols(p, source, &in);
        if (p->end == PIECE_MIDDLE) {
            window_of_symbols(p, window);
            inflater_place(p->inflater, p->end_bit, window, sizeof window);
        }
        p->marker_ns = (double)monotonic_ns() - begin;
    }
    if (p->end == PIECE_MIDDLE) {
        uint64_t limit = p->stop_bit != NO_BIT   ? inflater_limit(p->stop_bit)
                         : p->to < stored_nbytes ? p->to
                                                 : UINT64_MAX;
        p->end = run_bytes(p, limit);
    }
    p->total_ns = (double)monotonic_ns() - begin;
}
