/* SPDX-License-Identifier: MIT
 *
 * The scheduler under stress: several threads submit and cancel jobs over one fixed family of
 * tasks, some of which fail. What must hold whatever the order of events: every job is told
 * exactly once, with the right result or a reason that can be; a key never runs twice at a time,
 * but where the first run has been told to stop; the memory ceiling holds; nothing is left over.
 */
#include "scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    NTASKS = 40,
    NLEAVES = 10,
    NDEPS = 3,
    NTHREADS = 4,
    NCLIENTS = 3,
    NROUNDS = 500,
    NOPEN = 16
};
enum { LIMIT_NBYTES = 100 };

/* On threads where cmocka's assertions cannot be used. */
#define MUST(condition) ((condition) ? (void)0 : abort())

struct world {
    struct sched *sched;
    struct budget *budget;
    size_t deps[NTASKS][NDEPS];
    uint64_t want[NTASKS];
    pthread_mutex_t lock;
    const struct task_control *running[NTASKS]; /* guarded by lock */
    uint64_t random;                            /* guarded by lock */
    atomic_uint nresults, nfailures, ncancelled;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t combine(size_t task, const uint64_t *inputs, size_t ninputs)
{
    uint64_t value = task + 1;
    for (size_t i = 0; i < ninputs; i++)
        value = (value ^ inputs[i]) * 0x9e3779b97f4a7c15u;
    return value;
}

static void make_family(struct world *w)
{
    uint64_t random = 42;
    for (size_t i = 0; i < NTASKS; i++) {
        uint64_t inputs[NDEPS];
        for (size_t d = 0; i >= NLEAVES && d < NDEPS; d++) {
            size_t low = i - NLEAVES;
            w->deps[i][d] = low + next_random(&random) % NLEAVES;
            inputs[d] = w->want[w->deps[i][d]];
        }
        w->want[i] = combine(i, inputs, i >= NLEAVES ? NDEPS : 0);
    }
}

/* All tasks up to `root`; the scheduler leaves out what the root does not need. */
static struct graph *graph_to(const struct world *w, size_t root)
{
    struct graph *g = calloc(1, sizeof *g);
    atomic_init(&g->refs, 1);
    g->ntasks = root + 1;
    g->tasks = calloc(g->ntasks, sizeof *g->tasks);
    for (size_t i = 0; i <= root; i++) {
        struct task *t = &g->tasks[i];
        snprintf(t->key.hex, sizeof t->key.hex, "%040zu", i);
        t->label = strdup(t->key.hex);
        t->work_nbytes = i % 7;
        t->mem_nbytes = i * 17 % 60;
        if (i < NLEAVES)
            continue;
        t->ndeps = NDEPS;
        t->deps = malloc(sizeof w->deps[i]);
        memcpy(t->deps, w->deps[i], sizeof w->deps[i]);
    }
    return g;
}

static int finish(struct world *w, size_t i, const struct task_control *ctl, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    if (w->running[i] == ctl)
        w->running[i] = NULL;
    bool fails = next_random(&w->random) % 64 == 0;
    pthread_mutex_unlock(&w->lock);
    if (task_cancelled(ctl))
        return error_set(err, ECANCELED, "stopped");
    return fails ? error_set(err, EIO, "broken") : 0;
}

static int run(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
               const struct task_control *ctl, struct blob **out, struct error *err)
{
    struct world *w = ctx;
    size_t i = (size_t)(t - g->tasks);
    uint64_t values[NDEPS];

    MUST(budget_used(w->budget) <= LIMIT_NBYTES);
    pthread_mutex_lock(&w->lock);
    MUST(!w->running[i] || task_cancelled(w->running[i]));
    w->running[i] = ctl;
    pthread_mutex_unlock(&w->lock);

    for (size_t d = 0; d < t->ndeps; d++)
        MUST(blob_read(inputs[d], 0, &values[d], sizeof values[d], NULL) == 0);
    uint64_t *value = malloc(sizeof *value);
    MUST(value != NULL);
    *value = combine(i, values, t->ndeps);
    task_progress(ctl, t->work_nbytes);

    int ret = finish(w, i, ctl, err);
    if (ret < 0) {
        free(value);
        return ret;
    }
    *out = blob_from_memory(value, sizeof *value, NULL);
    return *out ? 0 : error_set(err, ENOMEM, "out of memory");
}

struct job {
    struct world *world;
    size_t root;
    uint64_t id;
    bool cancelled; /* of the client's thread, as is a call of `done` with ECANCELED */
    atomic_uint times;
    sem_t *open; /* the client's */
};

static void told(void *arg, struct blob *result, const struct error *err)
{
    struct job *j = arg;
    uint64_t value = 0;

    if (result) {
        MUST(blob_read(result, 0, &value, sizeof value, NULL) == 0);
        MUST(err->code == 0 && value == j->world->want[j->root]);
        atomic_fetch_add(&j->world->nresults, 1);
    } else if (err->code == EIO) {
        MUST(strcmp(err->text, "broken") == 0);
        atomic_fetch_add(&j->world->nfailures, 1);
    } else {
        /* Only sched_cancel() on this client's own thread ends a job so. */
        MUST(err->code == ECANCELED && j->cancelled);
        atomic_fetch_add(&j->world->ncancelled, 1);
    }
    atomic_fetch_add(&j->times, 1);
    sem_post(j->open);
}

struct client {
    struct world *world;
    uint64_t random;
    sem_t open; /* jobs that may yet be submitted before others are told */
    struct job jobs[NROUNDS];
};

static void look_around(struct sched *s, size_t root)
{
    struct sched_task_info *info;
    struct sched_stats stats;
    struct key key;
    uint64_t done, work;

    snprintf(key.hex, sizeof key.hex, "%040zu", root);
    sched_progress(s, &key, &done, &work);
    MUST(done <= work);
    sched_stats(s, &stats);
    MUST(stats.running <= NTHREADS);
    sched_snapshot(s, &info);
    free(info);
}

/* Submit a job a round, and often cancel one of the last few, told or not. */
static void *client_main(void *arg)
{
    struct client *c = arg;
    struct sched *s = c->world->sched;

    for (size_t round = 0; round < NROUNDS; round++) {
        struct job *j = &c->jobs[round];
        struct error err;
        sem_wait(&c->open); /* not too many at a time, or all would only be joined */
        j->open = &c->open;
        j->world = c->world;
        j->root = next_random(&c->random) % NTASKS;
        struct graph *g = graph_to(c->world, j->root);
        MUST(sched_submit(s, g, told, j, &j->id, &err) == 0);
        graph_put(g);
        if (next_random(&c->random) % 3 == 0) {
            size_t back = next_random(&c->random) % NOPEN;
            struct job *victim = &c->jobs[round > back ? round - back : 0];
            if (atomic_load(&victim->times) == 0) {
                victim->cancelled = true;
                sched_cancel(s, victim->id);
            }
        }
        if (round % 16 == 0)
            look_around(s, j->root);
    }
    return NULL;
}

static void run_clients(struct client *clients)
{
    pthread_t threads[NCLIENTS];
    for (size_t i = 0; i < NCLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
    for (size_t i = 0; i < NCLIENTS; i++) {
        pthread_join(threads[i], NULL);
        for (size_t open = 0; open < NOPEN; open++)
            sem_wait(&clients[i].open); /* all told */
    }
}

static void test_stress(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    struct client *clients = calloc(NCLIENTS, sizeof *clients);
    struct error err;
    assert_true(w && clients);
    make_family(w);
    w->random = 4711;
    w->budget = budget_new(LIMIT_NBYTES);
    pthread_mutex_init(&w->lock, NULL);
    struct sched_config config = {NTHREADS, w->budget, run, w, NULL, 0};
    assert_int_equal(sched_new(&config, &w->sched, &err), 0);
    for (size_t i = 0; i < NCLIENTS; i++) {
        clients[i].world = w;
        clients[i].random = 1 + i;
        sem_init(&clients[i].open, 0, NOPEN);
    }

    run_clients(clients);
    sched_free(w->sched);

    for (size_t i = 0; i < NCLIENTS; i++) {
        for (size_t round = 0; round < NROUNDS; round++)
            assert_int_equal(clients[i].jobs[round].times, 1);
        sem_destroy(&clients[i].open);
    }
    assert_int_equal(w->nresults + w->nfailures + w->ncancelled, NCLIENTS * NROUNDS);
    assert_true(w->nresults > 0 && w->nfailures > 0 && w->ncancelled > 0);
    assert_int_equal(budget_used(w->budget), 0);
    budget_free(w->budget);
    pthread_mutex_destroy(&w->lock);
    free(clients);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stress)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
