/* SPDX-License-Identifier: MIT
 *
 * Errands: in their order, taken back, and none left at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "errands.h"

struct note {
    struct errand errand; /* the first member */
    struct errands *all;
    sem_t *started, *go; /* NULL: it does not wait */
    int *nrun;
    int number; /* the how manieth it was; 0: it has not run */
    bool ending;
};

static void run(struct errand *errand)
{
    struct note *n = (struct note *)errand;

    n->ending = errands_ending(n->all);
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
    struct errands *e;
    struct error err;

    (void)state;
    assert_int_equal(errands_new(1, &e, &err), 0);
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    struct note first = {
        .errand.run = run, .all = e, .started = &started, .go = &go, .nrun = &nrun};
    struct note second = {.errand.run = run, .all = e, .nrun = &nrun}, third = second,
                fourth = second;

    assert_false(errands_remove(e, &first.errand)); /* nothing waits */
    errands_add(e, &first.errand);
    while (sem_wait(&started) < 0) {
    }
    errands_add(e, &second.errand);
    errands_add(e, &third.errand);
    errands_add(e, &fourth.errand);
    assert_false(errands_remove(e, &first.errand)); /* it runs */
    assert_true(errands_remove(e, &third.errand));
    assert_false(errands_remove(e, &third.errand));
    sem_post(&go);
    errands_free(e); /* runs what waits */
    assert_int_equal(first.number, 1);
    assert_false(first.ending);
    assert_int_equal(second.number, 2);
    assert_int_equal(third.number, 0);
    assert_int_equal(fourth.number, 3);
    sem_destroy(&started);
    sem_destroy(&go);
    errands_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_removal)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
