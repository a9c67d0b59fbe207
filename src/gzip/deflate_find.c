/* SPDX-License-Identifier: MIT
 *
 * Find the header of a dynamic block by trying every bit.
 *
 *     13 bits: not last, dynamic, counts in range?     48 places at a time, by the bits of a word
 *     57 bits: is the code of code lengths complete?   Kraft's sum, four lengths a look
 *     the whole header                                 deflate_read_lengths()
 *
 * Of random places one in nine passes the first test, one in a thousand the second, hardly any the
 * third. The search follows Kerbiriou and Chikhi 2019 (pugz), Knespel and Brunst 2023 (rapidgzip).
 */
#include <pthread.h>

#include "deflate_private.h"

enum {
    START_BITS = 13,
    STEP = 48,         /* whole bytes, and no more than one word covers */
    KRAFT_LENGTHS = 4, /* in one look */
    KRAFT_SIZE = 1 << (3 * KRAFT_LENGTHS),
    KRAFT_ONE = 128, /* a complete code */
    NCODE_MAX = 19,
    /* Headers read in one search, so that a hostile file cannot keep it busy; 64 KiB of honest data
     * need about 500. */
    TRIES_MAX = 1024,
};

/* The bits of the word, except its last 12, where the header of a dynamic block that is not the
 * last may begin: BFINAL is 0 and BTYPE 2; HLIT and HDIST are at most 29, that is, their four upper
 * bits are not all set. */
static uint64_t may_start(uint64_t w)
{
    uint64_t hlit_over = w >> 4 & w >> 5 & w >> 6 & w >> 7;
    uint64_t hdist_over = w >> 9 & w >> 10 & w >> 11 & w >> 12;

    return ~w & ~(w >> 1) & w >> 2 & ~hlit_over & ~hdist_over;
}

_Static_assert(DEFLATE_NLITERAL_MAX - 257 == 29 && DEFLATE_NDISTANCE_MAX - 1 == 29,
               "four bits decide");

static pthread_once_t kraft_once = PTHREAD_ONCE_INIT;
static uint16_t kraft[KRAFT_SIZE]; /* sum of 128 >> length over four lengths of three bits */

static void make_kraft(void)
{
    for (unsigned bits = 0; bits < KRAFT_SIZE; bits++)
        for (unsigned i = 0; i < KRAFT_LENGTHS; i++) {
            unsigned len = bits >> (3 * i) & 7;
            kraft[bits] = (uint16_t)(kraft[bits] + (len > 0 ? KRAFT_ONE >> len : 0));
        }
}

/* Of hclen + 4 lengths of three bits each. */
static bool code_is_complete(uint64_t lengths, unsigned hclen)
{
    unsigned nbits = 3 * (hclen + 4), sum = 0;

    lengths &= (UINT64_C(1) << nbits) - 1;
    for (unsigned i = 0; i < (NCODE_MAX + KRAFT_LENGTHS - 1) / KRAFT_LENGTHS; i++) {
        sum += kraft[lengths & (KRAFT_SIZE - 1)];
        lengths >>= 3 * KRAFT_LENGTHS;
    }
    return sum == KRAFT_ONE;
}

/* Does a header begin at `at`, which may start one? Counts the headers that it reads. */
static bool is_header(const unsigned char *in, size_t nbytes, uint64_t at, unsigned *tries)
{
    unsigned hclen = deflate_peek(in, at) >> START_BITS & 15;
    uint64_t bit = at + 3;
    struct deflate_lengths lengths;

    if (!code_is_complete(deflate_peek(in, at + START_BITS + 4), hclen))
        return false;
    ++*tries;
    return deflate_read_lengths(in, nbytes, &bit, &lengths) == DEFLATE_BLOCK;
}

bool deflate_find(const unsigned char *in, size_t nbytes, uint64_t from, uint64_t to, uint64_t *bit)
{
    uint64_t end = 8 * (uint64_t)nbytes, base = from & ~UINT64_C(7);
    unsigned tries = 0;

    (void)pthread_once(&kraft_once, make_kraft);
    /* both peeks of is_header() stay within the input */
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
            if (is_header(in, nbytes, at, &tries)) {
                *bit = at;
                return true;
            }
        }
    }
    return false;
}
