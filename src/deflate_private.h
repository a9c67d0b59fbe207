/* SPDX-License-Identifier: MIT
 *
 * The header of a dynamic block, for those who look for it and for those who decode.
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
 * DEFLATE_BLOCK: all right, *bit is behind it; DEFLATE_INPUT, DEFLATE_BAD. */
enum deflate_status deflate_read_lengths(const unsigned char *in, size_t nbytes, uint64_t *bit,
                                         struct deflate_lengths *lengths);

#endif
