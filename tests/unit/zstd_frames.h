/* SPDX-License-Identifier: MIT
 *
 * zstd frames for tests. Include after cmocka.h. All append to out[cap] and return the frame's
 * bytes.
 */
#ifndef DERIVFS_TESTS_ZSTD_FRAMES_H
#define DERIVFS_TESTS_ZSTD_FRAMES_H

#include <stddef.h>
#include <string.h>

#include <zstd.h>

/* As libzstd writes them; `sum`: with a checksum. */
static inline size_t zstd_frame(const void *in, size_t nin, bool sum, unsigned char *out,
                                size_t cap)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t n;

    assert_non_null(c);
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, sum)));
    n = ZSTD_compress2(c, out, cap, in, nin);
    assert_false(ZSTD_isError(n));
    ZSTD_freeCCtx(c);
    return n;
}

/* Of one block as it is, with a window of 2^window_log bytes, and neither length nor checksum. */
static inline size_t zstd_raw_frame(const void *in, size_t nin, unsigned window_log,
                                    unsigned char *out, size_t cap)
{
    size_t block = nin << 3 | 1; /* the last one */

    assert_true(nin <= 1024 && 9 + nin <= cap);
    memcpy(out, "\x28\xb5\x2f\xfd", 5); /* and no flags */
    out[5] = (unsigned char)((window_log - 10) << 3);
    out[6] = (unsigned char)block;
    out[7] = (unsigned char)(block >> 8);
    out[8] = (unsigned char)(block >> 16);
    memcpy(out + 9, in, nin);
    return 9 + nin;
}

/* One that readers skip. */
static inline size_t zstd_skippable_frame(size_t nbytes, unsigned char *out, size_t cap)
{
    assert_true(nbytes < 1 << 16 && 8 + nbytes <= cap);
    memcpy(out, "\x5e\x2a\x4d\x18", 4);
    out[4] = (unsigned char)nbytes;
    out[5] = (unsigned char)(nbytes >> 8);
    out[6] = out[7] = 0;
    memset(out + 8, 'x', nbytes);
    return 8 + nbytes;
}

#endif
