/* SPDX-License-Identifier: MIT
 *
 * From code lengths to tables that decode most of a block in one look-up.
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
