/* SPDX-License-Identifier: MIT
 *
 * Extra helpers: pieces that are offered run on workers without a task, in the order of the offers,
 * once each or not at all; tasks come first; and nothing is lost when tasks are cancelled and the
 * scheduler goes. Nothing sleeps: pieces and tasks wait at a gate until the test opens it.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monotonic.h"
#include "scheduler.h"

/* On worker threads, where cmocka's assertions cannot be used. */
#define MUST(condition) ((condition) ? (void)0 : abort())

enum { NPIECES = 40, LOG_MAX = 16 };

struct world {
    struct sched *sched;
    struct helper_pool *helpers;
    struct budget *budget;
    struct trace *trace;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;               /* the gate; guarded by lock, as all that follows */
    char began[LOG_MAX][32]; /* tasks and pieces, but for those of "split" */
    size_t nbegan, ntold, ncancelled;
    int64_t told_ns; /* the latest */
};

struct piece {
    struct helper_job job;
    struct world *w;
    const char *name; /* NULL: not for the list of what began */
    bool gated;
    unsigned nruns; /* guarded by w->lock, as are: */
    int64_t ran_ns;
    bool done;
};

static void begin(struct world *w, const char *name, bool gated, const struct task_control *ctl)
{
    pthread_mutex_lock(&w->lock);
    MUST(w->nbegan < LOG_MAX);
    snprintf(w->began[w->nbegan++], sizeof w->began[0], "%s", name);
    pthread_cond_broadcast(&w->changed);
    while (gated && !w->open && !(ctl && task_cancelled(ctl)))
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void run_piece(struct helper_job *job)
{
    struct piece *p = (struct piece *)job; /* its first field */

    if (p->name)
        begin(p->w, p->name, p->gated, NULL);
    pthread_mutex_lock(&p->w->lock);
    p->nruns++;
    p->ran_ns = monotonic_ns();
    p->done = true;
    pthread_cond_broadcast(&p->w->changed);
    pthread_mutex_unlock(&p->w->lock);
}

static void make_piece(struct world *w, struct piece *p, const char *name, bool gated)
{
    *p = (struct piece){.job = {.run = run_piece}, .w = w, .name = name, .gated = gated};
}

static void wait_done(struct piece *p)
{
    pthread_mutex_lock(&p->w->lock);
    while (!p->done)
        pthread_cond_wait(&p->w->changed, &p->w->lock);
    pthread_mutex_unlock(&p->w->lock);
}

/* What an owner does: offer all, then go through them in order. */
static void split(struct world *w, const struct task_control *ctl)
{
    struct piece *pieces = calloc(NPIECES, sizeof *pieces);

    MUST(pieces);
    for (size_t i = 0; i < NPIECES; i++) {
        make_piece(w, &pieces[i], NULL, false);
        w->helpers->offer(w->helpers, &pieces[i].job);
    }
    for (size_t i = 0; i < NPIECES; i++) {
        bool mine = w->helpers->take_back(w->helpers, &pieces[i].job);

        if (mine && !task_cancelled(ctl))
            run_piece(&pieces[i].job);
        if (!mine)
            wait_done(&pieces[i]);
        MUST(pieces[i].nruns == 1 || (mine && task_cancelled(ctl)));
    }
    free(pieces);
}

/* Leave a piece to somebody else. */
static void share(struct world *w)
{
    struct piece p;

    make_piece(w, &p, "shared", true);
    w->helpers->offer(w->helpers, &p.job);
    wait_done(&p);
}

static int run_task(void *ctx, const struct graph *g, const struct task *t,
                    struct blob *const *inputs, const struct task_control *ctl, struct blob **out,
                    struct error *err)
{
    struct world *w = ctx;

    (void)g;
    (void)inputs;
    if (strncmp(t->label, "split", 5) == 0)
        split(w, ctl);
    else if (strcmp(t->label, "share") == 0)
        share(w);
    else
        begin(w, t->label, t->label[0] == 'h', ctl);
    if (task_cancelled(ctl))
        return error_set(err, ECANCELED, "%s: stopped", t->label);
    *out = blob_from_memory(calloc(1, 1), 1, NULL);
    return 0;
}

static void tell(void *arg, struct blob *result, const struct error *err)
{
    struct world *w = arg;

    MUST((result != NULL) == (err->code == 0));
    pthread_mutex_lock(&w->lock);
    w->ntold++;
    w->told_ns = monotonic_ns();
    w->ncancelled += err->code == ECANCELED;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void world_start(struct world *w, unsigned nthreads)
{
    struct error err;

    *w = (struct world){.budget = budget_new(1000), .trace = trace_new(64, NULL)};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    struct sched_config config = {
        .nthreads = nthreads, .budget = w->budget, .run = run_task, .ctx = w, .trace = w->trace};
    assert_int_equal(sched_new(&config, &w->sched, &err), 0);
    w->helpers = sched_helpers(w->sched);
}

static void world_stop(struct world *w)
{
    sched_free(w->sched);
    assert_int_equal(budget_used(w->budget), 0);
    budget_free(w->budget);
    trace_free(w->trace);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

/* A job of one task; names that begin with h wait at the gate. */
static uint64_t submit(struct world *w, const char *name)
{
    struct graph *g = calloc(1, sizeof *g);
    struct error err;
    uint64_t id;

    atomic_init(&g->refs, 1);
    g->tasks = calloc(1, sizeof *g->tasks);
    g->ntasks = 1;
    g->tasks[0].label = strdup(name);
    snprintf(g->tasks[0].key.hex, sizeof g->tasks[0].key.hex, "%-*s", KEY_HEX, name);
    assert_int_equal(sched_submit(w->sched, g, tell, w, &id, &err), 0);
    graph_put(g);
    return id;
}

static void wait_count(struct world *w, const size_t *count, size_t n)
{
    pthread_mutex_lock(&w->lock);
    while (*count < n)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void set_gate(struct world *w, bool open)
{
    pthread_mutex_lock(&w->lock);
    w->open = open;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void offer(struct world *w, struct piece *p)
{
    w->helpers->offer(w->helpers, &p->job);
}

static void test_busy_workers_take_nothing(void **state)
{
    struct world w;
    struct piece p;

    (void)state;
    world_start(&w, 2);
    make_piece(&w, &p, "piece", false);
    assert_int_equal(w.helpers->idle(w.helpers), 2);
    submit(&w, "hold 1");
    submit(&w, "hold 2");
    wait_count(&w, &w.nbegan, 2);
    assert_int_equal(w.helpers->idle(w.helpers), 0);
    offer(&w, &p);
    assert_true(w.helpers->take_back(w.helpers, &p.job));
    assert_false(w.helpers->take_back(w.helpers, &p.job)); /* it is not on offer any more */
    offer(&w, &p);                                         /* and may be again */
    set_gate(&w, true);
    wait_done(&p);
    assert_false(w.helpers->take_back(w.helpers, &p.job));
    wait_count(&w, &w.ntold, 2);
    world_stop(&w);
    assert_int_equal(p.nruns, 1);
}

static void test_a_free_worker_helps(void **state)
{
    struct sched_task_info *info;
    struct sched_stats stats;
    struct piece p[3];
    struct world w;

    (void)state;
    world_start(&w, 2);
    submit(&w, "hold");
    wait_count(&w, &w.nbegan, 1);
    assert_int_equal(w.helpers->idle(w.helpers), 1);
    make_piece(&w, &p[0], "first", true);
    make_piece(&w, &p[1], "second", false);
    make_piece(&w, &p[2], "third", false);
    for (size_t i = 0; i < 3; i++)
        offer(&w, &p[i]);
    wait_count(&w, &w.nbegan, 2);
    assert_false(w.helpers->take_back(w.helpers, &p[0].job)); /* it has begun */
    assert_int_equal(w.helpers->idle(w.helpers), 1);          /* who helps can help again */
    sched_stats(w.sched, &stats);
    assert_int_equal(stats.running, 1);
    assert_int_equal(stats.helping, 1);
    assert_int_equal(sched_snapshot(w.sched, &info), 2);
    assert_string_equal(info[1].label, "piece of work");
    assert_true(info[1].helping && info[1].running && info[1].thread != info[0].thread);
    free(info);
    set_gate(&w, true);
    wait_done(&p[1]);
    wait_done(&p[2]);
    wait_count(&w, &w.ntold, 1);
    do
        sched_stats(w.sched, &stats);
    while (stats.running + stats.helping > 0);
    assert_int_equal(stats.pieces_done, 3);
    world_stop(&w);
}

/* By a single worker, so that what begins is seen in order. */
static void test_first_come_first_served(void **state)
{
    static const char *const names[] = {"hold", "first", "second", "third"};
    struct piece p[4];
    struct world w;

    (void)state;
    world_start(&w, 1);
    submit(&w, names[0]);
    wait_count(&w, &w.nbegan, 1);
    for (size_t i = 1; i < 4; i++) {
        make_piece(&w, &p[i], names[i], false);
        offer(&w, &p[i]);
    }
    set_gate(&w, true);
    wait_done(&p[3]);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(w.began[i], names[i]);
    world_stop(&w);
}

static void test_a_piece_is_named_after_its_task(void **state)
{
    struct sched_task_info *info;
    struct world w;
    char *json;

    (void)state;
    world_start(&w, 2);
    submit(&w, "share");
    wait_count(&w, &w.nbegan, 1);
    assert_int_equal(sched_snapshot(w.sched, &info), 2);
    assert_string_equal(info[1].label, "piece of share");
    free(info);
    set_gate(&w, true);
    wait_count(&w, &w.ntold, 1);
    sched_free(w.sched);
    w.sched = NULL;
    json = trace_json(w.trace, "p", 2);
    assert_non_null(strstr(json, "\"piece of share\""));
    assert_non_null(strstr(json, "\"cat\": \"piece\""));
    free(json);
    world_stop(&w);
}

/* A task that is ready waits for the piece that runs, and for no other. */
static void test_tasks_go_first(void **state)
{
    struct world w;
    struct piece p[2];

    (void)state;
    world_start(&w, 2);
    submit(&w, "hold");
    wait_count(&w, &w.nbegan, 1);
    make_piece(&w, &p[0], "first", true);
    make_piece(&w, &p[1], "second", false);
    offer(&w, &p[0]);
    offer(&w, &p[1]);
    wait_count(&w, &w.nbegan, 2);
    submit(&w, "quick");
    assert_int_equal(w.helpers->idle(w.helpers), 0); /* somebody waits for a worker */
    pthread_mutex_lock(&w.lock);
    p[0].gated = false;
    pthread_mutex_unlock(&w.lock);
    set_gate(&w, true);
    wait_count(&w, &w.nbegan, 4);
    assert_string_equal(w.began[2], "quick");
    assert_string_equal(w.began[3], "second");
    wait_done(&p[1]);
    wait_count(&w, &w.ntold, 2);
    world_stop(&w);
}

/* It is passed over while a task runs, and for a moment after. */
static void test_what_can_wait_waits(void **state)
{
    struct piece late, piece;
    struct world w;

    (void)state;
    world_start(&w, 2);
    submit(&w, "hold");
    wait_count(&w, &w.nbegan, 1);
    make_piece(&w, &late, "late", false);
    late.job.kind = HELPER_LATER;
    late.job.helped = "run";
    make_piece(&w, &piece, "piece", false);
    offer(&w, &late);
    offer(&w, &piece);
    wait_done(&piece);
    assert_true(w.helpers->take_back(w.helpers, &late.job));
    offer(&w, &late);
    set_gate(&w, true);
    wait_done(&late);
    assert_string_equal(w.began[1], "piece");
    assert_string_equal(w.began[2], "late");
    assert_true(late.ran_ns - w.told_ns >= HELPER_MOMENT_NS);
    world_stop(&w);
}

/* Tasks that split their work while others are cancelled: each piece is done once. */
static void test_splitting_tasks(void **state)
{
    enum { ROUNDS = 30, JOBS = 6 };

    (void)state;
    for (unsigned nthreads = 1; nthreads <= 8; nthreads += nthreads + 1) {
        struct world w;

        world_start(&w, nthreads);
        for (size_t round = 1; round <= ROUNDS; round++) {
            uint64_t ids[JOBS];

            for (size_t i = 0; i < JOBS; i++) {
                char name[32];

                snprintf(name, sizeof name, "split %zu of %zu", i, round);
                ids[i] = submit(&w, name);
            }
            sched_cancel(w.sched, ids[round % JOBS]);
            wait_count(&w, &w.ntold, round * JOBS);
        }
        assert_uint_in_range(w.ncancelled, 0, ROUNDS);
        world_stop(&w);
    }
}

/* The scheduler goes while tasks have pieces on offer and others run them. */
static void test_the_end(void **state)
{
    (void)state;
    for (size_t round = 0; round < 40; round++) {
        struct world w;

        world_start(&w, 3);
        submit(&w, "split 1");
        submit(&w, "split 2");
        submit(&w, "split 3");
        submit(&w, "split 4");
        world_stop(&w);
        assert_int_equal(w.ntold, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_workers_take_nothing),
        cmocka_unit_test(test_a_free_worker_helps),
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_a_piece_is_named_after_its_task),
        cmocka_unit_test(test_tasks_go_first),
        cmocka_unit_test(test_what_can_wait_waits),
        cmocka_unit_test(test_splitting_tasks),
        cmocka_unit_test(test_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
