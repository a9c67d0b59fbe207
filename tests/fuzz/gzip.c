/* SPDX-License-Identifier: MIT
 *
 * gunzip.h against zlib: the same bytes, or refused by both.
 *
 * The first byte says what the rest is: a gzip file, or (odd) the deflate stream of one member, whose
 * header and trailer are added here, so that a changed stream gets past its CRC-32.
 */
#include <zlib.h>

#include "fuzz.h"
#include "gunzip.h"

enum { OUT_MAX = 1 << 20, HEADER_NBYTES = 10, TRAILER_NBYTES = 8, REFUSED = -1, TOO_LONG = -2 };

static uint8_t want[OUT_MAX], out[OUT_MAX];

/* Members one after the other, then zero bytes. Returns how many bytes are in `want`. */
static long by_zlib(const struct fuzz_memory *m)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)m->bytes,
                  .avail_in = (uInt)m->nbytes,
                  .next_out = want,
                  .avail_out = OUT_MAX};
    int code = Z_STREAM_END;

    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    while (code == Z_STREAM_END && z.avail_in > 0) {
        assert_int_equal(inflateReset(&z), Z_OK);
        code = inflate(&z, Z_FINISH);
        while (code == Z_STREAM_END && z.avail_in > 0 && *z.next_in == 0)
            z.next_in++, z.avail_in--;
    }
    long n = OUT_MAX - (long)z.avail_out;
    inflateEnd(&z);
    if (z.avail_out == 0)
        return TOO_LONG;
    return code == Z_STREAM_END ? n : REFUSED;
}

/* A gzip file whose only member is the stream, with the CRC-32 and length that it has so far as zlib
 * understands it: malloced. */
static struct fuzz_memory wrap(const uint8_t *stream, size_t nbytes)
{
    static const uint8_t header[HEADER_NBYTES] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    uint8_t *bytes = malloc(HEADER_NBYTES + nbytes + TRAILER_NBYTES);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)stream,
                  .avail_in = (uInt)nbytes,
                  .next_out = want,
                  .avail_out = OUT_MAX};

    assert_non_null(bytes);
    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    (void)inflate(&z, Z_FINISH);
    size_t used = nbytes - z.avail_in;
    uint32_t length = (uint32_t)z.total_out, crc = (uint32_t)crc32(0, want, (uInt)z.total_out);
    inflateEnd(&z);

    memcpy(bytes, header, HEADER_NBYTES);
    memcpy(bytes + HEADER_NBYTES, stream, used);
    for (size_t i = 0; i < 4; i++) {
        bytes[HEADER_NBYTES + used + i] = (uint8_t)(crc >> 8 * i);
        bytes[HEADER_NBYTES + used + 4 + i] = (uint8_t)(length >> 8 * i);
    }
    return (struct fuzz_memory){bytes, HEADER_NBYTES + used + TRAILER_NBYTES};
}

/* Read all of it in pieces, then once more from the middle. Returns how many bytes are in `out`. */
static long by_gunzip(struct fuzz_memory *m, size_t piece)
{
    struct decoder_input options = {.source = {fuzz_pread, m}, .stored_nbytes = m->nbytes};
    struct decoder *z;
    struct error err = {0};
    size_t n = 0, got;
    uint64_t at;
    int ret;

    assert_int_equal(gunzip_open(&options, &z, &err), 0);
    do {
        size_t room = OUT_MAX - n < piece ? OUT_MAX - n : piece;
        ret = gunzip_read(z, out + n, room, &got, &err);
        n += got;
    } while (ret == 0 && got == piece);
    if (ret < 0) {
        assert_int_equal(ret, -EIO);
        assert_true(err.text[0] != '\0');
    } else if (n > 0 && n < OUT_MAX) {
        uint8_t again[64];
        assert_int_equal(gunzip_seek(z, n / 2, &at, &err), 0);
        assert_int_equal(at, n / 2);
        assert_int_equal(gunzip_read(z, again, sizeof again, &got, &err), 0);
        assert_int_equal(got, n - n / 2 < sizeof again ? n - n / 2 : sizeof again);
        assert_memory_equal(again, out + n / 2, got);
    }
    gunzip_free(z);
    return ret < 0 ? REFUSED : (long)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    if (nbytes < 1)
        return 0;
    bool wrapped = data[0] & 1;
    struct fuzz_memory m = {data + 1, nbytes - 1};
    if (wrapped)
        m = wrap(data + 1, nbytes - 1);
    long nwant = by_zlib(&m);
    if (nwant != TOO_LONG) {
        long nout = by_gunzip(&m, 1 + ((size_t)data[0] << 4));
        assert_int_equal(nout, nwant);
        if (nout > 0)
            assert_memory_equal(out, want, (size_t)nout);
    }
    if (wrapped)
        free((void *)(uintptr_t)m.bytes);
    return 0;
}
