/* SPDX-License-Identifier: MIT
 *
 * Find a dynamic block's header by trying every bit.
 *
 *     13 bits: not last, dynamic, counts in range?     48 places at a time, by the bits of a word
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
    STEP = 48,         /* whole bytes, and no more than a word can tell of */
    KRAFT_LENGTHS = 4, /* in one look */
    KRAFT_SIZE = 1 << (3 * KRAFT_LENGTHS),
    KRAFT_ONE = 128, /* a complete code */
    NCODE_MAX = 19,
    /* Headers that are read in one search, so that a hostile file cannot keep it busy: in 64 KiB of
     * honest data 500 or so get as far as that. */
    TRIES_MAX = 1024,
};

/* At which of the word's bits, the last 12 left out, may the header of a dynamic block begin that
 * is not the last? BFINAL is 0 and BTYPE 2; HLIT and HDIST are at most 29: not their four upper
 * bits are all set. */
static uint64_t may_start(uint64_t w)
{
    uint64_t hlit_over = w >> 4 & w >> 5 & w >> 6 & w >> 7;
    uint64_t hdist_over = w >> 9 & w >> 10 & w >> 11 & w >> 12;

    return ~w & ~(w >> 1) & w >> 2 & ~hlit_over & ~hdist_over;
}

_Static_assert(DEFLATE_NLITERAL_MAX - 257 == 29 && DEFLATE_NDISTANCE_MAX - 1 == 29,
               "told by four bits");

struct deflate_finder {
    uint16_t kraft[KRAFT_SIZE]; /* sum of 128 >> length over four lengths of three bits */
};

struct deflate_finder *deflate_finder_new(void)
{
    struct deflate_finder *t = malloc(sizeof *t);

    if (!t)
        return NULL;
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

/* Does a header begin at `at`, which may start one? Counts those that it has to read. */
static bool is_header(const struct deflate_finder *t, const unsigned char *in, size_t nbytes,
                      uint64_t at, unsigned *tries)
{
    unsigned hclen = deflate_peek(in, at) >> START_BITS & 15;
    uint64_t bit = at + 3;
    struct deflate_lengths lengths;

    if (!code_is_complete(t, deflate_peek(in, at + START_BITS + 4), hclen))
        return false;
    ++*tries;
    return deflate_read_lengths(in, nbytes, &bit, &lengths) == DEFLATE_BLOCK;
}

bool deflate_find(const struct deflate_finder *t, const unsigned char *in, size_t nbytes,
                  uint64_t from, uint64_t to, uint64_t *bit)
{
    uint64_t end = 8 * (uint64_t)nbytes, base = from & ~UINT64_C(7);
    unsigned tries = 0;

    /* so that both looks stay in reach */
    end = end > 3 * 8 ? end - 3 * 8 : 0;
    if (to > end)
        to = end;
    for (; base < to; base += STEP) {
        uint64_t places = may_start(deflate_peek(in, base)) & ((UINT64_C(1) << STEP) - 1);

        if (base < from)
            places &= ~UINT64_C(0) << (from - base);
        for (; places; places &= places - 1) {
            uint64_t at = base + (unsigned)__builtin_ctzll(places);

            if (at >= to || tries == TRIES_MAX)
                return false;
            if (is_header(t, in, nbytes, at, &tries)) {
                *bit = at;
                return true;
            }
        }
    }
    return false;
}
