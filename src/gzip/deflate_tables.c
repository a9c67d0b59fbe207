/* SPDX-License-Identifier: MIT
 *
 * From a block's header to tables that decode most of the block in one look-up. A dynamic header:
 *
 *     HLIT 5 bits  HDIST 5  HCLEN 4   3 bits for each of HCLEN + 4 code lengths   the lengths
 *
 * It is read as strictly as zlib does, so that random bits rarely pass: the code of the code
 * lengths must be complete; the others too, except a single code of one bit, and there may be no
 * distances; the literals must have an end of block. The tables:
 *
 *     literal, distance: canon     by length, for codes too long for the tables
 *     entries[next 12 bits]        up to two literals, or a literal and the length of a match,
 *                                  or that length alone, if these bits hold all of it
 *     distances[next 10 bits]      the least distance, and the number of extra bits
 *
 * In runs of int16 voxels a literal is mostly followed by a short match; one look-up for both saves
 * a quarter of the look-ups, and mispredicted branches. Long codes, the end of the block and
 * invalid codes have no entry, and are decoded bit by bit. Cost: 3 us a block.
 */
#include "deflate_private.h"
#include "vector.h"

/* RFC 1951, 3.2.5: the least length or distance of a symbol, and the number of its extra bits. */
const uint16_t deflate_length_min[DEFLATE_NLENGTH] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                      15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                      67, 83, 99, 115, 131, 163, 195, 227, 258};
const uint8_t deflate_length_bits[DEFLATE_NLENGTH] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                      2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
const uint16_t deflate_distance_min[DEFLATE_NDISTANCE_MAX] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
const uint8_t deflate_distance_bits[DEFLATE_NDISTANCE_MAX] = {0, 0, 0,  0,  1,  1,  2,  2,  3,  3,
                                                              4, 4, 5,  5,  6,  6,  7,  7,  8,  8,
                                                              9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* ---- the header ---- */

enum { NCODE = 19, CODE_BITS = 7, CODE_SIZE = 1 << CODE_BITS };

/* The stored order of the code lengths' own code lengths (RFC 1951, 3.2.7). */
static const uint8_t code_order[NCODE] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                          11, 4,  12, 3, 13, 2, 14, 1, 15};

/* By the next seven bits: symbol << 3 | length of its code. False unless the code is complete. */
static bool build_code(const uint8_t lengths[NCODE], uint8_t table[CODE_SIZE])
{
    unsigned code = 0; /* of seven bits, the first bit of a code the most significant */

    for (unsigned len = 1; len <= CODE_BITS; len++) {
        for (unsigned symbol = 0; symbol < NCODE; symbol++) {
            if (lengths[symbol] != len)
                continue;
            if (code >= CODE_SIZE)
                return false;
            unsigned reversed = 0;
            for (unsigned i = 0; i < CODE_BITS; i++)
                reversed |= (code >> (CODE_BITS - 1 - i) & 1) << i;
            for (unsigned at = reversed; at < CODE_SIZE; at += 1U << len)
                table[at] = (uint8_t)(symbol << 3 | len);
            code += CODE_SIZE >> len;
        }
    }
    return code == CODE_SIZE;
}

/* Or is it empty, or a single code of one bit? */
static bool is_complete(const uint8_t *lengths, size_t n)
{
    unsigned used = 0, count = 0;

    for (size_t i = 0; i < n; i++) {
        used += lengths[i] > 0 ? (1U << DEFLATE_CODE_BITS) >> lengths[i] : 0;
        count += lengths[i] > 0;
    }
    if (count == 0 || (count == 1 && used == 1U << (DEFLATE_CODE_BITS - 1)))
        return true;
    return used == 1U << DEFLATE_CODE_BITS;
}

