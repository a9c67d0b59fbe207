/* SPDX-License-Identifier: MIT
 *
 * Decode without knowing the window.
 *
 *     symbols:  256 257 ... 33023 | what has been decoded ...
 *               the unknown window  ^ starts here
 *
 * The unknown bytes are symbols of their own, so that a copy from the window needs no test: it
 * carries them along. Whoever learns the window puts the bytes in (deflate_resolve()).
 * Codes of up to TABLE_BITS bits are decoded by one look into a table, two literals at once where
 * both fit; longer ones, which are rare, bit by bit. Guarantee: the same symbols as zlib, or a
 * refusal; reads nothing past nbytes + DEFLATE_SLACK, writes nothing past the room. A block that
 * cannot be finished leaves no trace.
 */
#include <stdlib.h>
#include <string.h>

#include "deflate_private.h"
#include "pages.h"

enum {
    TABLE_BITS = 12,
    TABLE_SIZE = 1 << TABLE_BITS,
    DISTANCE_BITS = 10,
    DISTANCE_SIZE = 1 << DISTANCE_BITS,
    LENGTH_MAX = 258,
    /* Symbols that one turn of the loop may write, copies of eight at a time. */
    TURN_MAX = LENGTH_MAX + 8 + 8,

    /* An entry: bits 0 to 3 the length of the code (of both codes), 4 and 5 how many literals, 8 to
     * 15 and 16 to 23 which, or from 8 on the symbol. */
    LITERALS = 3 << 4,
    NO_CODE = 0, /* none of at most that many bits */
};

/* Canonical Huffman codes, for those that are longer than a table's index. */
struct canon {
    uint16_t count[DEFLATE_CODE_BITS + 1]; /* codes of each length */
    uint16_t symbol[DEFLATE_NLITERAL];     /* in the order of their codes */
};

struct deflate_marker {
    size_t room, nsymbols; /* behind the window */
    struct canon literal, distance;
    uint32_t literal_table[TABLE_SIZE], distance_table[DISTANCE_SIZE];
    uint16_t symbols[]; /* [DEFLATE_WINDOW + room + TURN_MAX] */
};

size_t deflate_marker_nbytes(size_t room)
{
    return pages_nbytes(sizeof(struct deflate_marker) +
                        (DEFLATE_WINDOW + room + TURN_MAX) * sizeof(uint16_t));
}

struct deflate_marker *deflate_marker_new(size_t room)
{
    struct deflate_marker *d = pages_alloc(deflate_marker_nbytes(room));

    if (!d)
        return NULL;
    d->room = room;
    for (unsigned i = 0; i < DEFLATE_WINDOW; i++)
        d->symbols[i] = (uint16_t)(256 + i);
    deflate_marker_restart(d);
    return d;
}

void deflate_marker_free(struct deflate_marker *d)
{
    free(d);
}

void deflate_marker_restart(struct deflate_marker *d)
{
    d->nsymbols = 0;
}

const uint16_t *deflate_marker_symbols(const struct deflate_marker *d, size_t *nsymbols)
{
    *nsymbols = d->nsymbols;
    return d->symbols + DEFLATE_WINDOW;
}

bool deflate_marker_is_clear(const struct deflate_marker *d)
{
    const uint16_t *last = d->symbols + d->nsymbols;
    unsigned any = 0;

    if (d->nsymbols < DEFLATE_WINDOW)
        return false;
    for (size_t i = 0; i < DEFLATE_WINDOW; i++)
        any |= last[i];
    return any < 256;
}

void deflate_meanings(const unsigned char *window, unsigned char *meanings)
{
    for (unsigned i = 0; i < 256; i++)
        meanings[i] = (unsigned char)i;
    memcpy(meanings + 256, window, DEFLATE_WINDOW);
}

/* Groups in which all is known, more and more of them, only get narrower, many symbols at once; in
 * the others a look into the table for each is quicker than a test. */
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

/* ---- tables ------------------------------------------------------------------------------------
 */

static void build(struct canon *c, uint32_t *table, unsigned table_bits, const uint8_t *lengths,
                  size_t nsymbols, size_t nliterals)
{
    uint16_t offset[DEFLATE_CODE_BITS + 1];
    unsigned code = 0; /* of 15 bits, the first one the most significant */

    memset(c->count, 0, sizeof c->count);
    for (size_t i = 0; i < nsymbols; i++)
        c->count[lengths[i]]++;
    c->count[0] = 0;
    offset[0] = 0;
    for (unsigned len = 1; len <= DEFLATE_CODE_BITS; len++)
        offset[len] = (uint16_t)(offset[len - 1] + c->count[len - 1]);
    for (size_t i = 0; i < nsymbols; i++)
        if (lengths[i] > 0)
            c->symbol[offset[lengths[i]]++] = (uint16_t)i;

    memset(table, 0, (sizeof *table) << table_bits);
    const uint16_t *symbol = c->symbol;
    for (unsigned len = 1; len <= table_bits; len++) {
        for (unsigned i = 0; i < c->count[len]; i++, symbol++) {
            uint32_t entry = (uint32_t)*symbol << 8 | (*symbol < nliterals ? 1U << 4 : 0) | len;
            unsigned reversed = 0;

            for (unsigned k = 0; k < len; k++)
                reversed |= (code >> (DEFLATE_CODE_BITS - 1 - k) & 1) << k;
            for (unsigned at = reversed; at < 1U << table_bits; at += 1U << len)
                table[at] = entry;
            code += 1U << (DEFLATE_CODE_BITS - len);
        }
    }
}

