/* SPDX-License-Identifier: MIT
 *
 * The drawing of a task graph: nodes, edges, states, and what is folded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dot.h"
#include "drawn_graph.h"

/* Task number `failed` has failed, those below `ncached` are cached. */
struct states {
    size_t ncached, failed;
};

static void status_of(void *ctx, const struct key *key, struct task_status *out)
{
    const struct states *s = ctx;
    size_t number = strtoul(key->hex, NULL, 16);

    *out = (struct task_status){.state = TASK_TO_DO, .percent = -1};
    if (number == s->failed)
        out->state = TASK_FAILED;
    else if (number < s->ncached)
        *out = (struct task_status){.state = TASK_CACHED, .took_ns = 45000000};
}

static char *draw(struct drawn_graph *d, const struct states *s, const char *error)
{
    struct graph *graphs[] = {&d->g};
    struct dot_request q = {
        .path = "func/tsnr.nii",
        .array = "float32 (4, 5, 6)",
        .nbytes = 1504,
        .graphs = graphs,
        .ngraphs = 1,
        .nparts = 1,
        .error = error,
        .status = status_of,
        .ctx = (void *)s,
    };
    char *text = dot_text(&q);

    assert_non_null(text);
    return text;
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static void test_runs_tasks_and_file(void **state)
{
    struct drawn_graph *d = drawn_graph_new(3, "mean(bold) / std(bold)");
    char *text = draw(d, &(struct states){.failed = SIZE_MAX}, NULL);

    (void)state;
    assert_int_equal(count(text, "shape=note"), 3 + 1);
    assert_int_equal(count(text, "label=<moments of bold<br/>"), 3);
    assert_int_equal(count(text, " -> "), 3 + 3 + 1);
    assert_non_null(strstr(text, "run-002_bold.nii<br/>"));
    assert_non_null(strstr(text, "int16 (4, 5, 6, 30)"));
    assert_non_null(strstr(text, "float64 (4, 5, 6, 4)"));
    assert_non_null(strstr(text, "float32 (4, 5, 6)"));
    assert_null(strstr(text, "more"));
    assert_int_equal(count(text, ">to do ·"), 4);
    free(text);
    drawn_graph_free(d);
}

static void test_states_are_words_too(void **state)
{
    struct drawn_graph *d = drawn_graph_new(3, "mean(bold)");
    char *text = draw(d, &(struct states){.ncached = 2, .failed = 2}, "run 3: <too short> & sad");

    (void)state;
    assert_int_equal(count(text, ">cached · 3.8 KiB · 45 ms<"), 2);
    assert_int_equal(count(text, ">failed · 3.8 KiB<"), 1);
    assert_int_equal(count(text, ">to do · 1.5 KiB<"), 1);
    assert_non_null(strstr(text, "run 3: &lt;too short&gt; &amp; sad"));
    free(text);
    drawn_graph_free(d);
}

static void test_many_are_folded(void **state)
{
    struct drawn_graph *d = drawn_graph_new(200, "mean(bold)");
    char *text = draw(d, &(struct states){.ncached = 50, .failed = 150}, NULL);

    (void)state;
    assert_int_equal(count(text, "label=<moments of bold<br/>"), DOT_FOLD);
    assert_non_null(strstr(text, "<188 more runs>"));
    assert_non_null(strstr(text, "<188 more: moments of bold"));
    assert_non_null(strstr(text, "149 to do · 39 cached"));
    /* what has failed is drawn, and its run */
    assert_int_equal(count(text, ">failed ·"), 1);
    assert_non_null(strstr(text, "run-150_bold.nii<br/>"));
    assert_null(strstr(text, "run-149_bold.nii<br/>"));
    /* each edge once */
    assert_int_equal(count(text, " -> "), 2 * (DOT_FOLD + 1) + 1);
    free(text);
    drawn_graph_free(d);
}

static void test_one_too_many_is_no_fold(void **state)
{
    struct drawn_graph *d = drawn_graph_new(DOT_FOLD + 1, "mean(bold)");
    char *text = draw(d, &(struct states){.failed = SIZE_MAX}, NULL);

    (void)state;
    assert_int_equal(count(text, "label=<moments of bold<br/>"), DOT_FOLD + 1);
    assert_null(strstr(text, " more"));
    free(text);
    drawn_graph_free(d);
}

static void test_names_are_escaped(void **state)
{
    struct drawn_graph *d = drawn_graph_new(1, "mean(bold)");
    char *text;

    (void)state;
    free(d->runs[0].path);
    d->runs[0].path = strdup("a\"b<\xff>\\&.nii");
    text = draw(d, &(struct states){.failed = SIZE_MAX}, NULL);
    assert_int_equal(count(text, "a&quot;b&lt;?&gt;\\&amp;.nii"), 2);
    free(text);
    drawn_graph_free(d);
}

static void test_long_expressions_are_broken_and_cut(void **state)
{
    struct drawn_graph *d;
    char expression[400] = "mean(bold)", *text;

    (void)state;
    for (int i = 0; i < 25; i++)
        strcat(expression, " + max(bold)");
    d = drawn_graph_new(1, expression);
    text = draw(d, &(struct states){.failed = SIZE_MAX}, NULL);
    assert_non_null(strstr(text, " …<br/>"));
    free(text);
    drawn_graph_free(d);
}

/* Parts of a file share tasks: each is one node. */
static void test_parts_share_tasks(void **state)
{
    struct drawn_graph *d = drawn_graph_new(2, "mean(bold)");
    struct graph *graphs[] = {&d->g, &d->g};
    struct states s = {.failed = SIZE_MAX};
    struct dot_request q = {.path = "x.nii",
                            .array = "float32 (4, 5, 6, 60)",
                            .graphs = graphs,
                            .ngraphs = 2,
                            .nparts = 9,
                            .part_nvol = 30,
                            .status = status_of,
                            .ctx = &s};
    char *text = dot_text(&q);

    (void)state;
    assert_non_null(text);
    assert_int_equal(count(text, "label=<moments of bold<br/>"), 2);
    assert_int_equal(count(text, " -> "), 2 + 2 + 1);
    assert_non_null(strstr(text, "made of 9 chunks, of which 2 are looked at"));
    free(text);
    drawn_graph_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_tasks_and_file),
        cmocka_unit_test(test_states_are_words_too),
        cmocka_unit_test(test_many_are_folded),
        cmocka_unit_test(test_one_too_many_is_no_fold),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_long_expressions_are_broken_and_cut),
        cmocka_unit_test(test_parts_share_tasks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
