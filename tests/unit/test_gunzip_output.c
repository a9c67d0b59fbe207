/* SPDX-License-Identifier: MIT
 *
 * A piece of a gzip file and its output by themselves: nothing that was put is lost on the way, and
 * a piece that could only begin where the next one does is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>
#include <zlib.h>

#include "gunzip_private.h"
#include "images.h"

enum { DATA_NBYTES = 2 << 20 };

static unsigned char stored[2 * DATA_NBYTES];
static size_t nstored;

static int read_stored(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                       struct error *err)
{
    (void)ctx, (void)err;
    *got = off < nstored ? nstored - (size_t)off : 0;
    *got = *got < cap ? *got : cap;
    memcpy(buf, stored + off, *got);
    return 0;
}

static struct ring *new_ring(void)
{
    struct decoder_input o = {.source = {.pread = read_stored}, .stored_nbytes = nstored};
    struct ring *r = ring_new(&o);

    assert_non_null(r);
    return r;
}

/* Put n symbols or bytes, each with its number as value. */
static void put(struct piece *p, bool symbols, size_t n)
{
    struct chunk *c = output_room(p, symbols);

    assert_non_null(c);
    for (size_t i = 0; i < n; i++)
        if (symbols)
            ((uint16_t *)(void *)c->room)[c->n + i] = (uint16_t)(p->put_n + i);
        else
            *chunk_byte(c, c->n - c->nsymbols + i) = (unsigned char)(p->put_n + i);
    output_put(p, c, n);
}

/* Take all there is; how much that was. */
static size_t take(struct piece *p, size_t at)
{
    struct span span;
    size_t begin = at;

    while (output_next(p, &span)) {
        for (size_t i = 0; i < span.n; i++, at++)
            assert_int_equal(span.symbols ? span.symbols[i] : span.bytes[i],
                             span.symbols ? (uint16_t)at : (unsigned char)at);
        output_took(p, span.n);
    }
    return at - begin;
}

static void all_that_is_put_is_taken(void **state)
{
    /* chunks that are full, nearly full, empty between others, and shared */
    static const struct {
        bool symbols;
        size_t n;
    } puts[] = {{true, CHUNK_NSYMBOLS},
                {true, 0},
                {false, 3000},
                {true, 0},
                {false, 0},
                {true, CHUNK_NSYMBOLS - 1},
                {true, 1},
                {true, 0},
                {false, CHUNK_NBYTES - 64},
                {false, 7},
                {true, 33}, /* bytes go on in the same chunk */
                {false, 5},
                {false, 1000}};
    struct ring *r = new_ring();
    struct piece p = {.ring = r, .state = PIECE_DONE};
    size_t total = 0, nspare;
    struct chunk *c;

    (void)state;
    for (int round = 0; round < 2; round++) {
        p.nchunks = 0;
        p.put_n = p.ready_n = p.taken_n = p.chunk_taken_n = total = 0;
        for (size_t i = 0; i < sizeof puts / sizeof puts[0]; i++) {
            put(&p, puts[i].symbols, puts[i].n);
            total += puts[i].n;
        }
        assert_int_equal(take(&p, 0), 0); /* not yet */
        output_ready(&p);
        assert_int_equal(take(&p, 0), total);
        output_drop(&p);
        DL_COUNT(r->spare, c, nspare);
        assert_int_equal(nspare, p.nchunks); /* the second time the same ones again */
    }
    ring_free(r);
}

static void no_more_than_its_share(void **state)
{
    struct ring *r = new_ring();
    struct piece p = {.ring = r, .state = PIECE_DONE};
    struct chunk *c;
    size_t n = 0;

    (void)state;
    while ((c = output_room(&p, n % 2 == 0))) {
        assert_ptr_equal(c, output_room(&p, n % 2 == 0));
        output_put(&p, c, chunk_left(c)); /* full: the next one is another */
        n++;
    }
    assert_int_equal(n, PIECE_CHUNKS);
    output_drop(&p);
    ring_free(r);
}

static void begins_before_the_next_one_or_not_at_all(void **state)
{
    static unsigned char data[DATA_NBYTES];
    z_stream z = {.next_in = data, .avail_in = sizeof data};
    struct decoder_source source = {.pread = read_stored};
    uint32_t seed = 41;
    size_t got;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = image_random(&seed) & 0x3f;
    z.next_out = stored;
    z.avail_out = sizeof stored;
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    nstored = z.total_out;
    struct ring *r = new_ring();
    struct piece *p = piece_new(r);
    assert_non_null(p);
    uint64_t next = piece_search(&source, nstored / 2, NULL, p->in, &got);
    assert_true(next != NO_BIT);
    p->from = nstored / 2;
    p->to = next / 8;
    for (int beyond = 0; beyond < 2; beyond++) {
        p->stop_bit = next + (uint64_t)beyond;
        assert_int_equal(piece_find(p), beyond);
        if (beyond)
            piece_run(p);
        assert_int_equal(p->start_bit, beyond ? next : NO_BIT);
        assert_int_equal(p->end, beyond ? PIECE_BOUNDARY : PIECE_BROKEN);
        output_drop(p);
    }
    atomic_store(&p->cancelled, true);
    p->stop_bit = NO_BIT;
    if (piece_find(p))
        piece_run(p);
    assert_int_equal(p->end, PIECE_BROKEN);
    output_drop(p);
    piece_free(p);
    ring_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_put_is_taken),
        cmocka_unit_test(no_more_than_its_share),
        cmocka_unit_test(begins_before_the_next_one_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
