/* SPDX-License-Identifier: MIT
 *
 * The trace: what is kept, what is forgotten, and what its JSON says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>

#include "trace.h"

static int64_t clock_now_ns = 1000;

static int64_t fake_clock(void)
{
    return clock_now_ns;
}

static struct key key_of(unsigned number)
{
    struct key key;

    snprintf(key.hex, sizeof key.hex, "%040x", number);
    return key;
}

static struct trace_event event(unsigned number, unsigned thread, int64_t start_ns, int64_t stop_ns)
{
    struct trace_event e = {
        .key = key_of(number),
        .thread = thread,
        .start_ns = start_ns,
        .stop_ns = stop_ns,
        .read_nbytes = 10 * number,
        .nbytes = 100 * number,
    };

    snprintf(e.name, sizeof e.name, "task %u", number);
    return e;
}

static struct trace *new_trace(size_t nevents)
{
    struct trace *t = trace_new(nevents, fake_clock);

    assert_non_null(t);
    return t;
}

static void add(struct trace *t, struct trace_event e)
{
    trace_add(t, &e);
}

/* The trace's JSON, parsed. */
static json_t *parse(struct trace *t, unsigned nthreads)
{
    char *text = trace_json(t, "derivfs /data", nthreads);
    json_t *root;

    assert_non_null(text);
    root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static const json_t *events_of(const json_t *root)
{
    return json_object_get(root, "traceEvents");
}

static int64_t number_of(const json_t *event, const char *name)
{
    assert_true(json_is_integer(json_object_get(event, name)));
    return json_integer_value(json_object_get(event, name));
}

static const char *text_of(const json_t *event, const char *name)
{
    return json_string_value(json_object_get(event, name));
}

static void test_empty_trace_names_process_and_threads(void **state)
{
    struct trace *t = new_trace(4);
    json_t *root = parse(t, 2);
    const json_t *list = events_of(root);

    (void)state;
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(text_of(json_array_get(list, 0), "name"), "process_name");
    assert_string_equal(text_of(json_object_get(json_array_get(list, 0), "args"), "name"),
                        "derivfs /data");
    assert_string_equal(text_of(json_array_get(list, 2), "name"), "thread_name");
    assert_string_equal(text_of(json_array_get(list, 2), "ph"), "M");
    assert_string_equal(text_of(json_object_get(json_array_get(list, 2), "args"), "name"),
                        "worker 1");
    json_decref(root);
    trace_free(t);
}

static void test_complete_event(void **state)
{
    struct trace *t = new_trace(4);
    struct trace_event e = event(7, 1, 1000 + 2500, 1000 + 9999);
    json_t *root;
    const json_t *found, *args;

    (void)state;
    e.outcome = TRACE_FAILED;
    add(t, e);
    root = parse(t, 2);
    found = json_array_get(events_of(root), 3);
    assert_string_equal(text_of(found, "ph"), "X");
    assert_string_equal(text_of(found, "name"), "task 7");
    assert_int_equal(number_of(found, "ts"), 2);
    assert_int_equal(number_of(found, "dur"), 7);
    assert_true(number_of(found, "pid") > 0);
    /* the same as in the metadata of the second worker */
    assert_int_equal(number_of(found, "tid"), number_of(json_array_get(events_of(root), 2), "tid"));
    args = json_object_get(found, "args");
    assert_string_equal(text_of(args, "key"), key_of(7).hex);
    assert_int_equal(number_of(args, "bytes"), 700);
    assert_int_equal(number_of(args, "read_bytes"), 70);
    assert_string_equal(text_of(args, "outcome"), "failed");
    json_decref(root);
    trace_free(t);
}

static void test_ring_forgets_the_oldest(void **state)
{
    struct trace *t = new_trace(3);
    struct trace_event found;
    int64_t longest_ns;
    json_t *root;

    (void)state;
    for (unsigned i = 1; i <= 5; i++)
        add(t, event(i, 0, 1000 * i, 1000 * i + 500));
    root = parse(t, 1);
    assert_int_equal(json_array_size(events_of(root)), 2 + 3);
    for (size_t i = 0; i < 3; i++) {
        char name[32];

        snprintf(name, sizeof name, "task %zu", i + 3);
        assert_string_equal(text_of(json_array_get(events_of(root), 2 + i), "name"), name);
    }
    json_decref(root);
    for (unsigned i = 1; i <= 5; i++) {
        struct key key = key_of(i);

        assert_int_equal(trace_find(t, &key, &found, &longest_ns), i >= 3);
    }
    trace_free(t);
}

static void test_find_gives_the_latest_run(void **state)
{
    struct trace *t = new_trace(4);
    struct trace_event found, failed = event(1, 0, 2000, 3000);
    struct key key = key_of(1);
    int64_t longest_ns;

    (void)state;
    assert_false(trace_find(t, &key, &found, &longest_ns));
    failed.outcome = TRACE_FAILED;
    add(t, failed);
    assert_true(trace_find(t, &key, &found, &longest_ns));
    assert_int_equal(found.outcome, TRACE_FAILED);
    add(t, event(1, 0, 5000, 9000));
    add(t, event(2, 0, 9000, 9500));
    assert_true(trace_find(t, &key, &found, &longest_ns));
    assert_int_equal(found.outcome, TRACE_DONE);
    assert_int_equal(longest_ns, 4000);
    add(t, event(1, 1, 9500, 9600)); /* fetched from the cache */
    assert_true(trace_find(t, &key, &found, &longest_ns));
    assert_int_equal(found.thread, 1);
    assert_int_equal(longest_ns, 4000);
    trace_free(t);
}

/* Tasks that follow each other closely on one thread share no microsecond in the text. */
static void test_rounding_makes_no_overlap(void **state)
{
    struct trace *t = new_trace(100);
    int64_t at = 1000, end_us = 0;
    json_t *root;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        int64_t stop = at + 1 + 777 * i % 2003;

        add(t, event(i, 0, at, stop));
        at = stop + i % 3;
    }
    root = parse(t, 1);
    for (size_t i = 2; i < json_array_size(events_of(root)); i++) {
        const json_t *e = json_array_get(events_of(root), i);

        assert_true(number_of(e, "dur") >= 0);
        assert_true(number_of(e, "ts") >= end_us);
        end_us = number_of(e, "ts") + number_of(e, "dur");
    }
    json_decref(root);
    trace_free(t);
}

