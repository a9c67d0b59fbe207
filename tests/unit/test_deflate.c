/* SPDX-License-Identifier: MIT
 *
 * Deflate from the middle: blocks found, decoded without a window, and joined, against zlib; and
 * hostile input (contrib/fuzz marker goes on with that). Buffers are of exact size, for
 * AddressSanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deflate.h"
#include "images.h"

enum { DATA_NBYTES = 600 * 1000, BLOCKS_MAX = 64, ROOM = 1 << 20 };

static unsigned char data[DATA_NBYTES]; /* noise, and repeated in part */
static uint32_t seed = 5;

struct block {
    uint64_t bit;
    size_t off; /* of the output */
};

/* A raw deflate stream and where its blocks begin, and the end. */
struct stream {
    unsigned char *bytes; /* malloced, [nbytes + DEFLATE_SLACK] */
    size_t nbytes;        /* with a trailer of DEFLATE_SLACK */
    struct block blocks[BLOCKS_MAX];
    size_t nblocks; /* the last one is the end */
};

static void find_blocks(struct stream *s)
{
    static unsigned char out[DATA_NBYTES];
    z_stream z = {
        .next_in = s->bytes, .avail_in = (uInt)s->nbytes, .next_out = out, .avail_out = sizeof out};
    int code;

    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    s->blocks[0] = (struct block){0, 0};
    s->nblocks = 1;
    do {
        code = inflate(&z, Z_BLOCK);
        assert_true(code == Z_OK || code == Z_STREAM_END);
        assert_true(s->nblocks < BLOCKS_MAX);
        if (z.data_type & 128)
            s->blocks[s->nblocks++] =
                (struct block){8 * (uint64_t)z.total_in - ((unsigned)z.data_type & 7), z.total_out};
    } while (code == Z_OK);
    assert_memory_equal(out, data, sizeof data);
    inflateEnd(&z);
}

static struct stream *stream_new(int level, int strategy)
{
    struct stream *s = calloc(1, sizeof *s);
    z_stream z = {.next_in = data, .avail_in = sizeof data};
    unsigned char *out = malloc(2 * sizeof data);

    assert_non_null(s);
    assert_non_null(out);
    z.next_out = out;
    z.avail_out = 2 * sizeof data;
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, -15, 8, strategy), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    s->nbytes = z.total_out + DEFLATE_SLACK;
    assert_int_equal(deflateEnd(&z), Z_OK);
    s->bytes = calloc(1, s->nbytes + DEFLATE_SLACK);
    assert_non_null(s->bytes);
    memcpy(s->bytes, out, z.total_out);
    free(out);
    find_blocks(s);
    return s;
}

static void stream_free(struct stream *s)
{
    free(s->bytes);
    free(s);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        bool again = i > 40000 && image_random(&seed) % 64 == 0;
        size_t n = again ? 3 + image_random(&seed) % 300 : 1;
        size_t back = 1 + image_random(&seed) % (again ? 33000 : 1);

        for (size_t k = 0; k < n && i + k < sizeof data; k++)
            data[i + k] = again ? data[i + k - back]
                                : (unsigned char)(image_random(&seed) & (i % 2 ? 0xff : 0x03));
        i += n - 1;
    }
    return 0;
}

static bool is_dynamic(const struct stream *s, size_t block)
{
    uint64_t bit = s->blocks[block].bit;
    unsigned head = (s->bytes[bit / 8] | (unsigned)s->bytes[bit / 8 + 1] << 8) >> (bit % 8);

    return (head & 7) == 4;
}

