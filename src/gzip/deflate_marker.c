/* SPDX-License-Identifier: MIT
 *
 * Decode without the window.
 *
 *     symbols:  the 32 KiB before | decoded, to be taken ... | room ... |
 *               at first 256 257 ... 33023: the unknown window
 *
 * The unknown bytes are symbols of their own, so a copy from the window carries them along without
 * a test. deflate_resolve() replaces them when the window is known.
 * The buffer stays in the second-level cache: symbols that were taken make room, except the last
 * 32 KiB, which move to the front. Decoding can stop at any symbol for want of input or room.
 * Guarantee: the same symbols as zlib, or a refusal; reads nothing past nbytes + DEFLATE_SLACK,
 * writes nothing past the room. Memory: 300 KiB. Time: 1.1 times ISA-L's.
 */
#include <stdlib.h>
#include <string.h>

#include "deflate_private.h"

enum {
    ROOM = 64 * 1024, /* symbols */
    LENGTH_MAX = 258,
    /* Symbols that one turn of the loop may write, copying eight at a time. */
    TURN_MAX = LENGTH_MAX + 8 + 8,
    TURN_NBYTES = 24, /* of input; one turn reads no more, wherever its refills begin */
};

enum place { BETWEEN_BLOCKS, IN_STORED, IN_CODED };

struct deflate_marker {
    enum place place;
    bool is_final;      /* the block is the stream's last */
    size_t stored_left; /* IN_STORED: bytes to copy */
    size_t begin, end;  /* of the decoded symbols that were not taken */
    struct deflate_tables tables;
    uint16_t symbols[DEFLATE_WINDOW + ROOM + TURN_MAX];
};

size_t deflate_marker_nbytes(void)
{
    return sizeof(struct deflate_marker);
}

struct deflate_marker *deflate_marker_new(void)
{
    struct deflate_marker *d = malloc(sizeof *d);

    if (d)
        deflate_marker_restart(d);
    return d;
}

void deflate_marker_restart(struct deflate_marker *d)
{
    d->place = BETWEEN_BLOCKS;
    d->begin = d->end = DEFLATE_WINDOW;
    for (unsigned i = 0; i < DEFLATE_WINDOW; i++)
        d->symbols[i] = (uint16_t)(256 + i);
}

const uint16_t *deflate_marker_take(struct deflate_marker *d, size_t *nsymbols)
{
    const uint16_t *taken = d->symbols + d->begin;

    *nsymbols = d->end - d->begin;
    d->begin = d->end;
    return taken;
}

/* From the end up to the first unknown byte, because this runs after each block. */
bool deflate_marker_is_clear(const struct deflate_marker *d)
{
    enum { GROUP = 512 };
    const uint16_t *at = d->symbols + d->end;
    unsigned any = 0;

    for (size_t n = 0; n < DEFLATE_WINDOW && any < 256; n += GROUP) {
        at -= GROUP;
        for (size_t i = 0; i < GROUP; i++)
            any |= at[i];
    }
    return any < 256;
}

void deflate_marker_window(const struct deflate_marker *d, unsigned char window[DEFLATE_WINDOW])
{
    const uint16_t *last = d->symbols + d->end - DEFLATE_WINDOW;

    for (size_t i = 0; i < DEFLATE_WINDOW; i++)
        window[i] = (unsigned char)last[i];
}

/* ---- from symbols to bytes ---- */

void deflate_meanings(const unsigned char *window, unsigned char *meanings)
{
    for (unsigned i = 0; i < 256; i++)
        meanings[i] = (unsigned char)i;
    memcpy(meanings + 256, window, DEFLATE_WINDOW);
}

/* Groups of known bytes, more and more of them, are narrowed many symbols at once; in the others a
 * table look-up for each symbol is quicker than a test. */
void deflate_resolve(const uint16_t *symbols, size_t nsymbols, const unsigned char *meanings,
                     unsigned char *out)
{
    enum { GROUP = 32 };

    for (size_t i = 0; i < nsymbols; i += GROUP) {
        size_t n = nsymbols - i < GROUP ? nsymbols - i : GROUP;
        unsigned any = 0;

        for (size_t k = 0; k < n; k++) {
            any |= symbols[i + k];
            out[i + k] = (unsigned char)symbols[i + k];
        }
        for (size_t k = 0; any >= 256 && k < n; k++)
            out[i + k] = meanings[symbols[i + k]];
    }
}

/* ---- a block's symbols ---- */

/* The next bits of the input, the rest of it, and the output. */
struct decoder {
    uint64_t word; /* the next `n` bits; those above are bits of the input or 0 */
    unsigned n;    /* at least 56 after refill() */
    const unsigned char *next;
    uint16_t *out;
};

