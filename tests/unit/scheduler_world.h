/* SPDX-License-Identifier: MIT
 *
 * A scheduler with make-believe tasks, for test_sched.c. A task's name says what it does: "hold..."
 * waits until the test lets go or it is told to stop, "stubborn..." does not listen to that (the
 * first time), "fail..." fails, "flaky..." fails the first time. A result is text: NAME or
 * NAME(INPUTS). Nothing sleeps: tests wait for what tasks and jobs report in struct world.
 */
#ifndef DERIVFS_TEST_SCHED_WORLD_H
#define DERIVFS_TEST_SCHED_WORLD_H

#include "scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A struct spec gives only what matters, and a test uses what it needs. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"

enum { MAX_STARTS = 64 };

/* On worker threads, where cmocka's assertions cannot be used. */
#define MUST(condition) ((condition) ? (void)0 : abort())

struct world {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool released;               /* guarded by lock, as all that follows */
    char starts[MAX_STARTS][32]; /* names in the order in which they started */
    size_t nstarts, nstops;      /* nstops: those that saw that they were told to stop */
    size_t mem_now, mem_max;     /* of the tasks that run */
    size_t used_max;             /* of the budget */
    unsigned ntold;              /* calls of `done`, of all jobs */
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

static struct blob *result_of(const struct world *w, const struct graph *g, const struct task *t,
                              struct blob *const *inputs)
{
    size_t ninputs = graph_need(g, t) == NEED_RUN ? t->ndeps : 0;
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    fputs(t->label, f);
    for (size_t i = 0; i < ninputs; i++) {
        char input[256];
        size_t n = (size_t)blob_nbytes(inputs[i]);
        MUST(n < sizeof input);
        MUST(blob_read(inputs[i], 0, input, n, NULL) == 0);
        fprintf(f, "%s%.*s%s", i ? " " : "(", (int)n, input, i + 1 == ninputs ? ")" : "");
    }
    fclose(f);
    if (t->result_nbytes == 0)
        return blob_from_memory(text, nbytes, NULL);
    text = realloc(text, t->result_nbytes); /* filled up with zeros, which a string ends at */
    memset(text + nbytes, 0, t->result_nbytes - nbytes);
    return blob_from_memory(text, t->result_nbytes, w->budget);
}

/* A task with a result_nbytes has its result in memory, as where the disk is full. */
static int take_result_memory(struct world *w, const struct task *t, const struct task_control *ctl,
                              struct error *err)
{
    if (t->result_nbytes == 0 || task_take_room(ctl, t->result_nbytes) ||
        budget_take(w->budget, t->result_nbytes))
        return 0;
    task_wants_room(ctl, t->result_nbytes);
    return error_set(err, ENOMEM, "%s: no room", t->label);
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

    MUST(t >= g->tasks && t < g->tasks + g->ntasks);
    pthread_mutex_lock(&w->lock);
    if (w->nstarts < MAX_STARTS)
        snprintf(w->starts[w->nstarts++], sizeof w->starts[0], "%s", t->label);
    w->mem_now += t->mem_nbytes;
    w->mem_max = w->mem_now > w->mem_max ? w->mem_now : w->mem_max;
    pthread_cond_broadcast(&w->changed);
    int ret = take_result_memory(w, t, ctl, err);
    if (ret == 0 && (ret = behave(w, t, ctl, err)) < 0)
        budget_give(w->budget, t->result_nbytes);
    w->used_max = budget_used(w->budget) > w->used_max ? budget_used(w->budget) : w->used_max;
    w->mem_now -= t->mem_nbytes;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (ret == 0)
        *out = result_of(w, g, t, inputs);
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
        MUST(blob_read(result, 0, j->result, (size_t)blob_nbytes(result), NULL) == 0);
    MUST((result != NULL) == (err->code == 0));
    pthread_cond_broadcast(&j->world->changed);
    pthread_mutex_unlock(&j->world->lock);
}

static struct world *world_with(unsigned nthreads, size_t limit_nbytes, int64_t patience_ns)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;

    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->budget = budget_new(limit_nbytes);
    assert_non_null(w->budget);
    struct sched_config config = {nthreads, w->budget, fake_run, w, NULL, patience_ns};
    assert_int_equal(sched_new(&config, &w->sched, &err), 0);
    return w;
}

static struct world *world_new(unsigned nthreads, size_t limit_nbytes)
{
    return world_with(nthreads, limit_nbytes, 0);
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

static void wait_started(struct world *w, const char *name, size_t times)
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

/* Wait until `n` tasks have seen that they were told to stop. */
static void wait_stops(struct world *w, size_t n)
{
    pthread_mutex_lock(&w->lock);
    while (w->nstops < n)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
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
    uint64_t result_nbytes; /* above 0: the result is in memory, and that large */
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
        t->result_nbytes = specs[i].result_nbytes;
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

#endif