/* Where a literal leaves bits that tell the next one too, let the entry stand for both. From the
 * last down: the entry of the next one is at a smaller index, and so still of one. */
static void pair_literals(uint32_t table[TABLE_SIZE])
{
    for (unsigned at = TABLE_SIZE; at-- > 0;) {
        uint32_t first = table[at], second = table[at >> (first & 15)];

        if ((first & LITERALS) && (second & LITERALS) && (first & 15) + (second & 15) <= TABLE_BITS)
            table[at] = (second & 0xff00) << 8 | (first & 0xff00) | 2U << 4 |
                        ((first & 15) + (second & 15));
    }
}

static void use_lengths(struct deflate_marker *d, const struct deflate_lengths *lengths)
{
    build(&d->literal, d->literal_table, TABLE_BITS, lengths->literal, DEFLATE_NLITERAL, 256);
    pair_literals(d->literal_table);
    build(&d->distance, d->distance_table, DISTANCE_BITS, lengths->distance, DEFLATE_NDISTANCE, 0);
}

static void use_fixed(struct deflate_marker *d)
{
    struct deflate_lengths lengths;

    memset(lengths.literal, 8, 144);
    memset(lengths.literal + 144, 9, 256 - 144);
    memset(lengths.literal + 256, 7, 280 - 256);
    memset(lengths.literal + 280, 8, DEFLATE_NLITERAL - 280);
    memset(lengths.distance, 5, DEFLATE_NDISTANCE);
    use_lengths(d, &lengths);
}

/* ---- a block's symbols -------------------------------------------------------------------------
 */

/* The next bits of the input, and where the rest is. */
struct bits {
    uint64_t word; /* the next `n` bits; what is above them are bits of the input or 0 */
    unsigned n;    /* at least 56 after refill() */
    const unsigned char *next;
};

static inline void refill(struct bits *b)
{
    uint64_t more;

    memcpy(&more, b->next, sizeof more);
    b->word |= le64toh(more) << b->n;
    b->next += (63 - b->n) >> 3;
    b->n |= 56;
}

static inline void drop(struct bits *b, unsigned n)
{
    b->word >>= n;
    b->n -= n;
}

static inline unsigned take(struct bits *b, unsigned n)
{
    unsigned value = (unsigned)(b->word & ((UINT64_C(1) << n) - 1));

    drop(b, n);
    return value;
}

/* A symbol whose code is longer than its table's index, as a table's entry; NO_CODE: there is no
 * such code. At 15 bits it ends. */
static uint32_t long_code(const struct canon *c, uint64_t word)
{
    unsigned code = 0, first = 0, index = 0;

    for (unsigned len = 1; len <= DEFLATE_CODE_BITS; len++) {
        code |= word & 1;
        word >>= 1;
        if (code < first + c->count[len])
            return (uint32_t)c->symbol[index + code - first] << 8 | len;
        index += c->count[len];
        first = (first + c->count[len]) << 1;
        code <<= 1;
    }
    return NO_CODE;
}

