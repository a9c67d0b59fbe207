/* SPDX-License-Identifier: MIT
 *
 * The store of touched pages: who gets them, that they come back, and what does not fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "pages.h"

static const size_t PAGE = (size_t)2 << 20;

enum { NPAGES = 4, NTHREADS = 4, NTURNS = 2000 };

/* Addresses of the store, from the first allocation that fits into it exactly. */
static unsigned char *base;

static bool is_stored(const void *p)
{
    uintptr_t at = (uintptr_t)p, begin = (uintptr_t)base;

    return at >= begin && at < begin + NPAGES * PAGE;
}

static int set_up(void **state)
{
    (void)state;
    pages_touch(); /* of nothing */
    assert_false(pages_are_touched());
    pages_set_aside(NPAGES * PAGE);
    assert_false(pages_are_touched());
    base = pages_alloc(NPAGES * PAGE);
    assert_non_null(base);
    pages_free(base, NPAGES * PAGE);
    return 0;
}

static void what_is_free_is_given_again(void **state)
{
    (void)state;
    unsigned char *whole = pages_alloc(NPAGES * PAGE);
    assert_ptr_equal(whole, base);
    unsigned char *more = pages_alloc(PAGE);
    assert_false(is_stored(more));
    memset(whole, 1, NPAGES * PAGE);
    memset(more, 2, PAGE);
    assert_int_equal(whole[0], 1);
    pages_free(more, PAGE);
    pages_free(whole, NPAGES * PAGE);

    unsigned char *first = pages_alloc(PAGE), *second = pages_alloc(PAGE + 1);
    assert_ptr_equal(first, base);
    assert_ptr_equal(second, base + PAGE);
    pages_free(first, PAGE);
    /* one free page before, one behind: no two of them lie together */
    unsigned char *two = pages_alloc(2 * PAGE);
    assert_false(is_stored(two));
    pages_free(two, 2 * PAGE);
    pages_free(second, PAGE + 1);
    two = pages_alloc(2 * PAGE);
    assert_ptr_equal(two, base);
    pages_free(two, 2 * PAGE);
}

/* A page serves several, each with room to its end. */
static void a_page_is_cut(void **state)
{
    enum { NPARTS = 5 };
    static const size_t sizes[NPARTS] = {64 << 10, 100 << 10, 900 << 10, (64 << 10) + 1, 600 << 10};
    unsigned char *part[NPARTS];

    (void)state;
    for (int i = 0; i < NPARTS; i++) {
        part[i] = pages_alloc(sizes[i]);
        assert_true(is_stored(part[i]));
        assert_int_equal((uintptr_t)part[i] % 64, 0);
        memset(part[i], i, sizes[i]);
    }
    assert_ptr_equal(part[0], base);
    assert_true(part[NPARTS - 1] + sizes[NPARTS - 1] <= base + PAGE);
    for (int i = 0; i < NPARTS; i++) {
        assert_int_equal(part[i][0], i);
        assert_int_equal(part[i][sizes[i] - 1], i);
    }
    pages_free(part[1], sizes[1]);
    unsigned char *again = pages_alloc(128 << 10);
    assert_ptr_equal(again, part[1]);
    pages_free(again, 128 << 10);
    for (int i = 0; i < NPARTS; i++)
        if (i != 1)
            pages_free(part[i], sizes[i]);
}

static void small_and_impossible_sizes_pass_it_by(void **state)
{
    (void)state;
    unsigned char *small = pages_alloc(1000), *large = pages_alloc((NPAGES + 1) * PAGE);
    assert_non_null(small);
    assert_non_null(large);
    assert_false(is_stored(small));
    assert_false(is_stored(large));
    assert_int_equal((uintptr_t)small % 64, 0);
    memset(small, 3, 1000);
    pages_free(small, 1000);
    pages_free(large, (NPAGES + 1) * PAGE);
    assert_null(pages_alloc(SIZE_MAX));
    pages_free(NULL, 0);
    pages_free(NULL, PAGE);
}

static void *take_and_give(void *arg)
{
    unsigned char mark = *(unsigned char *)arg;

    for (int i = 0; i < NTURNS; i++) {
        size_t n = 1 + (size_t)(i + mark) % 3 * PAGE;
        unsigned char *p = pages_alloc(n);
        if (!p)
            return arg;
        for (size_t at = 0; at < n; at += PAGE)
            p[at] = mark;
        for (size_t at = 0; at < n; at += PAGE)
            if (p[at] != mark) /* somebody else has it too */
                return arg;
        pages_free(p, n);
    }
    return NULL;
}

static void threads_share_it_with_one_that_touches_it(void **state)
{
    pthread_t thread[NTHREADS];
    unsigned char mark[NTHREADS];
    void *wrong;

    (void)state;
    for (int i = 0; i < NTHREADS; i++) {
        mark[i] = (unsigned char)(i + 1);
        assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, &mark[i]), 0);
    }
    for (int i = 0; i < NTURNS / 20; i++)
        pages_touch();
    for (int i = 0; i < NTHREADS; i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_true(pages_are_touched());
    /* all of it has come back */
    unsigned char *whole = pages_alloc(NPAGES * PAGE);
    assert_ptr_equal(whole, base);
    pages_free(whole, NPAGES * PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_free_is_given_again),
        cmocka_unit_test(a_page_is_cut),
        cmocka_unit_test(small_and_impossible_sizes_pass_it_by),
        cmocka_unit_test(threads_share_it_with_one_that_touches_it),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
