/* SPDX-License-Identifier: MIT
 *
 * Plans: which tasks an expression falls into, what they share, and what their keys depend on.
 * Runs are made up: planning reads no file.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "array_desc.h"
#include "kernel.h"
#include "passes.h"
#include "plan.h"
#include "runs.h"
#include "timecourses.h"

enum { NVOX = 4 * 3 * 2, NVOL_1 = 10, NVOL_2 = 7 };

static struct run *runs[2];

/* A plan and what it was made from. */
struct planned {
    struct recipe_table table;
    struct recipe recipe;
    struct graph *g;
    struct error err; /* where g is NULL */
};

static int setup(void **state)
{
    (void)state;
    runs[0] = runs_make(1, NVOL_1);
    runs[1] = runs_make(2, NVOL_2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    run_put(runs[0]);
    run_put(runs[1]);
    return 0;
}

/* Plan `text` over runs [first, first + n); of a series, all volumes. */
static struct planned *plan_with(const char *text, size_t first, size_t n, size_t memory_nbytes)
{
    struct planned *p = calloc(1, sizeof *p);
    size_t stem;
    int64_t nvol;
    int ret;

    assert_non_null(p);
    atomic_init(&p->table.refs, 1);
    p->recipe = (struct recipe){.name = (char *)"test", .expr = runs_parse(text)};
    struct plan_request q = {.table = &p->table,
                             .recipe = &p->recipe,
                             .format = output_find("test.nii", &stem),
                             .runs = runs + first,
                             .nruns = n,
                             .memory_nbytes = memory_nbytes};
    ret = plan_nvol(&q, &nvol, &p->err);
    if (ret == 0)
        ret = plan_file(&q,
                        p->recipe.expr->rank == EXPR_SERIES
                            ? (struct plan_extent){PLAN_VOLUMES, 0, nvol}
                            : (struct plan_extent){.kind = PLAN_ALL},
                        &p->g, &p->err);
    assert_int_equal(ret, p->g ? 0 : -p->err.code);
    for (size_t i = 0; p->g && i < p->g->ntasks; i++)
        for (size_t d = 0; d < p->g->tasks[i].ndeps; d++)
            assert_true(p->g->tasks[i].deps[d] < i);
    return p;
}

static struct planned *plan(const char *text)
{
    return plan_with(text, 0, 2, 1 << 30);
}

static void planned_free(struct planned *p)
{
    graph_put(p->g);
    assert_int_equal(atomic_load(&p->table.refs), 1);
    expr_free(p->recipe.expr);
    free(p);
}

static size_t count(const struct planned *p, enum task_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < p->g->ntasks; i++)
        n += p->g->tasks[i].kind == kind;
    return n;
}

static bool has_key(const struct planned *p, const struct key *key)
{
    for (size_t i = 0; i < p->g->ntasks; i++)
        if (key_equal(&p->g->tasks[i].key, key))
            return true;
    return false;
}

static const struct key *root_key(const struct planned *p)
{
    return &graph_root(p->g)->key;
}

/* "moments 2 trend 0 ..." is easier to read than numbers in a table. */
struct kinds {
    size_t moments, trends, medians, percentiles, volumes, planes, images, chunks;
};

static void assert_kinds(const char *text, struct kinds want)
{
    struct planned *p = plan(text);

    if (!p->g)
        fail_msg("%s: %s", text, p->err.text);
    const size_t got[] = {count(p, TASK_MOMENTS),     count(p, TASK_TREND),  count(p, TASK_MEDIAN),
                          count(p, TASK_PERCENTILES), count(p, TASK_VOLUME), count(p, TASK_PLANE),
                          count(p, TASK_IMAGE),       count(p, TASK_CHUNK)};
    const size_t expected[] = {want.moments, want.trends, want.medians, want.percentiles,
                               want.volumes, want.planes, want.images,  want.chunks};

    for (size_t i = 0; i < sizeof got / sizeof *got; i++)
        if (got[i] != expected[i])
            fail_msg("%s: %zu tasks of kind %zu, not %zu", text, got[i], i, expected[i]);
    planned_free(p);
}

