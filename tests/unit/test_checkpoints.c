/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: the order they are kept in, finding, and bytes that are not theirs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoints.h"
#include "images.h"

enum { COUNT = 6 };

static unsigned char windows[COUNT][CHECKPOINT_WINDOW];

static struct checkpoint point(size_t i)
{
    return (struct checkpoint){.in_bit = 1000003 * (i + 1),
                               .out_off = 300000 * (uint64_t)(i + 1),
                               .member_off = i < COUNT / 2 ? 0 : 300000 * COUNT / 2 + 1,
                               .crc = (uint32_t)(i * 2654435761U),
                               .window = windows[i]};
}

static struct checkpoints *sample(void)
{
    struct checkpoints *c = checkpoints_new(NULL);
    uint32_t seed = 7;
    struct error err;

    assert_non_null(c);
    for (size_t i = 0; i < COUNT; i++) {
        struct checkpoint p = point(i);

        for (size_t k = 0; k < CHECKPOINT_WINDOW; k++)
            windows[i][k] = (unsigned char)(image_random(&seed) & (k % 2 ? 0x0f : 0xff));
        assert_int_equal(checkpoints_add(c, &p, &err), 0);
    }
    return c;
}

static void same(const struct checkpoint *a, const struct checkpoint *b)
{
    assert_int_equal(a->in_bit, b->in_bit);
    assert_int_equal(a->out_off, b->out_off);
    assert_int_equal(a->member_off, b->member_off);
    assert_int_equal(a->crc, b->crc);
    assert_memory_equal(a->window, b->window, CHECKPOINT_WINDOW);
}

static void kept_in_order_and_found(void **state)
{
    struct checkpoints *c = sample(), *none = checkpoints_new(NULL);
    struct checkpoint p = point(COUNT - 1), next;
    struct error err = {0};

    (void)state;
    assert_int_equal(checkpoints_count(c), COUNT);
    assert_null(checkpoints_find(c, 299999));
    assert_int_equal(checkpoints_find(c, 300000)->in_bit, 1000003);
    assert_int_equal(checkpoints_find(c, 599999)->in_bit, 1000003);
    same(checkpoints_find(c, UINT64_MAX), &p);
    assert_int_equal(checkpoints_find_bit(c, 0)->in_bit, 1000003);
    assert_int_equal(checkpoints_find_bit(c, 1000003)->in_bit, 1000003);
    assert_int_equal(checkpoints_find_bit(c, 1000004)->in_bit, 2 * 1000003);
    assert_null(checkpoints_find_bit(c, p.in_bit + 1));
    assert_null(checkpoints_find(none, UINT64_MAX));
    assert_null(checkpoints_find_bit(none, 0));

    struct checkpoint bad[] = {p, p, p, p};
    bad[0].in_bit++;                           /* no output since the last */
    bad[1].out_off++;                          /* no input */
    bad[2].in_bit++, bad[2].out_off += 500000; /* a member that begins before the last one */
    bad[2].member_off += 7;
    bad[3] = bad[2]; /* no whole window */
    bad[3].member_off = bad[3].out_off - CHECKPOINT_WINDOW + 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(checkpoints_add(c, &bad[i], &err), -EINVAL);
    next = bad[3];
    next.member_off--;
    assert_int_equal(checkpoints_add(c, &next, &err), 0);
    assert_int_equal(checkpoints_count(c), COUNT + 1);
    assert_ptr_equal(checkpoints_get(c), c);
    checkpoints_put(c);
    checkpoints_put(c);
    checkpoints_put(none);
    checkpoints_put(NULL);
}

