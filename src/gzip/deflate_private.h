/* SPDX-License-Identifier: MIT
 *
 * The header of a dynamic block, for those who look for it and for those who decode; and the tables
 * that are made of it.
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

/* Read the dynamic header whose code of code lengths begins at *bit, behind its three counts.
 * DEFLATE_BLOCK: all right, *bit is behind it. DEFLATE_BAD: whatever comes behind the input, it is
 * none; DEFLATE_INPUT: that does not show yet. */
enum deflate_status deflate_read_lengths(const unsigned char *in, size_t nbytes, uint64_t *bit,
                                         struct deflate_lengths *lengths);

/* ---- tables ---- */

extern const uint16_t deflate_length_min[DEFLATE_NLENGTH];
extern const uint8_t deflate_length_bits[DEFLATE_NLENGTH];
extern const uint16_t deflate_distance_min[DEFLATE_NDISTANCE_MAX];
extern const uint8_t deflate_distance_bits[DEFLATE_NDISTANCE_MAX];

/* Canonical Huffman codes, for those that have no entry in a table. */
struct deflate_canon {
    uint16_t count[DEFLATE_CODE_BITS + 1]; /* codes of each length */
    uint16_t symbol[DEFLATE_NLITERAL];     /* in the order of their codes */
};

enum {
    DEFLATE_ENTRY_BITS = 12,
    DEFLATE_ENTRIES = 1 << DEFLATE_ENTRY_BITS,
    DEFLATE_DISTANCE_BITS = 10,
    DEFLATE_DISTANCES = 1 << DEFLATE_DISTANCE_BITS,

    /* An entry, 0 where there is none: */
    DEFLATE_NBITS = 15,   /* mask: bits of the input that it stands for */
    DEFLATE_ONE = 1 << 4, /* a literal */
    DEFLATE_COUNT = 3 << 4,
    DEFLATE_COUNT_SHIFT = 4, /* literals: up to two, in bits 16 to 23 and 24 to 31 */
    DEFLATE_LITERAL_SHIFT = 16,
    DEFLATE_LENGTH_SHIFT = 6, /* of the match behind them, or 0 */
    DEFLATE_LENGTH = 511 << DEFLATE_LENGTH_SHIFT,
    /* Of a distance: the bits of its code as above, bits 4 to 7 how many more there are, from 16 on
     * the least. */
    DEFLATE_EXTRA_SHIFT = 4,
    DEFLATE_DISTANCE_SHIFT = 16,
};

struct deflate_tables {
    struct deflate_canon literal, distance;
    uint32_t entries[DEFLATE_ENTRIES], distances[DEFLATE_DISTANCES];
};

/* Of lengths that may be those of a block: codes are not over-full. */
void deflate_tables_make(struct deflate_tables *t, const struct deflate_lengths *lengths);

/* The symbol whose code `word` begins with, bit by bit. False: there is no such code. */
bool deflate_long_code(const struct deflate_canon *c, uint64_t word, unsigned *symbol,
                       unsigned *nbits);

#endif
