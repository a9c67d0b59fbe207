/* SPDX-License-Identifier: MIT
 *
 * The header of a dynamic block, and the decoding tables made from it.
 */
#ifndef DERIVFS_DEFLATE_PRIVATE_H
#define DERIVFS_DEFLATE_PRIVATE_H

#include <endian.h>
#include <string.h>

#include "deflate.h"

enum {
    DEFLATE_NLITERAL = 288,     /* literals and lengths */
    DEFLATE_NDISTANCE = 32,     /* distances; 30 and 31 never occur */
    DEFLATE_NLITERAL_MAX = 286, /* that a dynamic header may have */
    DEFLATE_NDISTANCE_MAX = 30,
    DEFLATE_NLENGTH = 29, /* symbols that stand for lengths of matches */
    DEFLATE_LENGTH_BITS_MAX = 5,
    DEFLATE_CODE_BITS = 15, /* the longest code */
    DEFLATE_END = 256,      /* the symbol that ends a block */
};

/* The code lengths of a block: 0 for a symbol that does not occur. */
struct deflate_lengths {
    uint8_t literal[DEFLATE_NLITERAL];
    uint8_t distance[DEFLATE_NDISTANCE];
};

/* At least 57 bits from `bit` on; the byte of `bit` is at most at nbytes. */
static inline uint64_t deflate_peek(const unsigned char *in, uint64_t bit)
{
    uint64_t word;

    memcpy(&word, in + (bit >> 3), sizeof word);
    return le64toh(word) >> (bit & 7);
}

/* Read the dynamic header whose three counts begin at *bit. DEFLATE_BLOCK: *bit is behind it.
 * DEFLATE_BAD: not a header, whatever follows the input; DEFLATE_INPUT: more input has to decide.
 * Reads nothing past nbytes + DEFLATE_SLACK. */
enum deflate_status deflate_read_lengths(const unsigned char *in, size_t nbytes, uint64_t *bit,
                                         struct deflate_lengths *lengths);

/* ---- tables ---- */

extern const uint16_t deflate_length_min[DEFLATE_NLENGTH];
extern const uint8_t deflate_length_bits[DEFLATE_NLENGTH];
extern const uint16_t deflate_distance_min[DEFLATE_NDISTANCE_MAX];
extern const uint8_t deflate_distance_bits[DEFLATE_NDISTANCE_MAX];

/* Canonical Huffman codes, for symbols without a table entry. */
struct deflate_canon {
    uint16_t count[DEFLATE_CODE_BITS + 1]; /* codes of each length */
    uint16_t symbol[DEFLATE_NLITERAL];     /* in the order of their codes */
};

enum {
    DEFLATE_ENTRY_BITS = 12,
    DEFLATE_ENTRIES = 1 << DEFLATE_ENTRY_BITS,
    DEFLATE_DISTANCE_BITS = 10,
    DEFLATE_DISTANCES = 1 << DEFLATE_DISTANCE_BITS,

    /* An entry; 0: none. */
    DEFLATE_NBITS = 15,   /* mask: how many bits of the input it decodes */
    DEFLATE_ONE = 1 << 4, /* a literal */
    DEFLATE_COUNT = 3 << 4,
    DEFLATE_COUNT_SHIFT = 4, /* literals: up to two, in bits 16 to 23 and 24 to 31 */
    DEFLATE_LITERAL_SHIFT = 16,
    DEFLATE_LENGTH_SHIFT = 6, /* of the match behind them, or 0 */
    DEFLATE_LENGTH = 511 << DEFLATE_LENGTH_SHIFT,
    /* Of a distance: its code's bits as above; the number of extra bits in bits 4 to 7; the least
     * distance from bit 16 on. */
    DEFLATE_EXTRA_SHIFT = 4,
    DEFLATE_DISTANCE_SHIFT = 16,
};

struct deflate_tables {
    struct deflate_canon literal, distance;
    uint32_t entries[DEFLATE_ENTRIES], distances[DEFLATE_DISTANCES];
};

/* The codes of `lengths` must not be over-full. */
void deflate_tables_make(struct deflate_tables *t, const struct deflate_lengths *lengths);

/* Decode the symbol at the start of `word` bit by bit. False: there is no such code. */
bool deflate_long_code(const struct deflate_canon *c, uint64_t word, unsigned *symbol,
                       unsigned *nbits);

#endif
