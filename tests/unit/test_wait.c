/* SPDX-License-Identifier: MIT
 *
 * The rules of wait.h, with a kind of wait that runs a make-believe task (scheduler_world.h).
 */
#include "scheduler_world.h"

#include <semaphore.h>

#include "wait_private.h"

/* What the owner of a wait, and the test, see of it. */
struct seen {
    struct world *world;
    struct wait *wait;
    bool puts;        /* the owner gives up its reference in `done` */
    sem_t done_sem;   /* posted by `done` */
    int code;         /* of `done`; 0: success */
    pthread_t thread; /* of `done` */
    atomic_int ndone, nending, nfreed;
};

/* A wait for the tasks `name`, and `then` if that is not NULL, one job after the other. */
struct task_wait {
    struct wait wait; /* the first member */
    struct seen *seen;
    const char *name, *then;
    sem_t *entered, *go; /* NULL: start(), or with `then` the first job's end, does not wait */
};

static void pass(sem_t *entered, sem_t *go)
{
    if (!entered)
        return;
    sem_post(entered);
    while (sem_wait(go) < 0) {
    }
}

static void job_done(void *arg, struct blob *result, const struct error *err);

static void submit(struct task_wait *w, const char *name)
{
    struct spec spec = {.name = name};
    struct graph *g = graph_of(&spec, 1);
    struct error err;

    if (wait_submit(&w->wait, w->seen->world->sched, g, job_done, &err) < 0)
        wait_end(&w->wait, &err);
    graph_put(g);
}

static void job_done(void *arg, struct blob *result, const struct error *err)
{
    struct task_wait *w = arg;
    const char *then = w->then;

    if (!then || !result) {
        wait_end(&w->wait, result ? NULL : err);
        return;
    }
    w->then = NULL;
    pass(w->entered, w->go);
    submit(w, then);
}

static void start(struct wait *wait)
{
    struct task_wait *w = (struct task_wait *)wait;

    if (!w->then)
        pass(w->entered, w->go);
    if (w->name)
        submit(w, w->name);
    else
        wait_end(wait, NULL); /* it is there already */
}

static void ending(struct wait *wait)
{
    struct task_wait *w = (struct task_wait *)wait;

    MUST(w->seen->ndone == 0);
    w->seen->nending++;
}

static void free_wait(struct wait *wait)
{
    struct task_wait *w = (struct task_wait *)wait;

    w->seen->nfreed++;
    free(w);
}

static const struct wait_kind kind = {.start = start, .ending = ending, .free = free_wait};

static struct task_wait *new_wait(struct world *world, struct seen *seen, const char *name)
{
    struct task_wait *w = calloc(1, sizeof *w);

    assert_non_null(w);
    *seen = (struct seen){.world = world, .wait = &w->wait, .code = -1};
    sem_init(&seen->done_sem, 0, 0);
    wait_init(&w->wait, &kind);
    w->seen = seen;
    w->name = name;
    return w;
}

static void done(void *arg, struct wait *w, const struct error *err)
{
    struct seen *seen = arg;

    MUST(w == seen->wait);
    MUST(seen->nfreed == 0);
    seen->ndone++;
    seen->code = err ? err->code : 0;
    seen->thread = pthread_self();
    if (seen->puts)
        wait_put(w);
    world_poke(seen->world, false); /* a task that holds looks whether it is to stop */
    sem_post(&seen->done_sem);
}

static void wait_done(struct seen *seen)
{
    while (sem_wait(&seen->done_sem) < 0) {
    }
}

static void assert_over(const struct seen *seen, int code)
{
    assert_int_equal(seen->ndone, 1);
    assert_int_equal(seen->nending, 1);
    assert_int_equal(seen->code, code);
}

/* wait_cancel() by another thread. */
static void *cancel_it(void *arg)
{
    struct seen *seen = arg;

    wait_cancel(seen->wait);
    return NULL;
}

static void test_never_started(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen seen;

    (void)state;
    new_wait(world, &seen, "a");
    wait_cancel(seen.wait);
    wait_put(seen.wait);
    assert_int_equal(seen.ndone, 0);
    assert_int_equal(seen.nfreed, 1);
    assert_int_equal(starts(world, "a"), 0);
    world_free(world);
}

static void test_done_before_start_returns(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen seen;

    (void)state;
    new_wait(world, &seen, NULL);
    wait_start(seen.wait, done, &seen);
    assert_over(&seen, 0);
    assert_int_equal(seen.nfreed, 0);
    wait_cancel(seen.wait); /* too late */
    assert_over(&seen, 0);
    wait_put(seen.wait);
    assert_int_equal(seen.nfreed, 1);
    world_free(world);
}

static void test_put_in_done(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen at_once, later;

    (void)state;
    new_wait(world, &at_once, NULL);
    at_once.puts = true;
    wait_start(at_once.wait, done, &at_once);
    assert_over(&at_once, 0);
    assert_int_equal(at_once.nfreed, 1);

    new_wait(world, &later, "hold");
    later.puts = true;
    wait_start(later.wait, done, &later);
    wait_cancel(later.wait);
    assert_over(&later, ECANCELED);
    assert_int_equal(later.nfreed, 1);
    world_free(world);
}

static void test_success_and_failure(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen well, broken;

    (void)state;
    new_wait(world, &well, "a")->then = "b";
    wait_start(well.wait, done, &well);
    wait_done(&well);
    assert_over(&well, 0);
    assert_int_equal(starts(world, "b"), 1);
    wait_put(well.wait);

    new_wait(world, &broken, "fail")->then = "c";
    wait_start(broken.wait, done, &broken);
    wait_done(&broken);
    assert_over(&broken, EIO);
    assert_int_equal(starts(world, "c"), 0);
    wait_put(broken.wait);
    world_free(world);
    assert_int_equal(well.nfreed, 1);
    assert_int_equal(broken.nfreed, 1);
}