static inline void refill(struct decoder *b)
{
    uint64_t more;

    memcpy(&more, b->next, sizeof more);
    b->word |= le64toh(more) << b->n;
    b->next += (63 - b->n) >> 3;
    b->n |= 56;
}

static inline void drop(struct decoder *b, unsigned n)
{
    b->word >>= n;
    b->n -= n;
}

static inline unsigned take(struct decoder *b, unsigned n)
{
    unsigned value = (unsigned)(b->word & ((UINT64_C(1) << n) - 1));

    drop(b, n);
    return value;
}

/* May write up to 7 symbols more. */
static inline void copy(uint16_t *out, size_t distance, size_t n)
{
    const uint16_t *from = out - distance;

    if (distance >= 8) {
        memcpy(out, from, 8 * sizeof *out);
        for (size_t i = 8; i < n; i += 8)
            memcpy(out + i, from + i, 8 * sizeof *out);
    } else if (distance == 1) {
        for (size_t i = 0, value = *from; i < n; i++)
            out[i] = (uint16_t)value;
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = from[i];
    }
}

/* Read the distance and copy `length` symbols. Uses up to 28 bits of the word. False: invalid. */
static inline bool copy_match(const struct deflate_tables *t, struct decoder *b, size_t length)
{
    uint32_t e = t->distances[b->word & (DEFLATE_DISTANCES - 1)];
    unsigned nbits = e & DEFLATE_NBITS, extra = e >> DEFLATE_EXTRA_SHIFT & 15;
    size_t distance = e >> DEFLATE_DISTANCE_SHIFT;

    if (nbits == 0) {
        unsigned which;

        if (!deflate_long_code(&t->distance, b->word, &which, &nbits) ||
            which >= DEFLATE_NDISTANCE_MAX)
            return false;
        distance = deflate_distance_min[which];
        extra = deflate_distance_bits[which];
    }
    drop(b, nbits);
    distance += take(b, extra);
    copy(b->out, distance, length);
    b->out += length;
    return true;
}

/* The next symbol has no table entry. DEFLATE_INPUT: continue. Needs 48 bits. */
static enum deflate_status decode_rare(const struct deflate_tables *t, struct decoder *b)
{
    unsigned symbol, nbits;

    if (!deflate_long_code(&t->literal, b->word, &symbol, &nbits))
        return DEFLATE_BAD;
    drop(b, nbits);
    if (symbol < DEFLATE_END) {
        *b->out++ = (uint16_t)symbol;
        return DEFLATE_INPUT;
    }
    if (symbol == DEFLATE_END)
        return DEFLATE_BLOCK;
    symbol -= DEFLATE_END + 1;
    if (symbol >= DEFLATE_NLENGTH)
        return DEFLATE_BAD;
    size_t length = deflate_length_min[symbol] + take(b, deflate_length_bits[symbol]);
    return copy_match(t, b, length) ? DEFLATE_INPUT : DEFLATE_BAD;
}

/* Put out the literals of an entry. Returns the length of its match or 0. */
static inline size_t put_entry(struct decoder *b, uint32_t e)
{
    b->out[0] = e >> DEFLATE_LITERAL_SHIFT & 0xff;
    b->out[1] = (uint16_t)(e >> 24);
    b->out += e >> DEFLATE_COUNT_SHIFT & 3;
    drop(b, e & DEFLATE_NBITS);
    return (e & DEFLATE_LENGTH) >> DEFLATE_LENGTH_SHIFT;
}

/* Decode at most two entries and a distance (52 bits), or one rare symbol. DEFLATE_INPUT: continue.
 * */
static inline enum deflate_status turn(const struct deflate_tables *t, struct decoder *b,
                                       const unsigned char *end)
{
    uint32_t e;

    refill(b);
    for (int i = 0; i < 2; i++) {
        e = t->entries[b->word & (DEFLATE_ENTRIES - 1)];
        if (__builtin_expect(e == 0, 0)) {
            if (b->next > end)
                return DEFLATE_INPUT;
            refill(b);
            return decode_rare(t, b);
        }
        size_t length = put_entry(b, e);
        if (length > 0)
            return copy_match(t, b, length) ? DEFLATE_INPUT : DEFLATE_BAD;
    }
    return DEFLATE_INPUT;
}

static uint64_t bit_of(const struct decoder *b, const unsigned char *in)
{
    return 8 * (uint64_t)(b->next - in) - b->n;
}

/* Distances reach at most 32 KiB back, and as many symbols lie before the first. Near the end a
 * turn may decode bits behind the input; it is then undone. */
