/* SPDX-License-Identifier: MIT
 *
 * Where pieces of a gzip file lie: a simulation of a reader and his helpers shows that all of them
 * are busy to the end, whatever their rates are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gunzip_private.h"

enum { HELPER_THREADS_MAX = 16 };

static const double MB = 1e6;

/* A reader who takes 1 ns for a stored byte, and helpers that are known to take `bytes` and `head`.
 */
struct world {
    double stored; /* bytes of the file */
    unsigned helpers;
    double over, bytes, head, width;
};

/* The time until the whole file is read, by what the plans say; of each helper how long it is idle
 * before that, at most. */
static double simulate(const struct world *w, double *idle)
{
    double at = 0, reader = 0, free_at[HELPER_THREADS_MAX] = {0}, gap, width;

    for (;;) {
        unsigned hand = 0;
        for (unsigned i = 1; i < w->helpers; i++)
            if (free_at[i] < free_at[hand])
                hand = i;
        struct forecast o = {.left = w->stored - at,
                             .arrival = reader - free_at[hand],
                             .alone = 1,
                             .over = w->over,
                             .bytes = w->bytes,
                             .head = w->head,
                             .width = w->width,
                             .helpers = w->helpers};
        if (o.left <= 0 || !plan_piece(&o, &gap, &width))
            break;
        assert_true(gap >= 0 && width > 0 && gap + width <= o.left + 1);
        assert_true(width < 2.5 * w->width);
        free_at[hand] += w->head + width * w->bytes;
        reader += gap + width * w->over;
        reader = reader > free_at[hand] ? reader : free_at[hand];
        at += gap + width;
    }
    reader += w->stored - at;
    *idle = 0;
    for (unsigned i = 0; i < w->helpers; i++)
        *idle = reader - free_at[i] > *idle ? reader - free_at[i] : *idle;
    return reader;
}

static void all_come_to_the_end_at_once(void **state)
{
    static const struct world worlds[] = {
        {30 * MB, 1, 0.15, 1.0, 2 * MB, 6 * MB},  {400 * MB, 1, 0.15, 1.0, 1 * MB, 7 * MB},
        {400 * MB, 1, 0.15, 1.4, 2 * MB, 7 * MB}, {400 * MB, 3, 0.10, 1.0, 2 * MB, 7 * MB},
        {400 * MB, 7, 0.05, 1.2, 2 * MB, 7 * MB}, {60 * MB, 3, 0.15, 1.0, 2 * MB, 6 * MB},
    };

    (void)state;
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++) {
        const struct world *w = &worlds[i];
        double idle, took = simulate(w, &idle);
        /* all threads at it from the first byte to the last, and nothing on top */
        double best = w->stored / (1 + w->helpers / w->bytes);

        assert_true(took < w->stored * 0.75);
        assert_true(took > best);
        assert_true(took < best * 1.6);
        assert_true(idle < 0.25 * took);
    }
}

static struct forecast usual(double left)
{
    return (struct forecast){.left = left,
                             .alone = 1,
                             .over = 0.1,
                             .bytes = 1,
                             .head = 2 * MB,
                             .width = 8 * MB,
                             .helpers = 1};
}

static void the_last_one_reaches_to_the_end(void **state)
{
    struct forecast o = usual(10 * MB);
    double gap, width;

    (void)state;
    assert_true(plan_piece(&o, &gap, &width));
    assert_true(gap + width > o.left - 1 && gap + width < o.left + 1);
    /* the owner comes there, and has taken it over, just as it is done */
    double owner = gap * o.alone + width * o.over, hand = o.head + width * o.bytes;
    assert_true(owner > hand - 1 && owner < hand + 1);
}

static void no_place_for_too_little(void **state)
{
    struct forecast o = usual(2.5 * MB);
    double gap, width;

    (void)state;
    assert_false(plan_piece(&o, &gap, &width));
    o.head = 0; /* where checkpoints are known */
    assert_true(plan_piece(&o, &gap, &width));
    o.left = 1;
    assert_false(plan_piece(&o, &gap, &width));
}

/* A reader who is far behind is not given more to do. */
static void no_gap_where_the_owner_comes_late(void **state)
{
    struct forecast o = usual(100 * MB);
    double gap, width;

    (void)state;
    o.arrival = 50 * MB;
    o.helpers = 4;
    assert_true(plan_piece(&o, &gap, &width));
    assert_true(gap >= 0 && gap < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_come_to_the_end_at_once),
        cmocka_unit_test(the_last_one_reaches_to_the_end),
        cmocka_unit_test(no_place_for_too_little),
        cmocka_unit_test(no_gap_where_the_owner_comes_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