static void finds_what_is_there(void **state)
{
    struct stream *s = stream_new(6, Z_DEFAULT_STRATEGY), *none = stream_new(0, 0);
    size_t found = 0;
    uint64_t bit, from = 0;

    (void)state;
    for (size_t i = 0; i + 2 < s->nblocks; i++) { /* the last one is final, and is not looked for */
        assert_true(is_dynamic(s, i));
        assert_true(deflate_find(s->bytes, s->nbytes, from, 8 * s->nbytes, &bit));
        assert_int_equal(bit, s->blocks[i].bit);
        assert_false(deflate_find(s->bytes, s->nbytes, from, bit, &bit));
        from = bit + 1;
        found++;
    }
    assert_true(found > 5);
    assert_false(deflate_find(s->bytes, s->nbytes, from, 8 * s->nbytes, &bit));
    assert_false(deflate_find(none->bytes, none->nbytes, 0, 8 * none->nbytes, &bit));
    for (size_t n = 0; n < 40; n++) { /* nothing is read behind the end */
        unsigned char *part = calloc(1, n + DEFLATE_SLACK);
        assert_non_null(part);
        memcpy(part, s->bytes + s->blocks[1].bit / 8, n);
        assert_false(deflate_find(part, n, 0, UINT64_MAX, &bit));
        free(part);
    }
    stream_free(s);
    stream_free(none);
}

static uint16_t symbols[ROOM];
static size_t nsymbols; /* since the last restart */

/* Decode a block into `symbols`, with input that comes in parts: `feed` bytes at first, and as many
 * more each time; behind it lies what is none of it. */
static enum deflate_status run_block(struct deflate_marker *d, const unsigned char *in,
                                     size_t nbytes, size_t feed, uint64_t *bit)
{
    size_t fed = *bit / 8 + feed < nbytes ? *bit / 8 + feed : nbytes, n;
    enum deflate_status status;

    do {
        unsigned char *part = malloc(fed + DEFLATE_SLACK);
        uint64_t before = *bit;

        assert_non_null(part);
        memcpy(part, in, fed);
        memset(part + fed, (int)image_random(&seed), DEFLATE_SLACK);
        status = deflate_marker_run(d, part, fed, bit);
        free(part);
        const uint16_t *taken = deflate_marker_take(d, &n);
        if (n > ROOM - nsymbols) /* longer than what zlib is asked for: no stream of these tests */
            return DEFLATE_BAD;
        memcpy(symbols + nsymbols, taken, n * sizeof *taken);
        nsymbols += n;
        if (status == DEFLATE_INPUT && *bit == before && fed == nbytes)
            break;
        if (status == DEFLATE_INPUT)
            fed = fed + feed < nbytes ? fed + feed : nbytes;
    } while (status == DEFLATE_INPUT || status == DEFLATE_ROOM);
    return status;
}

static void restart(struct deflate_marker *d)
{
    deflate_marker_restart(d);
    nsymbols = 0;
}

/* From every block of every kind of stream, input at once and in parts: symbols, and what they say
 * of the window. */
static void joins_from_every_block(void **state)
{
    static const int kinds[][2] = {{6, Z_DEFAULT_STRATEGY},
                                   {1, Z_DEFAULT_STRATEGY},
                                   {9, Z_FILTERED},
                                   {6, Z_HUFFMAN_ONLY},
                                   {6, Z_FIXED},
                                   {6, Z_RLE},
                                   {0, Z_DEFAULT_STRATEGY}};
    static unsigned char out[DATA_NBYTES];
    struct deflate_marker *d = deflate_marker_new();
    size_t nclear = 0;

    (void)state;
    assert_non_null(d);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        struct stream *s = stream_new(kinds[kind][0], kinds[kind][1]);

        for (size_t i = 0; i + 1 < s->nblocks; i++) {
            const unsigned char *before = data + s->blocks[i].off - DEFLATE_WINDOW;
            uint64_t bit = s->blocks[i].bit;
            enum deflate_status status = DEFLATE_BLOCK;
            unsigned char meanings[DEFLATE_NSYMBOLS], window[DEFLATE_WINDOW];
            size_t feed = i % 3 == 0 ? s->nbytes : 300 * i;

            if (s->blocks[i].off < DEFLATE_WINDOW)
                continue;
            restart(d);
            for (size_t k = i + 1; k < s->nblocks; k++) {
                assert_int_equal(status, DEFLATE_BLOCK);
                status = run_block(d, s->bytes, s->nbytes, feed, &bit);
                assert_int_equal(bit, s->blocks[k].bit);
                assert_int_equal(nsymbols, s->blocks[k].off - s->blocks[i].off);
                if (!deflate_marker_is_clear(d))
                    continue;
                deflate_marker_window(d, window);
                assert_memory_equal(window, data + s->blocks[k].off - DEFLATE_WINDOW,
                                    DEFLATE_WINDOW);
                nclear++;
            }
            assert_int_equal(status, DEFLATE_FINAL);
            deflate_meanings(before, meanings);
            deflate_resolve(symbols, nsymbols, meanings, out);
            assert_memory_equal(out, data + s->blocks[i].off, nsymbols);
        }
        stream_free(s);
    }
    assert_true(nclear > 20);
    free(d);
}