static void test_tasks(void **state)
{
    (void)state;
    assert_kinds("mean(bold)", (struct kinds){.moments = 2, .images = 1});
    assert_kinds("mean(bold) / std(bold, ddof=1) + max(bold)",
                 (struct kinds){.moments = 2, .images = 1});
    assert_kinds("median(bold) + median(bold)", (struct kinds){.medians = 1, .images = 1});
    assert_kinds("percentile(bold, 25)", (struct kinds){.percentiles = 1, .images = 1});
    assert_kinds("percentile(bold, 50) + median(bold)", (struct kinds){.medians = 1, .images = 1});
    /* one pass */
    assert_kinds(
        "where(mean(bold) > 1, percentile(bold, 25), 0) - percentile(bold, 75) * median(bold)",
        (struct kinds){.moments = 2, .percentiles = 1, .images = 1});
    assert_kinds("percentile(bold, 25) + percentile(abs(bold), 25)",
                 (struct kinds){.percentiles = 2, .images = 1});
    assert_kinds("bold[..., 3] - bold[..., -14]", (struct kinds){.volumes = 1, .images = 1});
    assert_kinds("mean(bold[..., 3:])", (struct kinds){.moments = 2, .images = 1});
    assert_kinds("mean(bold[..., 10:])", (struct kinds){.moments = 1, .images = 1});
    assert_kinds("bold[..., 3:]", (struct kinds){.chunks = 1});
    assert_kinds("zscore(bold)", (struct kinds){.moments = 2, .planes = 2, .chunks = 1});
    assert_kinds("demean(bold)", (struct kinds){.moments = 2, .planes = 2, .chunks = 1});
    assert_kinds("detrend(bold, 2)", (struct kinds){.trends = 2, .chunks = 1});
    assert_kinds("detrend(bold, 0)", (struct kinds){.chunks = 1});
    assert_kinds("mean(bold - mean(bold))", (struct kinds){.moments = 4, .planes = 1, .images = 1});
    /* one pass */
    assert_kinds("mean(detrend(bold, 2)) / std(detrend(bold, 2))",
                 (struct kinds){.trends = 2, .images = 1});
    assert_kinds("mean(detrend(bold, 0))", (struct kinds){.moments = 2, .images = 1});
    /* the smallest value that a trend leaves needs the trend first */
    assert_kinds("sum(detrend(bold, 1)) + min(detrend(bold, 1))",
                 (struct kinds){.trends = 2, .moments = 2, .images = 1});
}

static void test_moments_are_shared(void **state)
{
    struct planned *mean = plan("mean(bold)"), *std = plan("std(bold)");
    struct planned *tsnr = plan("mean(bold) / std(bold)"),
                   *second = plan_with("var(bold)", 1, 1, 0);
    struct planned *scored = plan("zscore(bold)");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mean->g->tasks[i].kind, TASK_MOMENTS);
        assert_true(has_key(std, &mean->g->tasks[i].key));
        assert_true(has_key(tsnr, &mean->g->tasks[i].key));
        assert_true(has_key(scored, &mean->g->tasks[i].key));
    }
    assert_true(has_key(second, &mean->g->tasks[1].key));
    assert_false(key_equal(root_key(mean), root_key(std)));
    planned_free(mean);
    planned_free(std);
    planned_free(tsnr);
    planned_free(second);
    planned_free(scored);
}