static void test_cancel_before_start(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen seen;

    (void)state;
    new_wait(world, &seen, "a");
    wait_cancel(seen.wait);
    assert_int_equal(seen.ndone, 0);
    wait_start(seen.wait, done, &seen);
    assert_over(&seen, ECANCELED);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    wait_put(seen.wait);
    assert_int_equal(seen.nfreed, 1);
    assert_int_equal(starts(world, "a"), 0);
    world_free(world);
}

static void *start_it(void *arg)
{
    struct seen *seen = arg;

    wait_start(seen->wait, done, seen);
    MUST(seen->ndone == 1);
    return NULL;
}

static void test_cancel_while_it_starts(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen seen;
    struct task_wait *w = new_wait(world, &seen, "a");
    pthread_t thread;
    sem_t entered, go;

    (void)state;
    sem_init(&entered, 0, 0);
    sem_init(&go, 0, 0);
    w->entered = &entered;
    w->go = &go;
    assert_int_equal(pthread_create(&thread, NULL, start_it, &seen), 0);
    while (sem_wait(&entered) < 0) {
    }
    wait_cancel(seen.wait); /* leaves it to wait_start() */
    assert_int_equal(seen.ndone, 0);
    sem_post(&go);
    pthread_join(thread, NULL);
    assert_over(&seen, ECANCELED);
    wait_put(seen.wait);
    assert_int_equal(seen.nfreed, 1);
    assert_int_equal(starts(world, "a"), 0);
    world_free(world);
}

static void test_last_one_stops_the_task(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen first, second;

    (void)state;
    new_wait(world, &first, "hold");
    new_wait(world, &second, "hold");
    wait_start(first.wait, done, &first);
    wait_start(second.wait, done, &second);
    wait_started(world, "hold", 1);
    wait_cancel(first.wait);
    assert_over(&first, ECANCELED);
    assert_true(pthread_equal(first.thread, pthread_self()));
    assert_int_equal(second.ndone, 0);
    wait_cancel(second.wait);
    wait_cancel(second.wait);
    assert_over(&second, ECANCELED);
    wait_stops(world, 1);
    wait_put(first.wait);
    wait_put(second.wait);
    assert_int_equal(starts(world, "hold"), 1);
    world_free(world);
    assert_int_equal(first.nfreed, 1);
    assert_int_equal(second.nfreed, 1);
}

/* The owner is called at once, though a thread is in the middle of the work. */
static void test_cancel_between_two_jobs(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen seen;
    struct task_wait *w = new_wait(world, &seen, "a");
    sem_t entered, go;

    (void)state;
    sem_init(&entered, 0, 0);
    sem_init(&go, 0, 0);
    w->then = "b";
    w->entered = &entered;
    w->go = &go;
    wait_start(seen.wait, done, &seen);
    while (sem_wait(&entered) < 0) {
    }
    wait_cancel(seen.wait);
    assert_over(&seen, ECANCELED);
    wait_put(seen.wait);
    assert_int_equal(seen.nfreed, 0); /* the work is still under way */
    sem_post(&go);
    world_free(world);
    assert_over(&seen, ECANCELED);
    assert_int_equal(seen.nfreed, 1);
}

static void test_cancel_races_done(void **state)
{
    struct world *world = world_new(2, 1000);

    (void)state;
    for (int i = 0; i < 300; i++) {
        struct seen seen;
        pthread_t thread;

        new_wait(world, &seen, i % 2 ? "a" : NULL)->then = i % 3 ? NULL : "b";
        seen.puts = i % 5 == 0;
        wait_get(seen.wait); /* the canceller's */
        assert_int_equal(pthread_create(&thread, NULL, cancel_it, &seen), 0);
        wait_start(seen.wait, done, &seen);
        pthread_join(thread, NULL);
        wait_done(&seen);
        wait_put(seen.wait);
        if (!seen.puts)
            wait_put(seen.wait);
        while (seen.nfreed == 0) /* by a worker, just now */
            sched_yield();
        assert_int_equal(seen.ndone, 1);
        assert_int_equal(seen.nending, 1);
        assert_int_equal(seen.nfreed, 1);
        assert_true(seen.code == 0 || seen.code == ECANCELED);
    }
    world_free(world);
}

static void test_the_scheduler_stops(void **state)
{
    struct world *world = world_new(1, 1000);
    struct seen running, late;

    (void)state;
    new_wait(world, &running, "hold");
    new_wait(world, &late, "a");
    wait_start(running.wait, done, &running);
    sched_stop(world->sched);
    assert_over(&running, ECANCELED);
    wait_start(late.wait, done, &late);
    assert_over(&late, ECANCELED);
    wait_put(running.wait);
    wait_put(late.wait);
    assert_int_equal(running.nfreed, 1);
    assert_int_equal(late.nfreed, 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_done_before_start_returns),
        cmocka_unit_test(test_put_in_done),
        cmocka_unit_test(test_success_and_failure),
        cmocka_unit_test(test_cancel_before_start),
        cmocka_unit_test(test_cancel_while_it_starts),
        cmocka_unit_test(test_last_one_stops_the_task),
        cmocka_unit_test(test_cancel_between_two_jobs),
        cmocka_unit_test(test_cancel_races_done),
        cmocka_unit_test(test_the_scheduler_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