struct memory {
    const unsigned char *bytes;
    size_t nbytes;
};

static int read_memory(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                       struct error *err)
{
    const struct memory *m = ctx;

    (void)err;
    *got = off < m->nbytes ? m->nbytes - (size_t)off : 0;
    *got = *got < cap ? *got : cap;
    if (*got > 0)
        memcpy(buf, m->bytes + off, *got);
    return 0;
}

/* ISA-L, begun at a block and stopped at another one, tells that it stands there; one bit beside a
 * block it does not. */
static void stops_at_any_block(void **state)
{
    static unsigned char out[DATA_NBYTES + 1];
    struct stream *s = stream_new(6, Z_DEFAULT_STRATEGY);
    struct memory m = {s->bytes, s->nbytes};
    struct decoder_source source = {read_memory, &m};
    struct inflater *f = inflater_new(&source);
    unsigned residues = 0;

    (void)state;
    assert_non_null(f);
    for (size_t from = 0; from + 2 < s->nblocks; from++) {
        for (size_t to = from + 1; to + 1 < s->nblocks; to++) {
            for (int beside = -1; beside <= 1; beside++) {
                size_t off = s->blocks[from].off, total = 0, got;
                size_t keep = off < DEFLATE_WINDOW ? off : DEFLATE_WINDOW;
                uint64_t want = s->blocks[to].bit + (uint64_t)beside, bit;
                enum inflater_status status;

                inflater_place(f, s->blocks[from].bit, data + off - keep, keep);
                do {
                    assert_int_equal(inflater_run(f, out + total, sizeof out - total,
                                                  inflater_limit(want), &got, &status, NULL),
                                     0);
                    total += got;
                } while (status == INFLATER_MORE);
                assert_int_equal(status, INFLATER_LIMIT);
                assert_memory_equal(out, data + off, total);
                bool there = inflater_between_blocks(f, &bit) && bit == want;
                assert_int_equal(there, beside == 0);
                if (there)
                    assert_int_equal(total, s->blocks[to].off - off);
                residues |= 1U << want % 8;
            }
        }
    }
    assert_int_equal(residues, 0xff);
    free(f);
    stream_free(s);
}

/* What zlib makes of a raw stream whose window is `window`; -1: it refuses it, or it has no end. */
static long by_zlib(const unsigned char *in, size_t nbytes, const unsigned char *window,
                    unsigned char *out, size_t *used)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
                  .avail_in = (uInt)nbytes,
                  .next_out = out,
                  .avail_out = ROOM};

    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    assert_int_equal(inflateSetDictionary(&z, window, DEFLATE_WINDOW), Z_OK);
    int code = inflate(&z, Z_FINISH);
    long n = code == Z_STREAM_END ? (long)z.total_out : -1;
    *used = z.total_in;
    inflateEnd(&z);
    return n;
}

