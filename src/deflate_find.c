/* SPDX-License-Identifier: MIT
 *
 * Find a dynamic block's header by trying every bit.
 *
 *     13 bits: not last, dynamic, counts in range?     a table tells how far to the next such bit
 *     57 bits: is the code of code lengths complete?   Kraft's sum, four lengths a look
 *     the whole header                                 deflate_read_lengths()
 *
 * Of random bits one in nine passes the first test, one in a thousand the second, hardly any the
 * third. The idea of searching: Kerbiriou and Chikhi 2019 (pugz), Knespel and Brunst 2023
 * (rapidgzip).
 */
#include <stdlib.h>

#include "deflate_private.h"

enum {
    START_BITS = 13,
    START_SIZE = 1 << START_BITS,
    KRAFT_LENGTHS = 4, /* in one look */
    KRAFT_SIZE = 1 << (3 * KRAFT_LENGTHS),
    KRAFT_ONE = 128, /* a complete code */
    NCODE_MAX = 19,
    /* Headers that are read in one search, so that a hostile file cannot keep it busy: in 64 KiB of
     * honest data 500 or so get as far as that. */
    TRIES_MAX = 1024,
};

/* May the header of a dynamic block that is not the last begin with these, as far as the known
 * `nbits` of them tell? */
static bool may_start(unsigned bits, unsigned nbits)
{
    static const unsigned want = 4; /* BFINAL 0, BTYPE 2 */
    unsigned mask = nbits < 3 ? (1U << nbits) - 1 : 7;

    if ((bits & mask) != (want & mask))
        return false;
    if (nbits >= 8 && (bits >> 3 & 31) > DEFLATE_NLITERAL_MAX - 257)
        return false;
    return nbits < START_BITS || (bits >> 8 & 31) <= DEFLATE_NDISTANCE_MAX - 1;
}

struct deflate_finder {
    uint8_t skip[START_SIZE];   /* bits to the next place that may do; 0: this one */
    uint16_t kraft[KRAFT_SIZE]; /* sum of 128 >> length over four lengths of three bits */
};

struct deflate_finder *deflate_finder_new(void)
{
    struct deflate_finder *t = malloc(sizeof *t);

    if (!t)
        return NULL;
    for (unsigned bits = 0; bits < START_SIZE; bits++) {
        unsigned skip = 0;
        while (skip < START_BITS && !may_start(bits >> skip, START_BITS - skip))
            skip++;
        t->skip[bits] = (uint8_t)skip;
    }
    for (unsigned bits = 0; bits < KRAFT_SIZE; bits++) {
        unsigned sum = 0;
        for (unsigned i = 0; i < KRAFT_LENGTHS; i++) {
            unsigned len = bits >> (3 * i) & 7;
            sum += len > 0 ? KRAFT_ONE >> len : 0;
        }
        t->kraft[bits] = (uint16_t)sum;
    }
    return t;
}

void deflate_finder_free(struct deflate_finder *t)
{
    free(t);
}

/* Of the hclen + 4 lengths of three bits each. */
static bool code_is_complete(const struct deflate_finder *t, uint64_t lengths, unsigned hclen)
{
    unsigned nbits = 3 * (hclen + 4), sum = 0;

    lengths &= (UINT64_C(1) << nbits) - 1;
    for (unsigned i = 0; i < (NCODE_MAX + KRAFT_LENGTHS - 1) / KRAFT_LENGTHS; i++) {
        sum += t->kraft[lengths & (KRAFT_SIZE - 1)];
        lengths >>= 3 * KRAFT_LENGTHS;
    }
    return sum == KRAFT_ONE;
}

bool deflate_find(const struct deflate_finder *t, const unsigned char *in, size_t nbytes,
                  uint64_t from, uint64_t to, uint64_t *bit)
{
    uint64_t end = 8 * (uint64_t)nbytes;
    unsigned tries = 0;

    /* so that both looks stay in reach */
    end = end > 3 * 8 ? end - 3 * 8 : 0;
    if (to > end)
        to = end;
    for (uint64_t at = from; at < to && tries < TRIES_MAX;) {
        uint64_t bits = deflate_peek(in, at);
        unsigned skip = t->skip[bits & (START_SIZE - 1)];

        at += skip;
        if (skip > 0)
            continue;
        if (code_is_complete(t, deflate_peek(in, at + START_BITS + 4), bits >> START_BITS & 15)) {
            uint64_t header = at + 3;
            struct deflate_lengths lengths;

            tries++;
            if (deflate_read_lengths(in, nbytes, &header, &lengths) == DEFLATE_BLOCK) {
                *bit = at;
                return true;
            }
        }
        at++;
    }
    return false;
}
