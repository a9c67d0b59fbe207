/* SPDX-License-Identifier: MIT
 *
 * Errors: texts, wrapping, cutting, and that they always fit and always are one line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "error.h"

static void set_tells_code_and_text(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, EIO, "%s: %d bytes", "a.nii", 7), -EIO);
    assert_int_equal(err.code, EIO);
    assert_string_equal(err.text, "a.nii: 7 bytes");
}

static void null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ENOMEM, "out of memory"), -ENOMEM);
    assert_int_equal(error_wrap(NULL, -EIO, "reading"), -EIO);
}

static void wrap_adds_context_in_front(void **state)
{
    struct error err;

    (void)state;
    (void)error_set(&err, ENODATA, "not here");
    assert_int_equal(error_wrap(&err, -EIO, "run %d", 3), -ENODATA);
    assert_int_equal(err.code, ENODATA);
    assert_string_equal(err.text, "run 3: not here");
}

static void own_text_may_be_an_argument(void **state)
{
    struct error err;

    (void)state;
    (void)error_set(&err, EIO, "inner");
    (void)error_set(&err, ESTALE, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
    (void)error_wrap(&err, -ESTALE, "again %s", err.text);
    assert_string_equal(err.text, "again outer (inner): outer (inner)");
}

static void long_text_is_cut_visibly(void **state)
{
    struct error err;
    char text[3 * ERROR_TEXT_MAX];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)error_set(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    assert_string_equal(err.text + ERROR_TEXT_MAX - 5, "x...");

    (void)error_wrap(&err, -EIO, "context");
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "context: xxx", 12);
    assert_string_equal(err.text + ERROR_TEXT_MAX - 5, "x...");

    text[ERROR_TEXT_MAX - 1] = '\0'; /* exactly fits: not cut */
    (void)error_set(&err, EIO, "%s", text);
    assert_string_equal(err.text, text);
}

static void cutting_halves_no_character(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        struct error err;
        char text[2 * ERROR_TEXT_MAX] = "";
        memset(text, 'x', pad);
        while (strlen(text) < sizeof text - 8)
            strcat(text, "\xe2\x82\xac");
        (void)error_set(&err, EIO, "%s", text);
        size_t len = strlen(err.text);
        assert_true(len < ERROR_TEXT_MAX);
        assert_string_equal(err.text + len - 3, "...");
        assert_int_equal((len - 3 - pad) % 3, 0);
    }
}

static void text_is_one_line(void **state)
{
    struct error err;

    (void)state;
    (void)error_set(&err, EIO, "a\nb\x1b[31m: gone\n\n");
    assert_string_equal(err.text, "a?b?[31m: gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_tells_code_and_text),    cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(wrap_adds_context_in_front), cmocka_unit_test(own_text_may_be_an_argument),
        cmocka_unit_test(long_text_is_cut_visibly),   cmocka_unit_test(cutting_halves_no_character),
        cmocka_unit_test(text_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
