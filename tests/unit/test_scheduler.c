/* SPDX-License-Identifier: MIT
 *
 * The scheduler with make-believe tasks: scheduler_world.h tells what they are and do.
 */
#include "scheduler_world.h"

static void test_diamond(void **state)
{
    (void)state;
    for (unsigned nthreads = 1; nthreads <= 8; nthreads *= 2) {
        struct world *w = world_new(nthreads, 1000);
        struct told j = {0};
        SUBMIT(w, &j, {"a"}, {"b", "a"}, {"c", "a"}, {"d", "c b a"});
        assert_result(&j, "d(c(a) b(a) a)");
        struct sched_stats stats = wait_idle(w);
        assert_int_equal(stats.tasks_done, 4);
        assert_int_equal(starts(w, "a"), 1);
        assert_int_equal(j.times, 1);
        world_free(w);
    }
}

static void test_unreachable_tasks_are_left_out(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told j = {0};
    SUBMIT(w, &j, {"a"}, {"nobody", "a"}, {"b", "a"});
    assert_result(&j, "b(a)");
    assert_int_equal(wait_idle(w).tasks_done, 2);
    assert_int_equal(starts(w, "nobody"), 0);
    world_free(w);
}

static bool is_b(void *ctx, const struct key *key)
{
    (void)ctx;
    return key->hex[0] == 'b';
}

/* A task whose result is in the cache is asked for it, and what it depends on does not run, unless
 * somebody else needs that. */
static void test_cut_graphs(void **state)
{
    (void)state;
    static const struct spec specs[] = {{"x"}, {"a", "x"}, {"b", "a"}, {"c", "b"}, {"d", "c x"}};
    struct world *w = world_new(2, 1000);
    struct graph *whole = graph_of(specs, 5), *cut = graph_cut(whole, is_b, NULL);
    struct told j1 = {.world = w}, j2 = {.world = w};
    struct error err;
    assert_int_equal(sched_submit(w->sched, cut, tell, &j1, &j1.id, &err), 0);
    assert_result(&j1, "d(c(b) x)");
    assert_int_equal(starts(w, "a"), 0);
    assert_int_equal(wait_idle(w).tasks_done, 4);
    assert_int_equal(sched_submit(w->sched, whole, tell, &j2, &j2.id, &err), 0);
    graph_put(whole);
    graph_put(cut);
    assert_result(&j2, "d(c(b(a(x))) x)");
    assert_int_equal(starts(w, "a"), 1);
    world_free(w);
}

static void test_fifty_jobs_one_flight(void **state)
{
    (void)state;
    struct world *w = world_new(4, 1000);
    struct told jobs[50] = {0};
    for (size_t i = 0; i < 50; i++)
        SUBMIT(w, &jobs[i], {"hold-a"}, {"b", "hold-a"});
    wait_started(w, "hold-a", 1);
    struct sched_task_info *info;
    assert_int_equal(sched_snapshot(w->sched, &info), 2);
    assert_int_equal(info[0].waiters, 50);
    free(info);
    world_poke(w, true);
    for (size_t i = 0; i < 50; i++)
        assert_result(&jobs[i], "b(hold-a)");
    assert_int_equal(wait_idle(w).tasks_joined, 49);
    assert_int_equal(starts(w, "hold-a"), 1);
    assert_int_equal(starts(w, "b"), 1);
    assert_int_equal(w->ntold, 50);
    world_free(w);
}

static void test_two_roots_share_a_dependency(void **state)
{
    (void)state;
    struct world *w = world_new(3, 1000);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold-a"}, {"x"}, {"mean", "hold-a x"});
    SUBMIT(w, &j2, {"hold-a"}, {"std", "hold-a"});
    SUBMIT(w, &j3, {"hold-a"}); /* another job's dependency as root */
    wait_started(w, "hold-a", 1);
    world_poke(w, true);
    assert_result(&j1, "mean(hold-a x)");
    assert_result(&j2, "std(hold-a)");
    assert_result(&j3, "hold-a");
    assert_int_equal(starts(w, "hold-a"), 1);
    world_free(w);
}

