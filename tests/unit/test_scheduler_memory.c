/* SPDX-License-Identifier: MIT
 *
 * The scheduler where results stay in memory and memory is short: tasks wait for room, none of them
 * for ever, and what is in use stays below twice the limit.
 */
#include "scheduler_world.h"

static void waits_for_room_that_a_reader_has(void **state)
{
    struct world *w = world_new(2, 100);
    struct told j = {0};

    (void)state;
    assert_true(budget_take(w->budget, 100));
    budget_force(w->budget, 1);
    SUBMIT(w, &j, {"image", NULL, 1, 20, 80});
    wait_started(w, "image", 1); /* without room */
    budget_give(w->budget, 101);
    assert_result(&j, "image");
    assert_int_equal(starts(w, "image"), 2);
    world_free(w);
}

/* One job's results are in the way of another one's, each of whose tasks needs more than is left. */
static void a_job_that_went_beyond_the_limit_ends(void **state)
{
    struct world *w = world_new(1, 220);
    struct told j = {0};

    (void)state;
    assert_true(budget_take(w->budget, 160)); /* of a reader who never gives it back */
    SUBMIT(w, &j, {"a", NULL, 1, 30, 60}, {"b", NULL, 1, 30, 60}, {"c", "a b", 1, 20, 60});
    assert_result(&j, "c(a b)");
    wait_idle(w);
    assert_true(w->used_max <= 2 * 220);
    budget_give(w->budget, 160);
    world_free(w);
}

/* While results of one job are in the way of another one's. */
static void goes_beyond_the_limit_once(void **state)
{
    struct world *w = world_new(1, 100);
    struct told j = {0};

    (void)state;
    assert_true(budget_take(w->budget, 90)); /* of a reader who never gives it back */
    SUBMIT(w, &j, {"image", NULL, 1, 20, 80});
    assert_result(&j, "image");
    wait_idle(w);
    budget_give(w->budget, 90);
    world_free(w);
}

static void says_at_once_that_one_job_alone_is_too_much(void **state)
{
    struct world *w = world_new(2, 150);
    struct told j = {0}, k = {0};

    (void)state;
    SUBMIT(w, &j, {"a", NULL, 1, 30, 60}, {"b", NULL, 1, 30, 60}, {"c", "a b", 1, 20, 60});
    assert_failed(&j, ENOMEM,
                  "c: its result needs 60 bytes of memory, and results that are in use leave too "
                  "little of 150 bytes");
    SUBMIT(w, &k, {"larger", NULL, 1, 20, 140});
    assert_failed(&k, ENOMEM, "larger: no room");
    world_free(w);
}

static void patience_with_readers_ends(void **state)
{
    struct world *w = world_with(1, 100, 1);
    struct told j = {0}, k = {0};

    (void)state;
    budget_force(w->budget, 101);
    SUBMIT(w, &j, {"image", NULL, 1, 20, 80});
    assert_failed(&j, ENOMEM,
                  "image: its result needs 80 bytes of memory, and results that are in use leave "
                  "too little of 100 bytes");
    SUBMIT(w, &k, {"small", NULL, 1, 20});
    assert_result(&k, "small");
    budget_give(w->budget, 101);
    world_free(w);
}

static void what_needs_no_room_goes_on(void **state)
{
    struct world *w = world_new(1, 100);
    struct told j = {0}, k = {0};

    (void)state;
    budget_force(w->budget, 101);
    SUBMIT(w, &j, {"image", NULL, 1, 20, 80});
    wait_started(w, "image", 1);
    SUBMIT(w, &k, {"small", NULL, 1, 20});
    assert_result(&k, "small");
    budget_give(w->budget, 101);
    assert_result(&j, "image");
    world_free(w);
}

static void a_wait_for_room_can_be_cancelled(void **state)
{
    struct world *w = world_new(1, 100);
    struct told j = {0};

    (void)state;
    budget_force(w->budget, 101);
    SUBMIT(w, &j, {"image", NULL, 1, 20, 80});
    wait_started(w, "image", 1);
    sched_cancel(w->sched, j.id);
    wait_told(&j);
    assert_int_equal(j.err.code, ECANCELED);
    wait_idle(w);
    budget_give(w->budget, 101);
    world_free(w);
}

/* Each fits alone; together they are ten times the limit. */
static void many_jobs_all_end(void **state)
{
    enum { NJOBS = 60 };
    static struct told j[NJOBS];
    struct world *w = world_new(4, 220);

    (void)state;
    memset(j, 0, sizeof j);
    for (int i = 0; i < NJOBS; i++) {
        char a[16], b[16], root[16], both[40];

        snprintf(a, sizeof a, "a%d", i);
        snprintf(b, sizeof b, "b%d", i);
        snprintf(root, sizeof root, "r%d", i);
        snprintf(both, sizeof both, "%s %s", a, b);
        SUBMIT(w, &j[i], {a, NULL, 1, 30, 60}, {b, NULL, 1, 30, 60}, {root, both, 1, 20, 60});
    }
    for (int i = 0; i < NJOBS; i++) {
        wait_told(&j[i]);
        assert_int_equal(j[i].err.code, 0);
    }
    wait_idle(w);
    assert_true(w->used_max <= 2 * 220);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_room_that_a_reader_has),
        cmocka_unit_test(goes_beyond_the_limit_once),
        cmocka_unit_test(a_job_that_went_beyond_the_limit_ends),
        cmocka_unit_test(says_at_once_that_one_job_alone_is_too_much),
        cmocka_unit_test(patience_with_readers_ends),
        cmocka_unit_test(what_needs_no_room_goes_on),
        cmocka_unit_test(a_wait_for_room_can_be_cancelled),
        cmocka_unit_test(many_jobs_all_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