/* Decode `want` lengths, which may be run-length coded. */
static enum deflate_status read_runs(const unsigned char *in, size_t nbytes, uint64_t *bit,
                                     const uint8_t table[CODE_SIZE], uint8_t *all, size_t want)
{
    static const uint8_t run_bits[3] = {2, 3, 7}, run_min[3] = {3, 3, 11};
    size_t n = 0;

    while (n < want) {
        if (*bit >> 3 > nbytes)
            return DEFLATE_INPUT;
        uint64_t bits = deflate_peek(in, *bit);
        unsigned len = table[bits & (CODE_SIZE - 1)] & 7;
        unsigned symbol = table[bits & (CODE_SIZE - 1)] >> 3;

        bits >>= len;
        *bit += len;
        if (symbol < 16) {
            all[n++] = (uint8_t)symbol;
            continue;
        }
        unsigned extra = run_bits[symbol - 16];
        size_t run = run_min[symbol - 16] + (bits & ((1U << extra) - 1));
        if (*bit + extra > 8 * (uint64_t)nbytes)
            return DEFLATE_INPUT;
        if (run > want - n || (symbol == 16 && n == 0))
            return DEFLATE_BAD;
        memset(all + n, symbol == 16 ? all[n - 1] : 0, run);
        n += run;
        *bit += extra;
    }
    return *bit <= 8 * (uint64_t)nbytes ? DEFLATE_BLOCK : DEFLATE_INPUT;
}

enum deflate_status deflate_read_lengths(const unsigned char *in, size_t nbytes, uint64_t *bit,
                                         struct deflate_lengths *lengths)
{
    uint8_t code_lengths[NCODE] = {0}, table[CODE_SIZE];
    uint8_t all[DEFLATE_NLITERAL_MAX + DEFLATE_NDISTANCE_MAX];
    uint64_t at = *bit;

    if (at + 14 > 8 * (uint64_t)nbytes)
        return DEFLATE_INPUT;
    uint64_t bits = deflate_peek(in, at);
    size_t nliteral = 257 + (bits & 31), ndistance = 1 + (bits >> 5 & 31);
    size_t ncode = 4 + (bits >> 10 & 15);
    if (nliteral > DEFLATE_NLITERAL_MAX || ndistance > DEFLATE_NDISTANCE_MAX)
        return DEFLATE_BAD;
    at += 14;
    if (at + 3 * ncode > 8 * (uint64_t)nbytes)
        return DEFLATE_INPUT;
    bits = deflate_peek(in, at);
    for (size_t i = 0; i < ncode; i++)
        code_lengths[code_order[i]] = bits >> (3 * i) & 7;
    at += 3 * ncode;
    if (!build_code(code_lengths, table))
        return DEFLATE_BAD;
    enum deflate_status status = read_runs(in, nbytes, &at, table, all, nliteral + ndistance);
    if (status != DEFLATE_BLOCK)
        return status;
    if (all[DEFLATE_END] == 0 || !is_complete(all, nliteral) ||
        !is_complete(all + nliteral, ndistance))
        return DEFLATE_BAD;
    memset(lengths, 0, sizeof *lengths);
    memcpy(lengths->literal, all, nliteral);
    memcpy(lengths->distance, all + nliteral, ndistance);
    *bit = at;
    return DEFLATE_BLOCK;
}

/* ---- the tables ---- */

static void sort(struct deflate_canon *c, const uint8_t *lengths, size_t nsymbols)
{
    uint16_t offset[DEFLATE_CODE_BITS + 1] = {0};

    memset(c->count, 0, sizeof c->count);
    for (size_t i = 0; i < nsymbols; i++)
        c->count[lengths[i]]++;
    c->count[0] = 0;
    for (unsigned len = 1; len <= DEFLATE_CODE_BITS; len++)
        offset[len] = (uint16_t)(offset[len - 1] + c->count[len - 1]);
    for (size_t i = 0; i < nsymbols; i++)
        if (lengths[i] > 0)
            c->symbol[offset[lengths[i]]++] = (uint16_t)i;
}

/* The next code of the same length; both with their first bit in bit 0. */
static unsigned next_code(unsigned code, unsigned len)
{
    unsigned bit = 1U << (len - 1);

    while (code & bit)
        bit >>= 1;
    return bit > 0 ? (code & (bit - 1)) | bit : 0;
}

/* Double a table of codes of up to n bits, to add those of n + 1 bits. */
static void widen(uint32_t *table, unsigned n)
{
    memcpy(table + ((size_t)1 << n), table, sizeof *table << n);
}

struct length_code {
    uint16_t code; /* its first bit in bit 0 */
    uint8_t nbits;
    uint8_t which; /* of deflate_length_min */
    uint8_t next;  /* with as many bits, extra bits included; 0: none */
};

/* Fill in a length for each value of its extra bits. */
static void put_length(const struct length_code *l, unsigned nbits, uint32_t *table)
{
    for (unsigned rest = 0; rest < 1U << deflate_length_bits[l->which]; rest++)
        table[l->code | rest << l->nbits] =
            (deflate_length_min[l->which] + rest) << DEFLATE_LENGTH_SHIFT | nbits;
}