static void test_failure_reaches_every_job(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    /* Both edges and both ways up of unequal length lead from the failing task to "d". */
    SUBMIT(w, &j1, {"fail-a", NULL, 9}, {"z"}, {"b", "fail-a"}, {"c", "b z"}, {"d", "fail-a c"});
    SUBMIT(w, &j2, {"fail-a", NULL, 9}, {"e", "fail-a"});
    SUBMIT(w, &j3, {"well"});
    assert_failed(&j1, EIO, "fail-a: is broken");
    assert_result(&j3, "well");
    wait_told(&j2); /* told together with j1, or after a run of its own */
    assert_string_equal(j2.err.text, "fail-a: is broken");
    assert_int_equal(starts(w, "b") + starts(w, "c") + starts(w, "d") + starts(w, "e"), 0);
    assert_int_equal(starts(w, "z"), 0); /* smaller than fail-a: still queued when that failed */
    world_free(w);
}

/* Of three dependencies one fails; one goes on for another job's sake, one is told to stop. */
static void test_failure_stops_what_nobody_else_needs(void **state)
{
    (void)state;
    struct world *w = world_new(3, 1000);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j2, {"hold-shared"}, {"other", "hold-shared"});
    SUBMIT(w, &j1, {"hold-shared"}, {"hold-own", NULL, 9}, {"fail"},
           {"root", "hold-shared hold-own fail"});
    assert_failed(&j1, EIO, "fail: is broken");
    world_poke(w, false);
    wait_stops(w, 1);
    assert_int_equal(starts(w, "hold-own"), 1);
    assert_int_equal(j2.times, 0);
    world_poke(w, true);
    assert_result(&j2, "other(hold-shared)");
    struct sched_stats stats = wait_idle(w);
    assert_int_equal(stats.tasks_failed, 2); /* fail and root */
    assert_int_equal(stats.tasks_cancelled, 1);
    assert_int_equal(stats.tasks_done, 2);
    world_free(w);
}

static void test_failure_is_forgotten(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j1, {"flaky"}, {"a", "flaky"});
    assert_failed(&j1, EIO, "flaky: is broken");
    SUBMIT(w, &j2, {"flaky"}, {"a", "flaky"});
    assert_result(&j2, "a(flaky)");
    world_free(w);
}

static void test_cancel_queued(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j1, {"hold"});
    wait_started(w, "hold", 1);
    SUBMIT(w, &j2, {"a"}, {"b"}, {"c", "a b"});
    sched_cancel(w->sched, j2.id);
    assert_int_equal(j2.times, 1); /* told before sched_cancel() returned */
    assert_failed(&j2, ECANCELED, "c: cancelled");
    world_poke(w, true);
    assert_result(&j1, "hold");
    assert_int_equal(wait_idle(w).tasks_cancelled, 3);
    assert_int_equal(w->nstarts, 1);
    world_free(w);
}

static void test_cancel_running(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told j = {0};
    SUBMIT(w, &j, {"hold-a"}, {"b", "hold-a"});
    wait_started(w, "hold-a", 1);
    sched_cancel(w->sched, j.id);
    assert_int_equal(j.err.code, ECANCELED);
    world_poke(w, false); /* only what is told to stop goes on now */
    wait_stops(w, 1);
    wait_idle(w);
    sched_cancel(w->sched, j.id);
    sched_cancel(w->sched, 12345);
    assert_int_equal(j.times, 1);
    assert_int_equal(starts(w, "b"), 0);
    world_free(w);
}

static void test_cancel_leaves_what_others_need(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold-a"}, {"b", "hold-a"});
    SUBMIT(w, &j2, {"hold-a"}, {"b", "hold-a"});
    SUBMIT(w, &j3, {"hold-a"}, {"c", "hold-a"});
    wait_started(w, "hold-a", 1);
    sched_cancel(w->sched, j1.id); /* the job that brought the tasks */
    sched_cancel(w->sched, j3.id);
    world_poke(w, false);
    assert_int_equal(j2.times, 0);
    world_poke(w, true);
    assert_result(&j2, "b(hold-a)");
    assert_int_equal(wait_idle(w).tasks_cancelled, 1); /* c */
    assert_int_equal(w->nstops, 0);
    world_free(w);
}