static void test_any_name_is_valid_json(void **state)
{
    struct trace *t = new_trace(4);
    struct trace_event e = event(1, 0, 1000, 2000);
    json_t *root;

    (void)state;
    memset(e.name, 0xe2, sizeof e.name - 1);
    e.name[sizeof e.name - 1] = '\0';
    add(t, e);
    snprintf(e.name, sizeof e.name, "moments \"a\\b\"\n\x01.nii");
    add(t, e);
    root = parse(t, 1);
    assert_int_equal(json_array_size(events_of(root)), 4);
    const char *name = text_of(json_array_get(events_of(root), 2), "name");
    assert_int_equal(strlen(name), 3 * (TRACE_NAME_MAX - 1));
    for (size_t i = 0; i < strlen(name); i += 3)
        assert_memory_equal(name + i, "\xee\xbf\xa2", 3); /* U+EFE2 */
    assert_string_equal(text_of(json_array_get(events_of(root), 3), "name"),
                        "moments \"a\\b\"\n\x01.nii");
    json_decref(root);
    trace_free(t);
}

enum { NWRITERS = 4, NPER_WRITER = 2000 };

static void *write_many(void *arg)
{
    for (unsigned i = 0; i < NPER_WRITER; i++)
        add(arg, event(i, 0, trace_now(arg), trace_now(arg)));
    return NULL;
}

static void test_many_threads(void **state)
{
    struct trace *t = trace_new(64, NULL);
    pthread_t threads[NWRITERS];
    json_t *root;

    (void)state;
    assert_non_null(t);
    for (size_t i = 0; i < NWRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, t), 0);
    for (int i = 0; i < 20; i++)
        json_decref(parse(t, NWRITERS));
    for (size_t i = 0; i < NWRITERS; i++)
        pthread_join(threads[i], NULL);
    root = parse(t, NWRITERS);
    assert_int_equal(json_array_size(events_of(root)), 1 + NWRITERS + 64);
    json_decref(root);
    trace_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_trace_names_process_and_threads),
        cmocka_unit_test(test_complete_event),
        cmocka_unit_test(test_ring_forgets_the_oldest),
        cmocka_unit_test(test_find_gives_the_latest_run),
        cmocka_unit_test(test_rounding_makes_no_overlap),
        cmocka_unit_test(test_any_name_is_valid_json),
        cmocka_unit_test(test_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