static void there_and_back_as_bytes(void **state)
{
    struct checkpoints *c = sample(), *back, *none = checkpoints_new(NULL);
    unsigned char *bytes;
    size_t nbytes;
    struct error err = {0};

    (void)state;
    assert_int_equal(checkpoints_pack(c, &bytes, &nbytes, &err), 0);
    assert_true(nbytes < COUNT * (size_t)CHECKPOINT_WINDOW);
    assert_int_equal(checkpoints_unpack(bytes, nbytes, NULL, &back, &err), 0);
    assert_int_equal(checkpoints_count(back), COUNT);
    for (size_t i = 0; i < COUNT; i++)
        same(checkpoints_at(back, i), checkpoints_at(c, i));
    checkpoints_put(back);
    checkpoints_put(c);
    free(bytes);

    assert_int_equal(checkpoints_pack(none, &bytes, &nbytes, &err), 0);
    assert_int_equal(checkpoints_unpack(bytes, nbytes, NULL, &back, &err), 0);
    assert_int_equal(checkpoints_count(back), 0);
    checkpoints_put(back);
    checkpoints_put(none);
    free(bytes);
}

/* Cut short at any length, with anything behind, or with bytes changed: EINVAL, or (a CRC is any
 * number) something that is in order. The exact buffers are for AddressSanitizer. */
static void hostile_bytes(void **state)
{
    enum { ROUNDS = 2000 };
    struct checkpoints *c = sample(), *back;
    unsigned char *bytes;
    size_t nbytes;
    uint32_t seed = 11;
    int refused = 0;
    struct error err = {0};

    (void)state;
    assert_int_equal(checkpoints_pack(c, &bytes, &nbytes, &err), 0);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = round % 3 == 0 ? image_random(&seed) % nbytes : nbytes + (round % 3 == 1);
        unsigned char *mutant = calloc(1, len + !len);

        assert_non_null(mutant);
        memcpy(mutant, bytes, len < nbytes ? len : nbytes);
        if (round % 3 == 2) {
            size_t reach = round % 2 ? 30 + 40 * COUNT : nbytes;
            mutant[image_random(&seed) % reach] ^= (unsigned char)(1U << image_random(&seed) % 8);
        }
        if (checkpoints_unpack(mutant, len, NULL, &back, &err) < 0) {
            assert_int_equal(err.code, EINVAL);
            refused++;
        } else {
            assert_int_equal(round % 3, 2);
            checkpoints_put(back);
        }
        free(mutant);
    }
    assert_true(refused > 2 * ROUNDS / 3);
    checkpoints_put(c);
    free(bytes);
}

/* Between being noted and being packed, too. */
static void a_window_that_changed_is_found(void **state)
{
    struct checkpoints *c = sample(), *back;
    const struct checkpoint *p = checkpoints_at(c, COUNT / 2);
    unsigned char *bytes;
    size_t nbytes;

    (void)state;
    assert_true(checkpoint_is_sound(p));
    ((unsigned char *)(uintptr_t)p->window)[77] ^= 0x10;
    assert_false(checkpoint_is_sound(p));
    assert_int_equal(checkpoints_pack(c, &bytes, &nbytes, NULL), 0);
    assert_int_equal(checkpoints_unpack(bytes, nbytes, NULL, &back, NULL), -EINVAL);
    free(bytes);
    checkpoints_put(c);
}

static void counted_in_the_budget(void **state)
{
    struct checkpoints *c = sample(), *back;
    struct budget *b = budget_new(2 * COUNT * CHECKPOINT_WINDOW);
    unsigned char *bytes;
    size_t nbytes;

    (void)state;
    assert_non_null(b);
    assert_int_equal(checkpoints_pack(c, &bytes, &nbytes, NULL), 0);
    assert_int_equal(checkpoints_unpack(bytes, nbytes, b, &back, NULL), 0);
    assert_int_equal(budget_used(b), COUNT * CHECKPOINT_WINDOW);
    assert_int_equal(checkpoints_unpack(bytes, nbytes, b, &(struct checkpoints *){NULL}, NULL),
                     -ENOMEM); /* half of the budget is for others */
    assert_int_equal(budget_used(b), COUNT * CHECKPOINT_WINDOW);
    checkpoints_put(back);
    assert_int_equal(budget_used(b), 0);
    budget_free(b);
    checkpoints_put(c);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_in_order_and_found), cmocka_unit_test(there_and_back_as_bytes),
        cmocka_unit_test(hostile_bytes),           cmocka_unit_test(a_window_that_changed_is_found),
        cmocka_unit_test(counted_in_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
