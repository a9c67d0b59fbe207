/* SPDX-License-Identifier: MIT
 *
 * Content ids: the same in whatever order and by whatever threads the bytes come, and another one
 * for other bytes, another length or another key.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "content.h"

enum { NBYTES = 9 * CONTENT_BLOCK_NBYTES + 1234, NTHREADS = 4 };

static unsigned char *bytes; /* [NBYTES] */
static struct hash_secret secret;

static int setup(void **state)
{
    (void)state;
    bytes = malloc(NBYTES);
    for (size_t i = 0; i < NBYTES; i++)
        bytes[i] = (unsigned char)(i * i >> 7 ^ i);
    keyed_hash()->secret((const unsigned char *)"sixteen secrets!", &secret);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(bytes);
    return 0;
}

struct file {
    uint64_t nbytes, nread;
};

static int read_file(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                     struct error *err)
{
    struct file *f = ctx;
    uint64_t left = off < f->nbytes ? f->nbytes - off : 0;

    (void)err;
    *got = left < cap ? (size_t)left : cap;
    memcpy(buf, bytes + off, *got);
    f->nread += *got;
    return 0;
}

/* What is left to be read is read; frees it. */
static struct content_id finish(struct content *c, uint64_t nbytes, uint64_t *nread)
{
    struct file f = {.nbytes = nbytes};
    struct content_id id;

    assert_int_equal(content_fill(c, true, read_file, &f, NULL, NULL), 0);
    assert_int_equal(content_missing(c), 0);
    assert_int_equal(content_end(c, true, &id, NULL), 0);
    content_free(c);
    *nread = f.nread;
    return id;
}

static struct content_id of_bytes(uint64_t nbytes)
{
    uint64_t nread;
    struct content_id id = finish(content_new(&secret, nbytes), nbytes, &nread);

    assert_int_equal(nread, nbytes);
    return id;
}

static void assert_same(const struct content_id *a, const struct content_id *b, bool same)
{
    assert_int_equal(memcmp(a->hash, b->hash, HASH_NBYTES) == 0, same);
}

static void any_order(void **state)
{
    static const size_t steps[] = {1, 1000, CONTENT_BLOCK_NBYTES, 100001, NBYTES};
    struct content_id whole = of_bytes(NBYTES), id;
    uint64_t nread;

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct content *c = content_new(&secret, NBYTES);

        for (size_t off = 0; off < NBYTES; off += steps[i])
            content_add(c, off, bytes + off, NBYTES - off < steps[i] ? NBYTES - off : steps[i]);
        id = finish(c, NBYTES, &nread);
        assert_int_equal(nread, 0);
        assert_same(&id, &whole, true);
        assert_memory_equal(id.fingerprint, whole.fingerprint, HASH_NBYTES);
    }
    struct content *c = content_new(&secret, NBYTES);
    content_add(c, 352, bytes + 352, NBYTES - 352 - 10); /* without what is before and behind */
    content_add(c, 5000, bytes + 5000, 200000);          /* and once more */
    id = finish(c, NBYTES, &nread);
    assert_uint_in_range(nread, 1, 2 * CONTENT_BLOCK_NBYTES);
    assert_same(&id, &whole, true);
}

struct reader {
    struct content *c;
    size_t from;
};

/* From some byte on to the end, as pieces overlap. */
static void *read_some(void *arg)
{
    const struct reader *r = arg;

    for (size_t off = r->from; off < NBYTES; off += 10000)
        content_add(r->c, off, bytes + off, NBYTES - off < 10000 ? NBYTES - off : 10000);
    return NULL;
}

static void any_threads(void **state)
{
    struct content_id whole = of_bytes(NBYTES), id;
    uint64_t nread;

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct content *c = content_new(&secret, NBYTES);
        struct reader readers[NTHREADS];
        pthread_t threads[NTHREADS];

        for (size_t i = 0; i < NTHREADS; i++) {
            readers[i] = (struct reader){c, i * (NBYTES / NTHREADS) / 2};
            assert_int_equal(pthread_create(&threads[i], NULL, read_some, &readers[i]), 0);
        }
        for (size_t i = 0; i < NTHREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        id = finish(c, NBYTES, &nread);
        assert_same(&id, &whole, true);
    }
}

static void other_bytes(void **state)
{
    static const size_t places[] = {0, 100000, NBYTES / 2, 300000, NBYTES - 1};
    struct content_id whole = of_bytes(NBYTES), id;
    struct hash_secret kept = secret;

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bytes[places[i]] ^= 1;
        id = of_bytes(NBYTES);
        bytes[places[i]] ^= 1;
        assert_same(&id, &whole, false);
    }
    for (uint64_t nbytes = NBYTES - 1; nbytes > 0; nbytes /= 3) {
        id = of_bytes(nbytes);
        assert_same(&id, &whole, false);
    }
    keyed_hash()->secret((const unsigned char *)"sixteen secretz!", &secret);
    id = of_bytes(NBYTES);
    secret = kept;
    assert_same(&id, &whole, false);
}

static void a_file_that_ends_early(void **state)
{
    struct content *c = content_new(&secret, NBYTES);
    struct file f = {.nbytes = NBYTES - 1};
    struct error err;

    (void)state;
    assert_int_equal(content_fill(c, true, read_file, &f, NULL, &err), -EIO);
    content_free(c);
}

/* Daemons on other processors share a cache: the same bytes have the same id. */
static void the_same_on_any_processor(void **state)
{
    static const unsigned char expected[HASH_NBYTES] = {0xad, 0x15, 0x7a, 0x0d, 0xca, 0xa3,
                                                        0x69, 0xa4, 0x03, 0x04, 0xe4, 0x3b,
                                                        0x26, 0x49, 0xbf, 0x62};
    struct content_id id = of_bytes(NBYTES);

    (void)state;
    assert_memory_equal(id.hash, expected, HASH_NBYTES);
}

/* In pieces, with whatever the processor has, what the library gives at once. */
static void the_checksum_is_xxh3(void **state)
{
    static const size_t lengths[] = {0, 1, 240, 241, 1024, 65536, 100003};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t first = lengths[i] / 3;
        void *sum = xxh3()->begin();

        assert_non_null(sum);
        xxh3()->add(sum, bytes, first);
        xxh3()->add(sum, bytes + first, lengths[i] - first);
        assert_true(xxh3()->value(sum) == XXH3_64bits(bytes, lengths[i]));
        xxh3()->free(sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_xxh3),
        cmocka_unit_test(any_order),
        cmocka_unit_test(any_threads),
        cmocka_unit_test(other_bytes),
        cmocka_unit_test(a_file_that_ends_early),
        cmocka_unit_test(the_same_on_any_processor),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