/* A job must not be given to a task that is being stopped: it starts anew at once. */
static void test_join_after_cancel(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told j1 = {0}, j2 = {0};
    uint64_t done, work;
    struct key key;
    SUBMIT(w, &j1, {"stubborn"});
    wait_started(w, "stubborn", 1);
    snprintf(key.hex, sizeof key.hex, "%-*s", KEY_HEX, "stubborn");
    assert_true(sched_progress(w->sched, &key, &done, &work));
    sched_cancel(w->sched, j1.id);
    assert_false(sched_progress(w->sched, &key, &done, &work));
    SUBMIT(w, &j2, {"stubborn"}, {"a", "stubborn"});
    assert_result(&j2, "a(stubborn)"); /* while the first one still hangs */
    assert_int_equal(starts(w, "stubborn"), 2);
    world_poke(w, true);
    wait_stops(w, 1);
    struct sched_stats stats = wait_idle(w);
    assert_int_equal(stats.tasks_cancelled, 1);
    assert_int_equal(stats.tasks_done, 2);
    assert_int_equal(j1.times + j2.times, 2);
    world_free(w);
}

static void test_budget_bounds_what_runs(void **state)
{
    (void)state;
    struct world *w = world_new(4, 100);
    struct told jobs[10] = {0};
    for (size_t i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "hold-%zu", i);
        SUBMIT(w, &jobs[i], {name, NULL, 0, 40});
    }
    wait_started(w, "hold-0", 1);
    wait_started(w, "hold-1", 1); /* two fit */
    assert_int_equal(budget_used(w->budget), 80);
    world_poke(w, true);
    for (size_t i = 0; i < 10; i++)
        wait_told(&jobs[i]);
    assert_int_equal(w->mem_max, 80);
    world_free(w);
}

struct ear {
    struct budget_listener listener;
    atomic_bool told;
};

static void hear(struct budget_listener *listener)
{
    atomic_store(&((struct ear *)listener)->told, true);
}

/* What others hold and give back lets a waiting task start, while another one runs on. */
static void test_memory_given_back_wakes(void **state)
{
    (void)state;
    struct world *w = world_new(2, 100);
    struct told held = {0}, small = {0};
    struct ear ear = {.listener.given = hear};

    budget_listen(w->budget, &ear.listener);
    assert_true(budget_take(w->budget, 50));
    SUBMIT(w, &held, {"hold", NULL, 0, 40});
    wait_started(w, "hold", 1);
    SUBMIT(w, &small, {"small", NULL, 0, 40});
    while (!atomic_load(&ear.told)) /* until a worker has asked in vain */
        budget_give(w->budget, 0);
    assert_int_equal(starts(w, "small"), 0);
    budget_give(w->budget, 50);
    assert_result(&small, "small");
    assert_int_equal(held.times, 0);
    world_poke(w, true);
    wait_told(&held);
    budget_unlisten(w->budget, &ear.listener);
    world_free(w);
}

static void test_over_the_limit_is_enomem(void **state)
{
    (void)state;
    struct world *w = world_new(2, 100);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j1, {"a"}, {"big", NULL, 0, 101}, {"b", "a big"});
    SUBMIT(w, &j2, {"fits", NULL, 0, 100});
    assert_failed(&j1, ENOMEM,
                  "big: needs 101 bytes of memory, and the limit is 100 bytes: "
                  "raise the option memory");
    assert_result(&j2, "fits");
    assert_int_equal(starts(w, "big"), 0);
    world_free(w);
}

/* Memory may be held by results that are being read for as long as somebody likes. */
static void test_lone_task_starts_in_any_case(void **state)
{
    (void)state;
    struct world *w = world_new(2, 100);
    struct told j = {0};
    assert_true(budget_take(w->budget, 100));
    SUBMIT(w, &j, {"a", NULL, 0, 50}, {"b", NULL, 0, 60}, {"c", "a b"});
    assert_result(&j, "c(a b)");
    wait_idle(w);
    assert_int_equal(w->mem_max, 60); /* one after the other */
    assert_int_equal(budget_used(w->budget), 100);
    budget_give(w->budget, 100);
    world_free(w);
}