/* All of these differ in their results, if only for some data, and so must their keys. */
static void test_every_difference_is_in_the_key(void **state)
{
    static const char *const texts[] = {
        "mean(bold)",
        "sum(bold)",
        "std(bold)",
        "std(bold, ddof=1)",
        "mean(bold[..., 1:])",
        "mean(bold[..., :-1])",
        "mean(drop(bold, 1))",
        "mean(drop(bold, 2))",
        "mean(bold * 2)",
        "mean(bold * 3)",
        "mean(bold[..., 1:] - bold[..., :-1])",
        "mean(bold[..., :-1] - bold[..., 1:])",
        "mean(concat(bold, bold[..., 2:]))",
        "mean(concat(bold[..., 2:], bold))",
        "mean(detrend(bold, 1))",
        "mean(detrend(bold, 2))",
        "std(detrend(bold, 1))",
        "mean(detrend(bold, 1) ** 2)",
        "mean(detrend(bold, 2) ** 2)",
        "mean(demean(bold) ** 2)",
        "mean((bold - mean(bold)) ** 2)",
        "mean((bold - median(bold)) ** 2)",
        "median(bold)",
        "median(drop(bold, 1))",
        "percentile(bold, 25)",
        "percentile(bold, 25.5)",
        "percentile(bold, 25) + percentile(bold, 75)",
        "bold[..., 1]",
        "bold[..., 11]",
        "zscore(bold)",
        "demean(bold)",
        "detrend(bold, 1)",
        "detrend(bold, 2)",
        "bold[..., 0:]",
        "bold > 1",
        "bold > 2",
    };
    enum { N = sizeof texts / sizeof *texts };
    struct planned *p[N];

    (void)state;
    for (size_t i = 0; i < N; i++) {
        p[i] = plan(texts[i]);
        assert_non_null(p[i]->g);
        for (size_t k = 0; k < i; k++)
            if (key_equal(root_key(p[i]), root_key(p[k])))
                fail_msg("%s and %s have one key", texts[i], texts[k]);
    }
    for (size_t i = 0; i < N; i++)
        planned_free(p[i]);
}

static void test_a_changed_source_changes_the_key(void **state)
{
    static const char *const texts[] = {"mean(bold)", "median(bold)", "zscore(bold)",
                                        "std(detrend(bold, 1))", "bold[..., 12]"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct planned *before = plan(texts[i]), *again = plan(texts[i]), *after;

        runs[1]->id.mtime_ns++;
        runs[1]->naming.named = NAMED_NOT; /* as a file has it that is probed anew */
        after = plan(texts[i]);
        runs[1]->id.mtime_ns--;
        runs[1]->naming.named = NAMED_NOT;
        assert_true(key_equal(root_key(before), root_key(again)));
        assert_false(key_equal(root_key(before), root_key(after)));
        planned_free(before);
        planned_free(again);
        planned_free(after);
    }
}

/* The header comes from the first run, even if no voxel does. */
static void test_header_is_in_the_key(void **state)
{
    struct planned *both = plan("mean(bold[..., -3:])");
    struct planned *second = plan_with("mean(bold[..., -3:])", 1, 1, 1 << 30);

    (void)state;
    assert_true(key_equal(&both->g->tasks[0].key, &second->g->tasks[0].key));
    assert_false(key_equal(root_key(both), root_key(second)));
    planned_free(both);
    planned_free(second);
}

static void assert_reason(const char *text, const char *reason)
{
    struct planned *p = plan(text);

    assert_null(p->g);
    assert_int_equal(p->err.code, EINVAL);
    if (!strstr(p->err.text, reason))
        fail_msg("%s: \"%s\"", text, p->err.text);
    planned_free(p);
}

static void test_what_cannot_be_planned(void **state)
{
    (void)state;
    assert_reason("bold[..., 17]", "there is no volume 17: the series has 17");
    assert_reason("bold[..., -18]", "there is no volume -18");
    assert_reason("mean(bold[..., 20:])", "bold[..., 20:] has no volumes here");
    assert_reason("bold - drop(bold, 1)", "series of 17 and 15 volumes");
    assert_reason("mean(bold) + median(bold[..., 1:] + bold)", "series of 16 and 17 volumes");
    assert_reason("zscore(bold[..., 1:] + bold)", "series of 16 and 17 volumes");
    assert_reason("median(bold) + bold[..., 40]", "there is no volume 40");
}