/* One literal, or one length of a match with its extra bits; else 0. */
static void fill_single(const struct deflate_canon *c, uint32_t table[DEFLATE_ENTRIES])
{
    struct length_code lengths[1 + DEFLATE_NLENGTH];
    uint8_t ends[DEFLATE_ENTRY_BITS + DEFLATE_LENGTH_BITS_MAX + 1] = {0}; /* the first one */
    const uint16_t *symbol = c->symbol;
    unsigned code = 0;
    uint8_t nlengths = 0;

    table[0] = 0;
    for (unsigned nbits = 1; nbits <= DEFLATE_ENTRY_BITS; nbits++) {
        widen(table, nbits - 1);
        for (unsigned i = 0; i < c->count[nbits]; i++, symbol++, code = next_code(code, nbits)) {
            unsigned which = *symbol - DEFLATE_END - 1U;

            table[code] = *symbol < DEFLATE_END
                              ? (uint32_t)*symbol << DEFLATE_LITERAL_SHIFT | DEFLATE_ONE | nbits
                              : 0;
            if (*symbol <= DEFLATE_END || which >= DEFLATE_NLENGTH)
                continue;
            uint8_t *end = &ends[nbits + deflate_length_bits[which]];
            lengths[++nlengths] =
                (struct length_code){(uint16_t)code, (uint8_t)nbits, (uint8_t)which, *end};
            *end = nlengths;
        }
        for (uint8_t l = ends[nbits]; l > 0; l = lengths[l].next)
            put_length(&lengths[l], nbits, table);
    }
}

static void fill_distances(const struct deflate_canon *c, uint32_t table[DEFLATE_DISTANCES])
{
    const uint16_t *symbol = c->symbol;
    unsigned code = 0;

    table[0] = 0;
    for (unsigned nbits = 1; nbits <= DEFLATE_DISTANCE_BITS; nbits++) {
        widen(table, nbits - 1);
        for (unsigned i = 0; i < c->count[nbits]; i++, symbol++, code = next_code(code, nbits))
            table[code] =
                *symbol < DEFLATE_NDISTANCE_MAX
                    ? (uint32_t)deflate_distance_min[*symbol] << DEFLATE_DISTANCE_SHIFT |
                          (uint32_t)deflate_distance_bits[*symbol] << DEFLATE_EXTRA_SHIFT | nbits
                    : 0;
    }
}

/* Join a literal's entry with the entry of the bits behind it. */
VECTOR_LOOP static void pair(const uint32_t *restrict single, uint32_t *restrict entries)
{
    for (unsigned at = 0; at < DEFLATE_ENTRIES; at++) {
        uint32_t first = single[at], second = single[at >> (first & DEFLATE_NBITS)];
        unsigned nbits = (first & DEFLATE_NBITS) + (second & DEFLATE_NBITS);
        uint32_t both = (first & ~(uint32_t)DEFLATE_NBITS) + (second & DEFLATE_COUNT) + nbits;

        both |= (second & DEFLATE_LENGTH) | (second >> DEFLATE_LITERAL_SHIFT << 24);
        bool wrong = !(first & DEFLATE_COUNT) | !(second & DEFLATE_NBITS);
        entries[at] = (wrong | (nbits > DEFLATE_ENTRY_BITS)) ? first : both;
    }
}

void deflate_tables_make(struct deflate_tables *t, const struct deflate_lengths *lengths)
{
    uint32_t single[DEFLATE_ENTRIES];

    sort(&t->literal, lengths->literal, DEFLATE_NLITERAL);
    sort(&t->distance, lengths->distance, DEFLATE_NDISTANCE);
    fill_single(&t->literal, single);
    fill_distances(&t->distance, t->distances);
    pair(single, t->entries);
}

bool deflate_long_code(const struct deflate_canon *c, uint64_t word, unsigned *symbol,
                       unsigned *nbits)
{
    unsigned code = 0, first = 0, index = 0;

    for (unsigned len = 1; len <= DEFLATE_CODE_BITS; len++) {
        code |= word & 1;
        word >>= 1;
        if (code < first + c->count[len]) {
            *symbol = c->symbol[index + code - first];
            *nbits = len;
            return true;
        }
        index += c->count[len];
        first = (first + c->count[len]) << 1;
        code <<= 1;
    }
    return false;
}
