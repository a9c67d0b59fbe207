/* SPDX-License-Identifier: MIT
 *
 * Compiled for AVX2, for keyed_hash.c alone.
 */
#include "keyed_hash_of.h"

extern const struct keyed_hash keyed_hash_avx2;
const struct keyed_hash keyed_hash_avx2 = {make_secret, begin, add, end};

extern const struct xxh3 xxh3_avx2;
const struct xxh3 xxh3_avx2 = {sum_begin, sum_add, sum_value, sum_free};