static void test_sizes(void **state)
{
    struct planned *p = plan("detrend(zscore(bold), 3)");

    (void)state;
    for (size_t i = 0; i < p->g->ntasks; i++) {
        const struct task *t = &p->g->tasks[i];
        size_t plane = NVOX * sizeof(double);

        if (t->kind == TASK_MOMENTS)
            assert_int_equal(t->result_nbytes, MOMENTS_NPLANES * plane);
        else if (t->kind == TASK_TREND)
            assert_int_equal(t->result_nbytes, (MOMENTS_NPLANES + 3) * plane);
        else if (t->kind == TASK_PLANE)
            assert_int_equal(t->result_nbytes, plane);
        else
            assert_int_equal(t->result_nbytes, NVOX * (NVOL_1 + NVOL_2) * sizeof(float));
        assert_true(t->mem_nbytes > 0);
        assert_non_null(t->label);
    }
    planned_free(p);
}

/* The task of percentiles has a plane for each, in their order, whatever the order in the text. */
static void test_planes_of_percentiles(void **state)
{
    struct planned *p = plan("percentile(bold, 75) - percentile(bold, 2.5) + median(bold) +"
                             "percentile(bold, 75) + percentile(drop(bold, 1), 30)");
    struct planned *other = plan("median(bold) * percentile(bold, 75) * percentile(bold, 2.5)");
    static const double percents[] = {2.5, 50, 75};
    static const size_t planes[] = {2, 0, 1, 2, 0};
    const struct task *root = graph_root(p->g), *t = &p->g->tasks[0];

    (void)state;
    assert_int_equal(t->kind, TASK_PERCENTILES);
    assert_int_equal(t->npercents, 3);
    assert_memory_equal(t->percents, percents, sizeof percents);
    assert_int_equal(t->result_nbytes, 3 * NVOX * sizeof(double));
    assert_true(t->mem_nbytes >= t->room_nbytes + t->result_nbytes);
    assert_int_equal(root->nreductions, 5);
    for (size_t i = 0; i < root->nreductions; i++) {
        assert_int_equal(root->reductions[i].plane, planes[i]);
        assert_int_equal(root->reductions[i].ndeps, 1);
        assert_int_equal(root->deps[root->reductions[i].first_dep], i == 4);
    }
    assert_true(key_equal(&other->g->tasks[0].key, &t->key));
    planned_free(p);
    planned_free(other);
}

/* It is the same task, however it is written. */
static void test_median_is_a_percentile(void **state)
{
    struct planned *p = plan("median(bold)");
    struct planned *q = plan("percentile(bold, 50)");

    (void)state;
    assert_int_equal(q->g->tasks[0].kind, TASK_MEDIAN);
    assert_true(key_equal(&p->g->tasks[0].key, &q->g->tasks[0].key));
    planned_free(p);
    planned_free(q);
}

/* A median takes as much room as there is, and at least one voxel's values. */
/* Put the runs on a grid of 24 * `times` voxels. */
static void enlarge(int64_t times)
{
    for (size_t i = 0; i < 2; i++)
        runs[i]->nifti.dim[0] = 4 * times;
}

static void test_memory_of_median(void **state)
{
    enum { NVOL = NVOL_1 + NVOL_2, MANY = 24 * 80, SOME = 5 * TIMECOURSES_TILE };
    size_t all = timecourses_nbytes(2, MANY, NVOL), some = timecourses_nbytes(2, SOME, NVOL);
    size_t own = timecourses_own_nbytes(NVOL);
    const struct {
        size_t memory, nvox, room;
    } cases[] = {{1 << 30, MANY, all},
                 {2 * (all + own), MANY, all},
                 {2 * (some + own), SOME, some},
                 {2 * (some + own) - 2, SOME - TIMECOURSES_TILE, some - 1},
                 {0, TIMECOURSES_TILE, timecourses_nbytes(2, 1, NVOL)}};

    (void)state;
    enlarge(80);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct planned *p = plan_with("median(bold)", 0, 2, cases[i].memory);
        const struct task *t = &p->g->tasks[0];

        assert_int_equal(t->kind, TASK_MEDIAN);
        assert_int_equal(t->room_nvox, cases[i].nvox);
        assert_int_equal(t->room_nbytes, cases[i].room);
        assert_true(t->mem_nbytes >= cases[i].room + own + TASK_BUFFER_NBYTES);
        planned_free(p);
    }
    enlarge(1);
}

