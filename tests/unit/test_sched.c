/* SPDX-License-Identifier: MIT
 *
 * The scheduler with make-believe tasks. A task's name says what it does: "hold..." waits until
 * the test lets go or it is told to stop, "stubborn..." does not listen to that (the first time),
 * "fail..." fails, "flaky..." fails the first time. A result is text: NAME or NAME(INPUTS).
 * Nothing sleeps: tests wait for what tasks and jobs report in struct world.
 */
#include "sched.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_STARTS = 4096 };

struct world {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool released;                 /* guarded by lock, as all that follows */
    char starts[MAX_STARTS][32];   /* names in the order in which they started */
    size_t nstarts, nstops;        /* nstops: those that saw that they were told to stop */
    size_t mem_now, mem_max;       /* of the tasks that run */
    unsigned ntold;                /* calls of `done`, of all jobs */
    struct budget *budget;
    struct sched *sched;
};

/* A job as the test sees it. */
struct told {
    struct world *world;
    uint64_t id;
    unsigned times; /* guarded by world->lock, as all that follows */
    char result[256];
    struct error err;
};

static size_t count_starts(const struct world *w, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < w->nstarts; i++)
        n += strcmp(w->starts[i], name) == 0;
    return n;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static struct blob *result_of(const struct task *t, struct blob *const *inputs)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    fputs(t->label, f);
    for (size_t i = 0; i < t->ndeps; i++) {
        char input[256];
        size_t n = (size_t) blob_nbytes(inputs[i]);
        assert_true(n < sizeof input);
        assert_int_equal(blob_read(inputs[i], 0, input, n, NULL), 0);
        fprintf(f, "%s%.*s%s", i ? " " : "(", (int) n, input, i + 1 == t->ndeps ? ")" : "");
    }
    fclose(f);
    return blob_from_memory(text, nbytes, NULL);
}

/* With the lock held: do what the name says. */
static int behave(struct world *w, const struct task *t, const struct task_control *ctl,
                  struct error *err)
{
    size_t nth = count_starts(w, t->label);

    if (starts_with(t->label, "hold")) {
        task_progress(ctl, t->work_nbytes / 2);
        while (!w->released && !task_cancelled(ctl))
            pthread_cond_wait(&w->changed, &w->lock);
    }
    while (starts_with(t->label, "stubborn") && nth == 1 && !w->released)
        pthread_cond_wait(&w->changed, &w->lock);
    if (task_cancelled(ctl)) {
        w->nstops++;
        return error_set(err, ECANCELED, "%s: stopped", t->label);
    }
    if (starts_with(t->label, "fail") || (starts_with(t->label, "flaky") && nth == 1))
        return error_set(err, EIO, "%s: is broken", t->label);
    return 0;
}

static int fake_run(void *ctx, const struct graph *g, const struct task *t,
                    struct blob *const *inputs, const struct task_control *ctl, struct blob **out,
                    struct error *err)
{
    struct world *w = ctx;

    assert_true(t >= g->tasks && t < g->tasks + g->ntasks);
    pthread_mutex_lock(&w->lock);
    if (w->nstarts < MAX_STARTS)
        snprintf(w->starts[w->nstarts++], sizeof w->starts[0], "%s", t->label);
    w->mem_now += t->mem_nbytes;
    w->mem_max = w->mem_now > w->mem_max ? w->mem_now : w->mem_max;
    pthread_cond_broadcast(&w->changed);
    int ret = behave(w, t, ctl, err);
    w->mem_now -= t->mem_nbytes;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (ret == 0)
        *out = result_of(t, inputs);
    return ret;
}

static void tell(void *arg, struct blob *result, const struct error *err)
{
    struct told *j = arg;

    pthread_mutex_lock(&j->world->lock);
    j->times++;
    j->world->ntold++;
    j->err = *err;
    if (result)
        assert_int_equal(blob_read(result, 0, j->result, (size_t) blob_nbytes(result), NULL), 0);
    assert_true((result != NULL) == (err->code == 0));
    pthread_cond_broadcast(&j->world->changed);
    pthread_mutex_unlock(&j->world->lock);
}

static struct world *world_new(unsigned nthreads, size_t limit_nbytes)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;

    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->budget = budget_new(limit_nbytes);
    assert_non_null(w->budget);
    struct sched_config config = {nthreads, w->budget, fake_run, w};
    assert_int_equal(sched_new(&config, &w->sched, &err), 0);
    return w;
}