static enum deflate_status decode_coded(struct deflate_marker *d, const unsigned char *in,
                                        size_t nbytes, uint64_t *bit)
{
    const unsigned char *end = in + nbytes;
    const uint16_t *full = d->symbols + DEFLATE_WINDOW + ROOM;
    struct decoder b = {.next = in + (*bit >> 3), .out = d->symbols + d->end}, sure;
    enum deflate_status status = DEFLATE_INPUT;

    if (b.next > end)
        return DEFLATE_INPUT;
    refill(&b);
    drop(&b, *bit & 7);
    sure = b;
    while (status == DEFLATE_INPUT) {
        if (b.out > full) {
            status = DEFLATE_ROOM;
            break;
        }
        if (end - b.next < TURN_NBYTES) {
            if (bit_of(&b, in) > 8 * (uint64_t)nbytes || b.next > end)
                break;
            sure = b;
        }
        status = turn(&d->tables, &b, end);
    }
    if (bit_of(&b, in) > 8 * (uint64_t)nbytes) {
        b = sure;
        status = DEFLATE_INPUT;
    }
    *bit = bit_of(&b, in);
    d->end = (size_t)(b.out - d->symbols);
    return status;
}

static enum deflate_status copy_stored(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit)
{
    size_t at = (size_t)(*bit >> 3), n = d->stored_left;
    size_t room = d->end < DEFLATE_WINDOW + ROOM ? DEFLATE_WINDOW + ROOM - d->end : 0;
    enum deflate_status status = DEFLATE_BLOCK;

    if (n > room) {
        n = room;
        status = DEFLATE_ROOM;
    }
    if (n > nbytes - at) {
        n = nbytes - at;
        status = DEFLATE_INPUT;
    }
    for (size_t i = 0; i < n; i++)
        d->symbols[d->end + i] = in[at + i];
    d->end += n;
    d->stored_left -= n;
    *bit = 8 * (uint64_t)(at + n);
    return status;
}

/* ---- blocks ---- */

static enum deflate_status begin_stored(struct deflate_marker *d, const unsigned char *in,
                                        size_t nbytes, uint64_t *bit)
{
    uint64_t at = (*bit + 7) >> 3;

    if (at + 4 > nbytes)
        return DEFLATE_INPUT;
    size_t n = in[at] | (size_t)in[at + 1] << 8;
    size_t complement = in[at + 2] | (size_t)in[at + 3] << 8;
    if (n != (~complement & 0xffff))
        return DEFLATE_BAD;
    d->place = IN_STORED;
    d->stored_left = n;
    *bit = 8 * (at + 4);
    return DEFLATE_BLOCK;
}

static enum deflate_status begin_coded(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit, bool fixed)
{
    struct deflate_lengths lengths;
    enum deflate_status status = DEFLATE_BLOCK;

    if (fixed) {
        memset(lengths.literal, 8, 144);
        memset(lengths.literal + 144, 9, 256 - 144);
        memset(lengths.literal + 256, 7, 280 - 256);
        memset(lengths.literal + 280, 8, DEFLATE_NLITERAL - 280);
        memset(lengths.distance, 5, DEFLATE_NDISTANCE);
    } else {
        status = deflate_read_lengths(in, nbytes, bit, &lengths);
    }
    if (status != DEFLATE_BLOCK)
        return status;
    deflate_tables_make(&d->tables, &lengths);
    d->place = IN_CODED;
    return DEFLATE_BLOCK;
}

/* DEFLATE_BLOCK: its header is read, and *bit is behind it; else nothing has changed. */
static enum deflate_status begin_block(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit)
{
    uint64_t at = *bit + 3;
    enum deflate_status status = DEFLATE_BAD;

    if (at > 8 * (uint64_t)nbytes)
        return DEFLATE_INPUT;
    unsigned header = deflate_peek(in, *bit) & 7, type = header >> 1;
    if (type == 0)
        status = begin_stored(d, in, nbytes, &at);
    else if (type < 3)
        status = begin_coded(d, in, nbytes, &at, type == 1);
    if (status != DEFLATE_BLOCK)
        return status;
    d->is_final = header & 1;
    *bit = at;
    return DEFLATE_BLOCK;
}

enum deflate_status deflate_marker_run(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit)
{
    enum deflate_status status = DEFLATE_BLOCK;

    /* once all symbols are taken, move the window to the front */
    if (d->begin == d->end && d->end >= DEFLATE_WINDOW + ROOM / 2) {
        memmove(d->symbols, d->symbols + d->end - DEFLATE_WINDOW,
                DEFLATE_WINDOW * sizeof *d->symbols);
        d->begin = d->end = DEFLATE_WINDOW;
    }
    if (d->place == BETWEEN_BLOCKS)
        status = begin_block(d, in, nbytes, bit);
    if (status != DEFLATE_BLOCK)
        return status;
    status =
        d->place == IN_STORED ? copy_stored(d, in, nbytes, bit) : decode_coded(d, in, nbytes, bit);
    if (status != DEFLATE_BLOCK)
        return status;
    d->place = BETWEEN_BLOCKS;
    return d->is_final ? DEFLATE_FINAL : DEFLATE_BLOCK;
}