/* However little memory there is, planes never crowd out the values: then each percentile has passes
 * of its own. The key says nothing of it. */
static void test_memory_of_percentiles(void **state)
{
    enum { NVOL = NVOL_1 + NVOL_2, MANY = 24 * 80, PLANES = 3 * MANY * sizeof(double) };
    static const struct {
        size_t memory, together;
    } cases[] = {{1 << 30, 3}, {4 * PLANES, 3}, {4 * PLANES - 2, 1}, {2 * PLANES, 1}, {0, 1}};
    struct planned *first = NULL;

    (void)state;
    enlarge(80);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct planned *p = plan_with("percentile(bold, 75) - percentile(bold, 25) + median(bold)",
                                      0, 2, cases[i].memory);
        const struct task *t = &p->g->tasks[0];
        size_t planes = t->ntogether > 1 ? PLANES : 0;

        assert_int_equal(t->kind, TASK_PERCENTILES);
        assert_int_equal(t->ntogether, cases[i].together);
        assert_true(t->room_nbytes >= timecourses_nbytes(2, t->room_nvox, NVOL));
        assert_true(t->mem_nbytes >= t->room_nbytes + planes + TASK_BUFFER_NBYTES);
        assert_int_equal(passes_read_nbytes(p->g), t->work_nbytes * (3 / t->ntogether) *
                                                       ((MANY + t->room_nvox - 1) / t->room_nvox));
        if (first) {
            assert_true(key_equal(&t->key, &first->g->tasks[0].key));
            planned_free(p);
        } else {
            first = p;
        }
    }
    planned_free(first);
    enlarge(1);
}

/* Who reads a run needs what its codec holds, and counts it. */
static void test_memory_of_codec(void **state)
{
    static const char *const texts[] = {"mean(bold)",   "mean(sqrt(bold))",      "median(bold)",
                                        "bold[..., 3]", "std(detrend(bold, 2))", "bold"};
    enum { HELD = 8 << 20 };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct planned *without = plan_with(texts[i], 0, 1, 1 << 30), *with;

        runs[0]->reading_nbytes = HELD;
        with = plan_with(texts[i], 0, 1, 1 << 30);
        runs[0]->reading_nbytes = 0;
        assert_int_equal(with->g->ntasks, without->g->ntasks);
        for (size_t t = 0; t < with->g->ntasks; t++)
            assert_int_equal(with->g->tasks[t].mem_nbytes,
                             without->g->tasks[t].mem_nbytes +
                                 (with->g->tasks[t].nstreams > 0 ? HELD : 0));
        planned_free(without);
        planned_free(with);
    }
}

static bool is_moments(void *ctx, const struct key *key)
{
    const struct planned *p = ctx;

    for (size_t i = 0; i < p->g->ntasks; i++)
        if (key_equal(&p->g->tasks[i].key, key))
            return p->g->tasks[i].kind == TASK_MOMENTS;
    return false;
}

static bool is_anything_but_root(void *ctx, const struct key *key)
{
    return !key_equal(key, ctx);
}

static bool always(void *ctx, const struct key *key)
{
    (void)ctx, (void)key;
    return true;
}

static size_t count_needed(const struct graph *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->ntasks; i++)
        n += graph_need(g, &g->tasks[i]) != NEED_NOTHING;
    return n;
}

/* After a cut every leaf of what is left leads to a dependency that is needed, and the root is the
 * same. */