static long by_marker(struct deflate_marker *d, const unsigned char *in, size_t nbytes,
                      const unsigned char *window, unsigned char *out)
{
    enum deflate_status status;
    unsigned char meanings[DEFLATE_NSYMBOLS];
    uint64_t bit = 0;
    size_t feed = 1 + image_random(&seed) % (2 * nbytes + 2);

    restart(d);
    do
        status = run_block(d, in, nbytes, feed, &bit);
    while (status == DEFLATE_BLOCK);
    deflate_meanings(window, meanings);
    deflate_resolve(symbols, nsymbols, meanings, out);
    return status == DEFLATE_FINAL ? (long)nsymbols : -1;
}

static long by_isal(struct memory *m, const unsigned char *window, unsigned char *out)
{
    struct decoder_source source = {read_memory, m};
    struct inflater *f = inflater_new(&source);
    enum inflater_status status;
    size_t n = 0, got;

    assert_non_null(f);
    inflater_place(f, 0, window, DEFLATE_WINDOW);
    do {
        assert_int_equal(inflater_run(f, out + n, ROOM - n, UINT64_MAX, &got, &status, NULL), 0);
        n += got;
    } while (status == INFLATER_MORE && n < ROOM);
    free(f);
    return status == INFLATER_FINAL ? (long)n : -1;
}

/* A short stream of any kind, mutated in some places, or cut short, or only noise. */
static size_t hostile(unsigned char *out, size_t cap)
{
    static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED};
    size_t nin = 1 + image_random(&seed) % 6000, off = image_random(&seed) % (DATA_NBYTES - nin);
    z_stream z = {
        .next_in = data + off, .avail_in = (uInt)nin, .next_out = out, .avail_out = (uInt)cap};
    int level = (int)(image_random(&seed) % 8);

    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, -15, 1 + (int)(image_random(&seed) % 8),
                                  strategies[image_random(&seed) % 4]),
                     Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out + DEFLATE_SLACK; /* as if with a trailer */
    memset(out + z.total_out, 0, DEFLATE_SLACK);
    deflateEnd(&z);
    if (image_random(&seed) % 8 == 0)
        for (size_t i = 0; i < n; i++)
            out[i] = (unsigned char)image_random(&seed);
    for (uint32_t i = image_random(&seed) % 4; i > 0; i--) {
        size_t reach = image_random(&seed) % 2 ? n : 1 + n / 40; /* often within the header */
        out[image_random(&seed) % reach] ^= (unsigned char)(1U << image_random(&seed) % 8);
    }
    return image_random(&seed) % 8 == 0 ? image_random(&seed) % n : n;
}

static void same_as_zlib_or_refused(void **state)
{
    long rounds = 3000, accepted = 0;
    static unsigned char raw[16384], want[ROOM], out[ROOM];
    static unsigned char window[DEFLATE_WINDOW];
    struct deflate_marker *d = deflate_marker_new();

    (void)state;
    assert_non_null(d);
    memcpy(window, data, sizeof window);
    for (long round = 0; round < rounds; round++) {
        size_t n = hostile(raw, sizeof raw);
        unsigned char *in = malloc(n + DEFLATE_SLACK);
        struct memory m = {in, n};
        uint64_t bit;
        size_t used;

        assert_non_null(in);
        memcpy(in, raw, n);
        memset(in + n, (int)image_random(&seed), DEFLATE_SLACK);
        long nwant = by_zlib(in, n, window, want, &used);
        long nout = by_marker(d, in, n, window, out);
        if (nout >= 0 || nwant < 0) {
            assert_int_equal(nout, nwant);
            accepted += nwant >= 0;
            if (nout > 0)
                assert_memory_equal(out, want, (size_t)nout);
        } else { /* only where no trailer is left */
            assert_true(used + DEFLATE_SLACK > n);
        }
        nout = by_isal(&m, window, out);
        if (nwant >= 0) {
            assert_int_equal(nout, nwant);
            assert_memory_equal(out, want, (size_t)nout);
        }
        (void)deflate_find(in, n, 0, UINT64_MAX, &bit);
        free(in);
    }
    assert_true(accepted > rounds / 8 && accepted < rounds);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(joins_from_every_block),
        cmocka_unit_test(stops_at_any_block),
        cmocka_unit_test(same_as_zlib_or_refused),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