static void assert_order(const struct world *w, const char *const *names, size_t n)
{
    assert_int_equal(w->nstarts, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(w->starts[i], names[i]);
}

static void test_small_task_does_not_overtake(void **state)
{
    (void)state;
    struct world *w = world_new(2, 100);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold", NULL, 0, 60});
    wait_started(w, "hold", 1);
    SUBMIT(w, &j2, {"large", NULL, 0, 100});
    SUBMIT(w, &j3, {"small", NULL, 0, 10});
    world_poke(w, true);
    wait_told(&j1);
    wait_told(&j2);
    wait_told(&j3);
    assert_order(w, (const char *const[]){"hold", "large", "small"}, 3);
    world_free(w);
}

/* When the head of the queue goes, what it held up must start. */
static void test_cancel_of_the_head_lets_others_start(void **state)
{
    (void)state;
    struct world *w = world_new(2, 100);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold", NULL, 0, 60});
    wait_started(w, "hold", 1);
    SUBMIT(w, &j2, {"large", NULL, 0, 100});
    SUBMIT(w, &j3, {"small", NULL, 0, 10});
    sched_cancel(w->sched, j2.id);
    assert_result(&j3, "small"); /* beside "hold" */
    world_poke(w, true);
    wait_told(&j1);
    world_free(w);
}

static void test_order_of_starting(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold"});
    wait_started(w, "hold", 1);
    SUBMIT(w, &j2, {"a10", NULL, 10}, {"a30", NULL, 30}, {"a20", NULL, 20}, {"b20", NULL, 20},
           {"first", "a10 a20 a30 b20"});
    SUBMIT(w, &j3, {"c99", NULL, 99}, {"a10", NULL, 10}, {"second", "c99 a10"});
    world_poke(w, true);
    wait_told(&j2);
    wait_told(&j3);
    assert_order(
        w, (const char *const[]){"hold", "a30", "a20", "b20", "a10", "first", "c99", "second"}, 8);
    world_free(w);
}

static void assert_progress(struct world *w, const char *name, uint64_t done, uint64_t work)
{
    struct key key;
    uint64_t got_done, got_work;
    snprintf(key.hex, sizeof key.hex, "%-*s", KEY_HEX, name);
    assert_true(sched_progress(w->sched, &key, &got_done, &got_work));
    assert_int_equal(got_done, done);
    assert_int_equal(got_work, work);
}

static void test_progress_and_snapshot(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j1, {"a", NULL, 200}, {"b", NULL, 150}, {"hold", NULL, 100}, {"mid", "hold", 50},
           {"root", "a mid b", 10});
    wait_started(w, "hold", 1); /* "a" and "b" are done; "hold" says at once that it is half done */
    assert_progress(w, "root", 400, 510);
    assert_progress(w, "hold", 50, 100);
    SUBMIT(w, &j2, {"hold", NULL, 100}, {"other", "hold", 1});

    struct sched_task_info *info;
    size_t n = sched_snapshot(w->sched, &info);
    assert_int_equal(n, 4);
    assert_string_equal(info[0].label, "hold");
    assert_true(info[0].running);
    assert_int_equal(info[0].waiters, 2);
    assert_int_equal(info[0].done_nbytes, 50);
    assert_string_equal(info[2].label, "root");
    assert_false(info[2].running);
    assert_int_equal(info[2].waiters, 1);
    free(info);

    struct sched_stats stats;
    sched_stats(w->sched, &stats);
    assert_int_equal(stats.running, 1);
    assert_int_equal(stats.queued, 3);
    assert_int_equal(stats.jobs, 2);
    world_poke(w, true);
    wait_told(&j1);
    wait_told(&j2);
    wait_idle(w);
    assert_int_equal(sched_snapshot(w->sched, &info), 0);
    assert_null(info);
    world_free(w);
}

/* A job that, when told, deals with others. */
struct chain {
    struct told told; /* first: `done` gets a pointer to it */
    struct told *next;
    uint64_t cancel_id;
};

/* Told of "a", it waits for the result of "b". */
static void tell_and_wait(void *arg, struct blob *result, const struct error *err)
{
    struct chain *c = arg;
    wait_told(c->next);
    tell(arg, result, err);
}

/* A worker that is busy telling jobs does not hold up what its result has made ready. */
static void test_slow_listener_holds_up_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told b = {0};
    struct chain c = {.next = &b};
    SUBMIT(w, &b, {"hold-a"}, {"b", "hold-a"});
    wait_started(w, "hold-a", 1);
    submit_with(w, &c.told, tell_and_wait, (const struct spec[]){{"hold-a"}}, 1);
    world_poke(w, true);
    assert_result(&c.told, "hold-a");
    assert_result(&b, "b(hold-a)");
    world_free(w);
}

static void tell_and_go_on(void *arg, struct blob *result, const struct error *err)
{
    struct chain *c = arg;
    sched_cancel(c->told.world->sched, c->cancel_id);
    SUBMIT(c->told.world, c->next, {"x"}, {"y", "x"});
    tell(arg, result, err);
}