static void world_free(struct world *w)
{
    sched_free(w->sched);
    assert_int_equal(budget_used(w->budget), 0);
    budget_free(w->budget);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Let all tasks that wait look around, and go on if `released`. */
static void world_poke(struct world *w, bool released)
{
    pthread_mutex_lock(&w->lock);
    w->released = released;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void wait_start(struct world *w, const char *name, size_t times)
{
    pthread_mutex_lock(&w->lock);
    while (count_starts(w, name) < times)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void wait_told(struct told *j)
{
    pthread_mutex_lock(&j->world->lock);
    while (j->times == 0)
        pthread_cond_wait(&j->world->changed, &j->world->lock);
    pthread_mutex_unlock(&j->world->lock);
}

/* How often `name` has started so far. */
static size_t starts(struct world *w, const char *name)
{
    pthread_mutex_lock(&w->lock);
    size_t n = count_starts(w, name);
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* Wait until nothing is queued and no worker is busy. */
static struct sched_stats wait_idle(struct world *w)
{
    struct sched_stats stats;
    do
        sched_stats(w->sched, &stats);
    while (stats.running + stats.queued + stats.jobs > 0);
    return stats;
}

struct spec {
    const char *name;
    const char *deps; /* names of earlier tasks, or NULL */
    uint64_t work_nbytes;
    size_t mem_nbytes;
};

static void add_deps(struct graph *g, struct task *t, const char *deps)
{
    char *copy = strdup(deps), *rest = copy, *name;
    while ((name = strsep(&rest, " ")) != NULL) {
        size_t i = 0;
        while (strcmp(g->tasks[i].label, name) != 0)
            i++;
        t->deps = realloc(t->deps, (t->ndeps + 1) * sizeof *t->deps);
        t->deps[t->ndeps++] = i;
    }
    free(copy);
}

static struct graph *graph_of(const struct spec *specs, size_t n)
{
    struct graph *g = calloc(1, sizeof *g);
    atomic_init(&g->refs, 1);
    g->tasks = calloc(n, sizeof *g->tasks);
    for (size_t i = 0; i < n; i++) {
        struct task *t = &g->tasks[i];
        g->ntasks = i;
        snprintf(t->key.hex, sizeof t->key.hex, "%-*s", KEY_HEX, specs[i].name);
        t->label = strdup(specs[i].name);
        t->work_nbytes = specs[i].work_nbytes;
        t->mem_nbytes = specs[i].mem_nbytes;
        if (specs[i].deps)
            add_deps(g, t, specs[i].deps);
    }
    g->ntasks = n;
    return g;
}

static void submit_with(struct world *w, struct told *j, sched_done_fn *done,
                        const struct spec *specs, size_t n)
{
    struct error err;
    struct graph *g = graph_of(specs, n);

    j->world = w;
    assert_int_equal(sched_submit(w->sched, g, done, j, &j->id, &err), 0);
    assert_true(j->id != 0);
    graph_put(g);
}

#define SUBMIT(world, job, ...)                                                                    \
    submit_with((world), (job), tell, (const struct spec[]){__VA_ARGS__},                          \
                sizeof((const struct spec[]){__VA_ARGS__}) / sizeof(struct spec))

static void assert_result(struct told *j, const char *want)
{
    wait_told(j);
    assert_int_equal(j->err.code, 0);
    assert_string_equal(j->result, want);
}

static void assert_failed(struct told *j, int code, const char *text)
{
    wait_told(j);
    assert_int_equal(j->err.code, code);
    assert_string_equal(j->err.text, text);
}

static void test_diamond(void **state)
{
    (void) state;
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
    (void) state;
    struct world *w = world_new(2, 1000);
    struct told j = {0};
    SUBMIT(w, &j, {"a"}, {"nobody", "a"}, {"b", "a"});
    assert_result(&j, "b(a)");
    assert_int_equal(wait_idle(w).tasks_done, 2);
    assert_int_equal(starts(w, "nobody"), 0);
    world_free(w);
}

static void test_fifty_jobs_one_flight(void **state)
{
    (void) state;
    struct world *w = world_new(4, 1000);
    struct told jobs[50] = {0};
    for (size_t i = 0; i < 50; i++)
        SUBMIT(w, &jobs[i], {"hold-a"}, {"b", "hold-a"});
    wait_start(w, "hold-a", 1);
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
    (void) state;
    struct world *w = world_new(3, 1000);
    struct told j1 = {0}, j2 = {0}, j3 = {0};
    SUBMIT(w, &j1, {"hold-a"}, {"x"}, {"mean", "hold-a x"});
    SUBMIT(w, &j2, {"hold-a"}, {"std", "hold-a"});
    SUBMIT(w, &j3, {"hold-a"}); /* another job's dependency as root */
    wait_start(w, "hold-a", 1);
    world_poke(w, true);
    assert_result(&j1, "mean(hold-a x)");
    assert_result(&j2, "std(hold-a)");
    assert_result(&j3, "hold-a");
    assert_int_equal(starts(w, "hold-a"), 1);
    world_free(w);
}

static void test_failure_reaches_every_job(void **state)
{
    (void) state;
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

static void test_failure_stops_what_nobody_else_needs(void **state)
{
    (void) state;
    struct world *w = world_new(3, 1000);
    struct told j1 = {0}, j2 = {0};
    SUBMIT(w, &j2, {"hold-shared"}, {"other", "hold-shared"});
    wait_start(w, "hold-shared", 1);
    SUBMIT(w, &j1, {"hold-shared"}, {"hold-own"}, {"fail", "hold-shared"},
           {"root", "hold-own fail"});
    wait_start(w, "hold-own", 1);
    SUBMIT(w, &(struct told){0}, {"fail-now"});
    world_poke(w, true);
    assert_failed(&j1, EIO, "fail: is broken");
    assert_result(&j2, "other(hold-shared)");
    wait_idle(w);
    assert_int_equal(starts(w, "root"), 0);
    world_free(w);
}