/* RFC 1951, 3.2.5: the least length or distance of a symbol, and how many bits tell the rest. */
static const uint16_t length_min[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                        15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                        67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                        2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_min[30] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_bits[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                          6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* May write up to 7 symbols more. */
static inline void copy(uint16_t *out, size_t distance, size_t n)
{
    const uint16_t *from = out - distance;

    if (distance >= 8) {
        for (size_t i = 0; i < n; i += 8)
            memcpy(out + i, from + i, 8 * sizeof *out);
    } else if (distance == 1) {
        for (size_t i = 0, value = *from; i < n; i++)
            out[i] = (uint16_t)value;
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = from[i];
    }
}

/* A length symbol has been read: copy what it and the distance tell. False: not allowed. */
static inline bool copy_match(const struct deflate_marker *d, struct bits *b, unsigned symbol,
                              uint16_t **out)
{
    symbol -= 257;
    if (symbol >= sizeof length_bits)
        return false;
    size_t length = length_min[symbol] + take(b, length_bits[symbol]);
    uint32_t e = d->distance_table[b->word & (DISTANCE_SIZE - 1)];
    if (e == NO_CODE)
        e = long_code(&d->distance, b->word);
    unsigned which = e >> 8;
    if (e == NO_CODE || which >= sizeof distance_bits)
        return false;
    drop(b, e & 15);
    size_t distance = distance_min[which] + take(b, distance_bits[which]);
    copy(*out, distance, length);
    *out += length;
    return true;
}

static inline bool put_literals(const struct deflate_marker *d, struct bits *b, uint32_t *e,
                                uint16_t **out)
{
    *e = d->literal_table[b->word & (TABLE_SIZE - 1)];
    if (!(*e & LITERALS))
        return false;
    (*out)[0] = *e >> 8 & 0xff;
    (*out)[1] = *e >> 16 & 0xff;
    *out += *e >> 4 & 3;
    drop(b, *e & 15);
    return true;
}

/* Distances reach at most 32 KiB back, and the symbols of the window lie before the first. */
static enum deflate_status decode_symbols(struct deflate_marker *d, const unsigned char *in,
                                          size_t nbytes, uint64_t *bit)
{
    const unsigned char *end = in + nbytes;
    uint16_t *out = d->symbols + DEFLATE_WINDOW + d->nsymbols;
    const uint16_t *full = d->symbols + DEFLATE_WINDOW + d->room;
    struct bits b = {.next = in + (*bit >> 3)};
    enum deflate_status status;
    uint32_t e;

    if (b.next > end)
        return DEFLATE_INPUT;
    refill(&b);
    drop(&b, *bit & 7);
    for (;;) {
        if (b.next > end || out > full) {
            status = out > full ? DEFLATE_ROOM : DEFLATE_INPUT;
            break;
        }
        refill(&b);
        if (put_literals(d, &b, &e, &out) && put_literals(d, &b, &e, &out) &&
            put_literals(d, &b, &e, &out) && put_literals(d, &b, &e, &out))
            continue;
        if (b.next > end) {
            status = DEFLATE_INPUT;
            break;
        }
        refill(&b);
        if (e == NO_CODE)
            e = long_code(&d->literal, b.word);
        drop(&b, e & 15);
        unsigned symbol = e >> 8;
        if (e != NO_CODE && symbol < DEFLATE_END) {
            *out++ = (uint16_t)symbol;
        } else if (e != NO_CODE && symbol == DEFLATE_END) {
            *bit = 8 * (uint64_t)(b.next - in) - b.n;
            status = DEFLATE_BLOCK;
            break;
        } else if (e == NO_CODE || !copy_match(d, &b, symbol, &out)) {
            status = DEFLATE_BAD;
            break;
        }
    }
    if (status == DEFLATE_BLOCK && out > full)
        return DEFLATE_ROOM;
    if (status == DEFLATE_BLOCK && *bit > 8 * (uint64_t)nbytes)
        return DEFLATE_INPUT;
    if (status == DEFLATE_BLOCK)
        d->nsymbols = (size_t)(out - d->symbols) - DEFLATE_WINDOW;
    return status;
}

static enum deflate_status copy_stored(struct deflate_marker *d, const unsigned char *in,
                                       size_t nbytes, uint64_t *bit)
{
    uint64_t at = (*bit + 7) >> 3;

    if (at + 4 > nbytes)
        return DEFLATE_INPUT;
    size_t n = in[at] | (size_t)in[at + 1] << 8;
    size_t complement = in[at + 2] | (size_t)in[at + 3] << 8;
    if (n != (~complement & 0xffff))
        return DEFLATE_BAD;
    at += 4;
    if (n > nbytes - at)
        return DEFLATE_INPUT;
    if (n > d->room - d->nsymbols)
        return DEFLATE_ROOM;
    uint16_t *out = d->symbols + DEFLATE_WINDOW + d->nsymbols;
    for (size_t i = 0; i < n; i++)
        out[i] = in[at + i];
    d->nsymbols += n;
    *bit = 8 * (at + n);
    return DEFLATE_BLOCK;
}

enum deflate_status deflate_marker_block(struct deflate_marker *d, const unsigned char *in,
                                         size_t nbytes, uint64_t *bit)
{
    uint64_t at = *bit;
    enum deflate_status status;

    if (at + 3 > 8 * (uint64_t)nbytes)
        return DEFLATE_INPUT;
    unsigned head = deflate_peek(in, at) & 7;
    at += 3;
    if (head >> 1 == 0) {
        status = copy_stored(d, in, nbytes, &at);
    } else if (head >> 1 == 1) {
        use_fixed(d);
        status = decode_symbols(d, in, nbytes, &at);
    } else if (head >> 1 == 2) {
        struct deflate_lengths lengths;

        status = deflate_read_lengths(in, nbytes, &at, &lengths);
        if (status == DEFLATE_BLOCK) {
            use_lengths(d, &lengths);
            status = decode_symbols(d, in, nbytes, &at);
        }
    } else {
        status = DEFLATE_BAD;
    }
    if (status != DEFLATE_BLOCK)
        return status;
    *bit = at;
    return head & 1 ? DEFLATE_FINAL : DEFLATE_BLOCK;
}
