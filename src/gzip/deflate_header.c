/* SPDX-License-Identifier: MIT
 *
 * The header of a dynamic block:
 *
 *     HLIT 5 bits  HDIST 5  HCLEN 4   3 bits for each of HCLEN + 4 code lengths   the lengths
 *
 * As strict as zlib, so that random bits rarely pass: the code of the code lengths must be
 * complete; the others too, except a single code of one bit, and there may be no distances; the
 * literals must have an end of block. Nothing is read past nbytes + DEFLATE_SLACK.
 */
#include "deflate_private.h"

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
