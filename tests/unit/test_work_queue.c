/* SPDX-License-Identifier: MIT
 *
 * Work items: in their order, taken back, and none left at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "work_queue.h"

struct note {
    struct work_item item; /* the first member */
    struct work_queue *all;
    sem_t *started, *go; /* NULL: it does not wait */
    int *nrun;
    int number; /* the how manieth it was; 0: it has not run */
    bool ending;
};

static void run(struct work_item *item)
{
    struct note *n = (struct note *)item;

    n->ending = work_queue_ending(n->all);
    if (n->go) {
        sem_post(n->started);
        while (sem_wait(n->go) < 0) {
        }
    }
    n->number = ++*n->nrun;
}

static void test_order_and_removal(void **state)
{
    sem_t started, go;
    int nrun = 0;
    struct work_queue *e;

    (void)state;
    e = work_queue_new(1);
    assert_non_null(e);
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    struct note first = {.item.run = run, .all = e, .started = &started, .go = &go, .nrun = &nrun};
    struct note second = {.item.run = run, .all = e, .nrun = &nrun}, third = second,
                fourth = second;

    assert_false(work_queue_remove(e, &first.item)); /* nothing waits */
    work_queue_add(e, &first.item);
    while (sem_wait(&started) < 0) {
    }
    work_queue_add(e, &second.item);
    work_queue_add(e, &third.item);
    work_queue_add(e, &fourth.item);
    assert_false(work_queue_remove(e, &first.item)); /* it runs */
    assert_true(work_queue_remove(e, &third.item));
    assert_false(work_queue_remove(e, &third.item));
    sem_post(&go);
    work_queue_free(e); /* runs what waits */
    assert_int_equal(first.number, 1);
    assert_false(first.ending);
    assert_int_equal(second.number, 2);
    assert_int_equal(third.number, 0);
    assert_int_equal(fourth.number, 3);
    sem_destroy(&started);
    sem_destroy(&go);
    work_queue_free(NULL);
}

struct pause {
    struct work_item item; /* the first member */
    struct work_queue *all;
    sem_t *started;
    int64_t ns;
    bool whole;
};

static void pause_once(struct work_item *item)
{
    struct pause *p = (struct pause *)item;

    sem_post(p->started);
    p->whole = work_queue_pause(p->all, p->ns);
}

/* An hour, but for the end of the queue. Others run meanwhile. */
static void test_pause(void **state)
{
    sem_t started;
    int nrun = 0;
    struct work_queue *e = work_queue_new(2);

    (void)state;
    assert_non_null(e);
    sem_init(&started, 0, 0);
    struct pause hour = {
        .item.run = pause_once, .all = e, .started = &started, .ns = INT64_C(3600000000000)};
    struct pause moment = {.item.run = pause_once, .all = e, .started = &started, .ns = 1};
    struct note other = {.item.run = run, .all = e, .nrun = &nrun};

    work_queue_add(e, &hour.item);
    work_queue_add(e, &moment.item);
    work_queue_add(e, &other.item);
    for (int i = 0; i < 2; i++)
        while (sem_wait(&started) < 0) {
        }
    work_queue_free(e);
    assert_false(hour.whole);
    assert_int_equal(other.number, 1);
    sem_destroy(&started);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_removal),
                                       cmocka_unit_test(test_pause)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
