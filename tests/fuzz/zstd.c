/* SPDX-License-Identifier: MIT
 *
 * The codec for zstd against libzstd: refused, or the same bytes, whatever the size of reads.
 */
#include <zstd.h>

#include "codec.h"
#include "fuzz.h"

enum { OUT_MAX = 1 << 20, REFUSED = -1 };

static uint8_t want[OUT_MAX], out[OUT_MAX], again[OUT_MAX];

/* Frames one after the other. Returns how many bytes are in `want`, at most OUT_MAX. */
static long by_libzstd(const struct fuzz_memory *m)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    ZSTD_inBuffer in = {m->bytes, m->nbytes, 0};
    ZSTD_outBuffer got = {want, OUT_MAX, 0};
    size_t code = 0;

    assert_non_null(z);
    while (!ZSTD_isError(code) && got.pos < got.size && in.pos < in.size)
        code = ZSTD_decompressStream(z, &got, &in);
    while (code > 0 && !ZSTD_isError(code) && got.pos < got.size) { /* what it still holds */
        size_t before = got.pos;

        code = ZSTD_decompressStream(z, &got, &in);
        if (got.pos == before)
            break;
    }
    ZSTD_freeDCtx(z);
    return ZSTD_isError(code) || (code > 0 && got.pos < got.size) ? REFUSED : (long)got.pos;
}

/* Read it in pieces to its end or OUT_MAX. Returns how many bytes are in `to`. */
static long by_codec(struct fuzz_memory *m, size_t piece, uint8_t *to)
{
    struct decoder_input in = {.source = {fuzz_pread, m}, .stored_nbytes = m->nbytes};
    struct error err = {0};
    size_t n = 0, got, room;
    struct decoder *z;
    int ret;

    assert_int_equal(codec_zstd.open(&in, &z, &err), 0);
    do {
        room = OUT_MAX - n < piece ? OUT_MAX - n : piece;
        ret = codec_zstd.read(z, to + n, room, &got, &err);
        n += ret == 0 ? got : 0;
    } while (ret == 0 && room > 0 && got == room);
    assert_true(codec_zstd.consumed(z) <= m->nbytes);
    codec_zstd.free(z);
    if (ret == 0)
        return (long)n;
    assert_int_equal(ret, -EIO);
    assert_true(err.text[0] != '\0');
    return REFUSED;
}

/* The first byte is the size of the reads. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    if (nbytes < 1)
        return 0;
    struct fuzz_memory m = {data + 1, nbytes - 1};
    long nout = by_codec(&m, 1 + ((size_t)data[0] << 4), out);

    assert_int_equal(by_codec(&m, OUT_MAX, again), nout);
    if (nout == REFUSED)
        return 0;
    assert_int_equal(by_libzstd(&m), nout);
    if (nout > 0) {
        assert_memory_equal(out, want, (size_t)nout);
        assert_memory_equal(out, again, (size_t)nout);
    }
    return 0;
}
