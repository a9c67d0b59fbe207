/* SPDX-License-Identifier: MIT
 *
 * Opens that were answered ESTALE: what counts as the second try of the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retries.h"

enum { THREAD = 1000, OTHER = 1001 };

static void only_the_next_try_of_the_same_thread_is_the_second(void **state)
{
    struct retries t = {0};

    (void)state;
    assert_false(retries_is_second(&t, THREAD, "func", "a.nii"));
    retries_note(&t, THREAD, "func", "a.nii");
    assert_false(retries_is_second(&t, OTHER, "func", "a.nii"));
    retries_note(&t, OTHER, "func", "a.nii");
    assert_true(retries_is_second(&t, THREAD, "func", "a.nii"));
    assert_true(retries_is_second(&t, OTHER, "func", "a.nii"));
}

static void another_file_is_another_try(void **state)
{
    struct retries t = {0};

    (void)state;
    retries_note(&t, THREAD, "anat", "b.nii");
    assert_false(retries_is_second(&t, THREAD, "func", "b.nii"));
    assert_false(retries_is_second(&t, THREAD, "anat", "a.nii"));
    /* where one ends and the other begins counts */
    assert_false(retries_is_second(&t, THREAD, "ana", "tb.nii"));
    assert_true(retries_is_second(&t, THREAD, "anat", "b.nii"));
}

static void an_open_that_is_answered_is_followed_by_a_first_try(void **state)
{
    struct retries t = {0};

    (void)state;
    retries_note(&t, THREAD, "func", "a.nii");
    retries_forget(&t, THREAD);
    assert_false(retries_is_second(&t, THREAD, "func", "a.nii"));
}

static void threads_of_one_slot_lose_their_second_try_only(void **state)
{
    struct retries t = {0};

    (void)state;
    retries_note(&t, THREAD, "func", "a.nii");
    retries_note(&t, THREAD + RETRIES_MAX, "func", "a.nii");
    assert_false(retries_is_second(&t, THREAD, "func", "a.nii"));
    assert_true(retries_is_second(&t, THREAD + RETRIES_MAX, "func", "a.nii"));
}

static void a_thread_that_nobody_knows_has_no_first_try(void **state)
{
    struct retries t = {0};

    (void)state;
    assert_true(retries_is_second(&t, 0, "func", "a.nii"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_next_try_of_the_same_thread_is_the_second),
        cmocka_unit_test(another_file_is_another_try),
        cmocka_unit_test(an_open_that_is_answered_is_followed_by_a_first_try),
        cmocka_unit_test(threads_of_one_slot_lose_their_second_try_only),
        cmocka_unit_test(a_thread_that_nobody_knows_has_no_first_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
