/* SPDX-License-Identifier: MIT
 *
 * Deflate from the middle against zlib: the marker decoder gives the same bytes or refuses. ISA-L
 * behind its interface gives the same bytes of every stream that zlib takes; it takes some others too,
 * whose CRC-32 gunzip.h checks. No search reads or finds anything outside its bounds.
 *
 * The first byte says how much input comes at a time; the rest is a deflate stream, whose window is
 * the same for all inputs.
 */
#include <zlib.h>

#include "deflate.h"
#include "fuzz.h"

enum { OUT_MAX = 1 << 18, REFUSED = -1 };

static uint8_t window[DEFLATE_WINDOW], want[OUT_MAX], out[OUT_MAX];
static uint16_t symbols[OUT_MAX];

/* Returns how many bytes are in `want`. */
static long by_zlib(const uint8_t *in, size_t nbytes, size_t *used)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
                  .avail_in = (uInt)nbytes,
                  .next_out = want,
                  .avail_out = OUT_MAX};

    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    assert_int_equal(inflateSetDictionary(&z, window, DEFLATE_WINDOW), Z_OK);
    long n = inflate(&z, Z_FINISH) == Z_STREAM_END ? (long)z.total_out : REFUSED;
    *used = z.total_in;
    inflateEnd(&z);
    return n;
}

/* Decode, with `feed` more bytes of input each time. Returns how many symbols there are, at most
 * OUT_MAX. */
static long by_marker(struct deflate_marker *d, const uint8_t *in, size_t nbytes, size_t feed)
{
    size_t fed = feed < nbytes ? feed : nbytes, total = 0, n;
    enum deflate_status status;
    uint64_t bit = 0;

    deflate_marker_restart(d);
    do {
        uint8_t *part = malloc(fed + DEFLATE_SLACK);
        uint64_t before = bit;

        assert_non_null(part);
        memcpy(part, in, fed);
        memset(part + fed, 0x5a, DEFLATE_SLACK);
        status = deflate_marker_run(d, part, fed, &bit);
        free(part);
        assert_true(bit >= before && bit <= 8 * (uint64_t)fed);
        const uint16_t *taken = deflate_marker_take(d, &n);
        if (n > OUT_MAX - total) /* longer than what zlib is asked for */
            return REFUSED;
        memcpy(symbols + total, taken, n * sizeof *taken);
        total += n;
        if (status == DEFLATE_INPUT && bit == before && fed == nbytes)
            return REFUSED;
        if (status == DEFLATE_INPUT)
            fed = nbytes - fed < feed ? nbytes : fed + feed;
    } while (status != DEFLATE_FINAL && status != DEFLATE_BAD);
    return status == DEFLATE_FINAL ? (long)total : REFUSED;
}

static void check_marker(const uint8_t *in, size_t nbytes, size_t feed)
{
    struct deflate_marker *d = deflate_marker_new();
    uint8_t meanings[DEFLATE_NSYMBOLS], last[DEFLATE_WINDOW];
    size_t used;

    assert_non_null(d);
    long nwant = by_zlib(in, nbytes, &used), n = by_marker(d, in, nbytes, feed);
    if (n == REFUSED) { /* only what is wrong, or has no trailer of a gzip member behind it */
        assert_true(nwant == REFUSED || used + DEFLATE_SLACK > nbytes);
    } else {
        assert_int_equal(n, nwant);
        deflate_meanings(window, meanings);
        deflate_resolve(symbols, (size_t)n, meanings, out);
        assert_memory_equal(out, want, (size_t)n);
        if (deflate_marker_is_clear(d)) {
            deflate_marker_window(d, last);
            assert_memory_equal(last, out + n - DEFLATE_WINDOW, DEFLATE_WINDOW);
        }
    }
    free(d);
}

static void check_inflater(const uint8_t *in, size_t nbytes)
{
    struct fuzz_memory m = {in, nbytes};
    struct decoder_source source = {fuzz_pread, &m};
    struct inflater *f = inflater_new(&source);
    enum inflater_status status;
    size_t n = 0, got, used;

    assert_non_null(f);
    inflater_place(f, 0, window, DEFLATE_WINDOW);
    do {
        assert_int_equal(inflater_run(f, out + n, OUT_MAX - n, UINT64_MAX, &got, &status, NULL), 0);
        n += got;
    } while (status == INFLATER_MORE && n < OUT_MAX);
    long nwant = by_zlib(in, nbytes, &used);
    if (n < OUT_MAX && nwant != REFUSED) {
        assert_int_equal(status, INFLATER_FINAL);
        assert_int_equal(n, nwant);
        assert_memory_equal(out, want, n);
    }
    free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    uint64_t bit, from = 0;

    if (nbytes < 1)
        return 0;
    for (size_t i = 0; i < DEFLATE_WINDOW; i++)
        window[i] = (uint8_t)(i * i >> 7);
    uint8_t *in = calloc(1, nbytes - 1 + DEFLATE_SLACK);
    assert_non_null(in);
    memcpy(in, data + 1, nbytes - 1);
    check_marker(in, nbytes - 1, 1 + (size_t)data[0] * 4);
    check_inflater(in, nbytes - 1);
    while (deflate_find(in, nbytes - 1, from, 8 * (nbytes - 1), &bit)) {
        assert_true(bit >= from && bit < 8 * (nbytes - 1));
        from = bit + 1;
    }
    free(in);
    return 0;
}
