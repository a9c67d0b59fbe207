/* SPDX-License-Identifier: MIT
 *
 * What the ring measures: where pieces lie depends on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gunzip_private.h"
#include "monotonic.h"

static int read_nothing(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                        struct error *err)
{
    (void)ctx, (void)off, (void)buf, (void)cap, (void)err;
    *got = 0;
    return 0;
}

static unsigned nobody(struct helper_pool *helpers)
{
    (void)helpers;
    return 0;
}

static void work_for(int64_t ns)
{
    int64_t end = monotonic_ns() + ns;

    while (monotonic_ns() < end)
        continue;
}

/* The owner reads stored bytes at a time that he inflates in two calls. */
static void the_time_of_every_call_counts(void **state)
{
    enum { FEED_NBYTES = 128 << 10, CALL_NS = 2000000, NFEEDS = 4 };
    struct helper_pool helpers = {.idle = nobody};
    struct decoder_input options = {
        .source = {.pread = read_nothing}, .stored_nbytes = 100 << 20, .helpers = &helpers};
    struct ring *r = ring_new(&options);

    (void)state;
    assert_non_null(r);
    for (uint64_t i = 0; i <= NFEEDS; i++) {
        struct owner owner = {.fed = i * FEED_NBYTES};

        for (int call = 0; call < 2; call++) {
            assert_true(ring_go_on(r, &owner) == NO_BIT);
            work_for(CALL_NS);
        }
    }
    assert_true(r->alone.amount == NFEEDS * FEED_NBYTES);
    assert_true(r->alone.ns >= 2.0 * NFEEDS * CALL_NS);
    ring_free(r);
}

/* Of data that compresses to half: what a piece takes of the file is half of what it makes. */
static void width_follows_the_ratio(void **state)
{
    struct helper_pool helpers = {.idle = nobody};
    struct decoder_input options = {
        .source = {.pread = read_nothing}, .stored_nbytes = 100 << 20, .helpers = &helpers};
    struct ring *r = ring_new(&options);
    struct owner owner = {.fed = 1 << 20, .out_nbytes = 2 << 20};

    (void)state;
    assert_non_null(r);
    assert_true(ring_go_on(r, &owner) == NO_BIT);
    assert_true(r->width == (double)(PIECE_OUT_NBYTES / 2));
    ring_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_of_every_call_counts),
        cmocka_unit_test(width_follows_the_ratio),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