static void test_cut(void **state)
{
    static const char *const texts[] = {"zscore(detrend(bold, 1))", "median(zscore(bold))",
                                        "demean(bold) / std(bold)"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct planned *whole = plan(texts[i]);
        struct graph *cut = graph_cut(whole->g, is_moments, whole), *again;
        const struct task *root = graph_root(cut);

        assert_true(key_equal(&root->key, root_key(whole)));
        assert_true(count_needed(whole->g) == whole->g->ntasks);
        for (size_t k = 0; k < cut->ntasks; k++) {
            const struct task *t = &cut->tasks[k];

            assert_true(has_key(whole, &t->key));
            assert_true(graph_need(cut, t) != NEED_RUN || t->kind != TASK_MOMENTS);
            for (size_t s = 0; graph_need(cut, t) == NEED_RUN && s < t->nstreams; s++)
                for (size_t f = 0; f < t->streams[s].nleaves; f++) {
                    const struct stream_leaf *leaf = &t->streams[s].leaves[f];
                    bool found = leaf->kind == LEAF_SAMPLE;

                    for (size_t d = 0; d < t->ndeps; d++)
                        found = found || (t->deps[d] == leaf->task &&
                                          graph_need(cut, &cut->tasks[t->deps[d]]) != NEED_NOTHING);
                    assert_true(found);
                }
        }
        again = graph_cut(cut, is_anything_but_root, (void *)root_key(whole));
        assert_int_equal(count_needed(again), 1 + root->ndeps);
        assert_int_equal(graph_need(again, root), NEED_RUN);
        graph_put(again);
        again = graph_cut(cut, always, NULL);
        assert_int_equal(count_needed(again), 1);
        assert_int_equal(graph_need(again, root), NEED_RESULT);
        graph_put(again);
        graph_put(cut);
        planned_free(whole);
    }
}

/* What stands alone in its graph is described too, although it has neither expression nor grid. */
static void test_every_kind_is_described(void **state)
{
    static const enum task_kind alone[] = {TASK_COMMAND, TASK_FETCH, TASK_JOIN};

    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        struct task t = {.kind = alone[i], .label = (char *)"label", .result_nbytes = 12};
        struct graph g = {.tasks = &t, .ntasks = 1};
        struct array_desc n = array_desc_of_task(&g, &t);
        char *words = task_words(&t);

        assert_string_equal(words, "label");
        assert_int_equal(n.ndim, 1);
        assert_int_equal(n.shape[0], t.kind == TASK_JOIN ? 12 : -1);
        free(words);
    }
}

/* Nesting adds tasks, it does not multiply them. */
static void test_deep_nesting(void **state)
{
    enum { DEPTH = 40 };
    char text[1024] = "bold";
    struct planned *p;

    (void)state;
    for (int i = 0; i < DEPTH; i++) {
        static const char *const begins[] = {"zscore(", "detrend(", "demean("};
        static const char *const ends[] = {")", ", 1)", ")"};
        char inner[sizeof text];

        strcpy(inner, text);
        assert_true(snprintf(text, sizeof text, "%s%s%s", begins[i % 3], inner, ends[i % 3]) <
                    (int)sizeof text);
    }
    p = plan(text);
    assert_non_null(p->g);
    assert_true(p->g->ntasks <= 4 * DEPTH + 1);
    planned_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_moments_are_shared),
        cmocka_unit_test(test_every_difference_is_in_the_key),
        cmocka_unit_test(test_a_changed_source_changes_the_key),
        cmocka_unit_test(test_header_is_in_the_key),
        cmocka_unit_test(test_what_cannot_be_planned),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_planes_of_percentiles),
        cmocka_unit_test(test_median_is_a_percentile),
        cmocka_unit_test(test_memory_of_median),
        cmocka_unit_test(test_memory_of_percentiles),
        cmocka_unit_test(test_memory_of_codec),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_every_kind_is_described),
        cmocka_unit_test(test_deep_nesting),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
