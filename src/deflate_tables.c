/* SPDX-License-Identifier: MIT
 *
 * Code lengths into tables that tell most of a block at a look.
 *
 *     literal, distance: canon     by length, for codes that a table is too short for
 *     entries[next 12 bits]        up to two literals, or a literal and the length of a match,
 *                                  or that length alone: whatever is told by these bits in full
 *     distances[next 10 bits]      the least distance, and how many bits tell the rest
 *
 * In runs of int16 voxels a literal is mostly followed by a short match, and both together are one
 * look: a quarter of the looks less, and no guess of the processor at what comes next. Codes that
 * are too long, the end of the block and what no code begins with have no entry, and are decoded
 * bit by bit. Cost: some 6 us a block.
 */
#include "deflate_private.h"

/* RFC 1951, 3.2.5: the least length or distance of a symbol, and how many bits tell the rest. */
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

/* The code of the same length that comes next; both with their first bit in bit 0. */
static unsigned next_code(unsigned code, unsigned len)
{
    unsigned bit = 1U << (len - 1);

    while (code & bit)
        bit >>= 1;
    return bit > 0 ? (code & (bit - 1)) | bit : 0;
}

/* An entry for each code of at most `nbits` bits: value[symbol] | its length, or 0 where the value
 * is. The table of codes of
 * up to n bits, twice, is what those of up to n + 1 bits are put into. */
static void fill(const struct deflate_canon *c, const uint32_t *value, uint32_t *table,
                 unsigned nbits)
{
    const uint16_t *symbol = c->symbol;
    unsigned code = 0;

    table[0] = 0;
    for (unsigned len = 1; len <= nbits; len++) {
        size_t half = (size_t)1 << (len - 1);

        memcpy(table + half, table, half * sizeof *table);
        for (unsigned i = 0; i < c->count[len]; i++, code = next_code(code, len)) {
            uint32_t v = value[*symbol++];
            table[code] = v ? v | len : 0;
        }
    }
}

/* Where the bits that tell the rest of a match's length fit in, the entry tells all of it; where
 * they do not, there is none. A length's symbol stands where literals have their byte. */
static void resolve_lengths(uint32_t entries[DEFLATE_ENTRIES])
{
    for (unsigned at = 0; at < DEFLATE_ENTRIES; at++) {
        uint32_t e = entries[at];

        if (!(e & DEFLATE_IS_SYMBOL))
            continue;
        unsigned symbol = e >> DEFLATE_LITERAL_SHIFT, nbits = e & DEFLATE_NBITS;
        unsigned extra = deflate_length_bits[symbol];
        unsigned rest = at >> nbits & ((1U << extra) - 1);
        unsigned length = deflate_length_min[symbol] + rest;
        entries[at] = nbits + extra > DEFLATE_ENTRY_BITS
                          ? 0
                          : length << DEFLATE_LENGTH_SHIFT | (nbits + extra);
    }
}

/* Let the entry of a literal also stand for what the bits behind it tell. From the last one down:
 * the entry of those bits is at a smaller index, and so still of one symbol. */
static void pair(uint32_t entries[DEFLATE_ENTRIES])
{
    for (unsigned at = DEFLATE_ENTRIES; at-- > 0;) {
        uint32_t first = entries[at], second = entries[at >> (first & DEFLATE_NBITS)];
        unsigned nbits = (first & DEFLATE_NBITS) + (second & DEFLATE_NBITS);
        uint32_t both = (first & ~(uint32_t)DEFLATE_NBITS) + (second & DEFLATE_COUNT) + nbits;

        both |= (second & DEFLATE_LENGTH) | (second >> DEFLATE_LITERAL_SHIFT << 24);
        bool right =
            (first & DEFLATE_COUNT) && (second & DEFLATE_NBITS) && nbits <= DEFLATE_ENTRY_BITS;
        entries[at] = right ? both : first;
    }
}

void deflate_tables_make(struct deflate_tables *t, const struct deflate_lengths *lengths)
{
    uint32_t literal[DEFLATE_NLITERAL] = {0}, distance[DEFLATE_NDISTANCE] = {0};

    for (unsigned i = 0; i < DEFLATE_END; i++)
        literal[i] = i << DEFLATE_LITERAL_SHIFT | DEFLATE_ONE;
    literal[DEFLATE_END] = 0;
    for (unsigned i = 0; i < DEFLATE_NLENGTH; i++)
        literal[DEFLATE_END + 1 + i] = i << DEFLATE_LITERAL_SHIFT | DEFLATE_IS_SYMBOL;
    for (unsigned i = 0; i < DEFLATE_NDISTANCE_MAX; i++)
        distance[i] = (uint32_t)deflate_distance_min[i] << DEFLATE_DISTANCE_SHIFT |
                      (uint32_t)deflate_distance_bits[i] << DEFLATE_EXTRA_SHIFT;
    sort(&t->literal, lengths->literal, DEFLATE_NLITERAL);
    sort(&t->distance, lengths->distance, DEFLATE_NDISTANCE);
    fill(&t->literal, literal, t->entries, DEFLATE_ENTRY_BITS);
    fill(&t->distance, distance, t->distances, DEFLATE_DISTANCE_BITS);
    resolve_lengths(t->entries);
    pair(t->entries);
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
