/* SPDX-License-Identifier: MIT
 *
 * Memory for large buffers: aligned, never shared, used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vector.h"

#define MIB ((size_t)1 << 20)

static void test_aligned_and_of_any_size(void **state)
{
    static const size_t sizes[] = {1, 100, 64 << 10, (64 << 10) + 1, 3 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = vector_alloc(sizes[i]);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 1, sizes[i]);
        vector_free(p);
    }
    assert_null(vector_alloc(SIZE_MAX));
    vector_free(NULL);
}

/* More than the store has: no two overlap, whatever was freed between. */
static void test_never_shared(void **state)
{
    enum { N = 40 };
    unsigned char *p[N];
    size_t nbytes[N];

    (void)state;
    for (size_t i = 0; i < N; i++) {
        nbytes[i] = (1 + i % 5) * MIB - i;
        p[i] = vector_alloc(nbytes[i]);
        assert_non_null(p[i]);
        p[i][0] = p[i][nbytes[i] - 1] = (unsigned char)i;
    }
    for (size_t i = 0; i < N; i += 3) {
        vector_free(p[i]);
        p[i] = vector_alloc(nbytes[i]);
        assert_non_null(p[i]);
        p[i][0] = p[i][nbytes[i] - 1] = (unsigned char)i;
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(p[i] + nbytes[i] <= p[j] || p[j] + nbytes[j] <= p[i]);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(p[i][0], i);
        assert_int_equal(p[i][nbytes[i] - 1], i);
        vector_free(p[i]);
    }
}

/* So that no more pages are touched than tasks need at a time. */
static void test_freed_memory_is_used_again(void **state)
{
    unsigned char *first = vector_alloc(3 * MIB), *second = vector_alloc(3 * MIB), *again;

    (void)state;
    vector_free(first);
    again = vector_alloc(2 * MIB);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_ptr_equal(again, first);
#endif
    vector_free(again);
    vector_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_and_of_any_size),
        cmocka_unit_test(test_never_shared),
        cmocka_unit_test(test_freed_memory_is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
