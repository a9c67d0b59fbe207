/* SPDX-License-Identifier: MIT
 *
 * Blobs and the budget that they give back to.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "blob.h"
#include "budget.h"

enum { NTHREADS = 4, NROUNDS = 20000, LIMIT = 1000 };

static void test_budget_takes_up_to_the_limit(void **state)
{
    (void)state;
    struct budget *b = budget_new(100);
    assert_non_null(b);
    assert_int_equal(budget_limit(b), 100);
    assert_true(budget_take(b, 60));
    assert_false(budget_take(b, 41));
    assert_int_equal(budget_used(b), 60);
    assert_true(budget_take(b, 40));
    assert_true(budget_take(b, 0));
    assert_false(budget_take(b, 1));
    budget_give(b, 100);
    assert_int_equal(budget_used(b), 0);
    assert_false(budget_take(b, SIZE_MAX));
    budget_free(b);
}

static void test_budget_forced_over_the_limit(void **state)
{
    (void)state;
    struct budget *b = budget_new(100);
    assert_non_null(b);
    budget_force(b, 150);
    assert_int_equal(budget_used(b), 150);
    assert_false(budget_take(b, 0));
    assert_false(budget_take(b, SIZE_MAX - 100));
    budget_give(b, 60);
    assert_true(budget_take(b, 10));
    assert_false(budget_take(b, 1));
    budget_free(b);
    budget_free(NULL);
}

struct contest {
    struct budget *budget;
    size_t over; /* times the budget stood above its limit */
};

static void *take_and_give(void *arg)
{
    struct contest *c = arg;
    for (size_t i = 0; i < NROUNDS; i++) {
        size_t nbytes = LIMIT / 2 + i % (LIMIT / 2);
        if (!budget_take(c->budget, nbytes))
            continue;
        c->over += budget_used(c->budget) > LIMIT;
        budget_give(c->budget, nbytes);
    }
    return NULL;
}

static void test_budget_from_many_threads(void **state)
{
    (void)state;
    struct budget *b = budget_new(LIMIT);
    assert_non_null(b);
    pthread_t threads[NTHREADS];
    struct contest contests[NTHREADS];
    for (size_t i = 0; i < NTHREADS; i++) {
        contests[i] = (struct contest){.budget = b};
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &contests[i]), 0);
    }
    for (size_t i = 0; i < NTHREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(contests[i].over, 0);
    }
    assert_int_equal(budget_used(b), 0);
    budget_free(b);
}

static struct blob *text_in_memory(const char *text, struct budget *budget)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    struct blob *b = blob_from_memory(copy, strlen(text), budget);
    assert_non_null(b);
    return b;
}

static struct blob *text_in_file(const char *text, uint64_t announced)
{
    int fd = memfd_create("blob", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    struct blob *b = blob_from_fd(fd, &(struct blob_entry){.nbytes = announced});
    assert_non_null(b);
    return b;
}

static void check_ranges(const struct blob *b)
{
    char got[16] = "";
    struct error err;
    assert_int_equal(blob_nbytes(b), 10);
    assert_int_equal(blob_read(b, 0, got, 10, &err), 0);
    assert_memory_equal(got, "0123456789", 10);
    assert_int_equal(blob_read(b, 3, got, 4, &err), 0);
    assert_memory_equal(got, "3456", 4);
    assert_int_equal(blob_read(b, 10, got, 0, &err), 0);
    assert_int_equal(blob_read(b, 10, got, 1, &err), -EINVAL);
    assert_int_equal(blob_read(b, 11, got, 0, &err), -EINVAL);
    assert_int_equal(blob_read(b, UINT64_MAX, got, 2, &err), -EINVAL);
    assert_int_equal(blob_read(b, 2, got, SIZE_MAX, &err), -EINVAL);
}

static void test_blob_in_memory(void **state)
{
    (void)state;
    struct blob *b = text_in_memory("0123456789", NULL);
    assert_int_equal(blob_fd(b), -1);
    check_ranges(b);
    blob_put(b);
}

static void test_blob_in_file(void **state)
{
    (void)state;
    struct blob *b = text_in_file("0123456789", 10);
    assert_true(blob_fd(b) >= 0);
    check_ranges(b);
    blob_put(b);
}

static void test_blob_of_nothing(void **state)
{
    (void)state;
    struct blob *b = text_in_memory("", NULL);
    assert_int_equal(blob_nbytes(b), 0);
    assert_int_equal(blob_read(b, 0, NULL, 0, NULL), 0);
    blob_put(b);
}

static void test_last_reference_gives_back(void **state)
{
    (void)state;
    struct budget *budget = budget_new(100);
    assert_non_null(budget);
    assert_true(budget_take(budget, 10));
    struct blob *b = text_in_memory("0123456789", budget);
    assert_ptr_equal(blob_get(b), b);
    blob_put(b);
    assert_int_equal(budget_used(budget), 10);
    char got;
    assert_int_equal(blob_read(b, 9, &got, 1, NULL), 0);
    assert_int_equal(got, '9');
    blob_put(b);
    assert_int_equal(budget_used(budget), 0);
    blob_put(NULL);
    budget_free(budget);
}

static void test_last_reference_closes(void **state)
{
    (void)state;
    struct blob *b = text_in_file("0123456789", 10);
    int fd = blob_fd(b);
    blob_put(b);
    char got;
    assert_int_equal(pread(fd, &got, 1, 0), -1);
    assert_int_equal(errno, EBADF);
}

/* The file was cut behind our back: an error, never a short or padded read. */
static void test_file_cut_short(void **state)
{
    (void)state;
    struct blob *b = text_in_file("01234", 10);
    char got[10];
    struct error err;
    assert_int_equal(blob_read(b, 0, got, 5, &err), 0);
    assert_int_equal(blob_read(b, 0, got, 10, &err), -EAGAIN);
    assert_int_equal(err.code, EAGAIN);
    assert_non_null(strstr(err.text, "ends at byte 5"));
    blob_put(b);
}

static void test_descriptor_that_fails(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct blob *b =
        blob_from_fd(fds[0], &(struct blob_entry){.nbytes = 10}); /* a pipe refuses pread */
    assert_non_null(b);
    char got;
    struct error err;
    assert_int_equal(blob_read(b, 0, &got, 1, &err), -EAGAIN);
    assert_non_null(strstr(err.text, strerror(ESPIPE)));
    blob_put(b);
    close(fds[1]);
}

static void test_invalidated(void **state)
{
    (void)state;
    struct blob *b = text_in_file("0123456789", 10);
    char got[10];
    struct error err;
    assert_false(blob_is_invalidated(b));
    blob_invalidate(b);
    assert_true(blob_is_invalidated(b));
    assert_int_equal(blob_read(b, 0, got, 10, &err), -EAGAIN);
    assert_int_equal(blob_read(b, 0, got, 11, &err), -EINVAL);
    blob_put(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_takes_up_to_the_limit),
        cmocka_unit_test(test_budget_forced_over_the_limit),
        cmocka_unit_test(test_budget_from_many_threads),
        cmocka_unit_test(test_blob_in_memory),
        cmocka_unit_test(test_blob_in_file),
        cmocka_unit_test(test_blob_of_nothing),
        cmocka_unit_test(test_last_reference_gives_back),
        cmocka_unit_test(test_last_reference_closes),
        cmocka_unit_test(test_file_cut_short),
        cmocka_unit_test(test_descriptor_that_fails),
        cmocka_unit_test(test_invalidated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