static void test_submit_and_cancel_inside_done(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1000);
    struct told next = {0}, victim = {0};
    struct chain c = {.next = &next};
    SUBMIT(w, &victim, {"hold-first"}, {"hold-victim", "hold-first"});
    wait_started(w, "hold-first", 1);
    c.cancel_id = victim.id;
    submit_with(w, &c.told, tell_and_go_on, (const struct spec[]){{"fail"}}, 1);
    sched_cancel(w->sched, c.told.id); /* `done` runs on this thread */
    assert_int_equal(c.told.err.code, ECANCELED);
    assert_int_equal(victim.err.code, ECANCELED);
    world_poke(w, true);
    assert_result(&next, "y(x)");

    struct told last = {0}; /* and on a worker */
    struct chain c2 = {.next = &last};
    submit_with(w, &c2.told, tell_and_go_on, (const struct spec[]){{"a"}}, 1);
    assert_result(&c2.told, "a");
    assert_result(&last, "y(x)");
    world_free(w);
}

static void tell_and_try_again(void *arg, struct blob *result, const struct error *err)
{
    struct told *j = arg;
    struct graph *g = graph_of((const struct spec[]){{"late"}}, 1);
    struct error why;
    uint64_t id;
    MUST(sched_submit(j->world->sched, g, tell, j, &id, &why) == -ECANCELED);
    graph_put(g);
    tell(arg, result, err);
}

static void *poke_when_all_told(void *arg)
{
    struct world *w = arg;
    pthread_mutex_lock(&w->lock);
    while (w->ntold < 6)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void test_free_tells_everybody(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1000);
    struct told jobs[6] = {0};
    for (size_t i = 0; i < 5; i++)
        SUBMIT(w, &jobs[i], {"hold-a"}, {"hold-b"}, {"hold-c"}, {"root", "hold-a hold-b hold-c"});
    submit_with(w, &jobs[5], tell_and_try_again, (const struct spec[]){{"d"}}, 1);
    wait_started(w, "hold-b", 1);
    pthread_t waker;
    /* The tasks look for the order to stop only when poked, and sched_free() waits for them. */
    assert_int_equal(pthread_create(&waker, NULL, poke_when_all_told, w), 0);
    sched_free(w->sched);
    pthread_join(waker, NULL);
    w->sched = NULL;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(jobs[i].times, 1);
        assert_int_equal(jobs[i].err.code, ECANCELED);
    }
    assert_int_equal(w->nstops, 2);
    world_free(w);
}

static void test_no_threads_is_refused(void **state)
{
    (void)state;
    struct sched_config config = {0, NULL, fake_run, NULL};
    struct sched *s;
    struct error err;
    assert_int_equal(sched_new(&config, &s, &err), -EINVAL);
    sched_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diamond),
        cmocka_unit_test(test_unreachable_tasks_are_left_out),
        cmocka_unit_test(test_cut_graphs),
        cmocka_unit_test(test_fifty_jobs_one_flight),
        cmocka_unit_test(test_two_roots_share_a_dependency),
        cmocka_unit_test(test_failure_reaches_every_job),
        cmocka_unit_test(test_failure_stops_what_nobody_else_needs),
        cmocka_unit_test(test_failure_is_forgotten),
        cmocka_unit_test(test_cancel_queued),
        cmocka_unit_test(test_cancel_running),
        cmocka_unit_test(test_cancel_leaves_what_others_need),
        cmocka_unit_test(test_join_after_cancel),
        cmocka_unit_test(test_budget_bounds_what_runs),
        cmocka_unit_test(test_memory_given_back_wakes),
        cmocka_unit_test(test_over_the_limit_is_enomem),
        cmocka_unit_test(test_lone_task_starts_in_any_case),
        cmocka_unit_test(test_small_task_does_not_overtake),
        cmocka_unit_test(test_cancel_of_the_head_lets_others_start),
        cmocka_unit_test(test_order_of_starting),
        cmocka_unit_test(test_progress_and_snapshot),
        cmocka_unit_test(test_slow_listener_holds_up_nothing),
        cmocka_unit_test(test_submit_and_cancel_inside_done),
        cmocka_unit_test(test_free_tells_everybody),
        cmocka_unit_test(test_no_threads_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
