/* SPDX-License-Identifier: MIT
 *
 * Arrays that grow: what is in them stays, and an array that cannot grow is as it was.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "grow.h"

/* The sanitizers would end the test where malloc() gives NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

struct element {
    char letter;
    double number;
};

/* Under AddressSanitizer a write behind the room ends the test. */
static void test_elements_stay(void **state)
{
    enum { N = 1000 };
    struct element *list = NULL;
    size_t n = 0;

    (void)state;
    while (n < N) {
        assert_int_equal(GROW(list, n), 0);
        list[n] = (struct element){.letter = (char)n, .number = (double)n};
        n++;
    }
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(list[i].letter, (char)i);
        assert_true(list[i].number == (double)i);
    }
    free(list);
}

static void test_no_memory(void **state)
{
    struct element *list = NULL, *before;

    (void)state;
    assert_int_equal(GROW(list, 0), 0);
    list[0].number = 7;
    before = list;
    /* more than any machine has, and a number of bytes that overflows */
    assert_int_equal(grow(&list, (size_t)1 << 55, sizeof *list), -ENOMEM);
    assert_int_equal(grow(&list, (size_t)1 << 62, sizeof *list), -ENOMEM);
    assert_ptr_equal(list, before);
    assert_true(list[0].number == 7);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_stay),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
