/* SPDX-License-Identifier: MIT
 *
 * UTF-8: what is well-formed stays, every other byte becomes one question mark.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "utf8.h"

static void check(const char *text, const char *expected)
{
    char copy[64];

    snprintf(copy, sizeof copy, "%s", text);
    utf8_clean(copy);
    assert_string_equal(copy, expected);
}

static void test_well_formed_text_stays(void **state)
{
    (void)state;
    check("", "");
    check("sub-01_bold.nii.gz", "sub-01_bold.nii.gz");
    check("\x7e \xc2\xa0 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf",
          "\x7e \xc2\xa0 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf");
}

static void test_other_bytes_become_question_marks(void **state)
{
    (void)state;
    check("a\xff"
          "b",
          "a?b");
    check("\x80", "?");
    check("\xc3", "?");                /* cut off */
    check("\xe2\x82", "??");           /* cut off */
    check("\xc0\xaf", "??");           /* overlong */
    check("\xe0\x9f\xbf", "???");      /* overlong */
    check("\xed\xa0\x80", "???");      /* a surrogate */
    check("\xf4\x90\x80\x80", "????"); /* behind the end */
    check("\xf8\x88\x80\x80", "????");
    check("a\nb\tc\x7f", "a?b?c?");
    check("\xc2\x9b"
          "31m",
          "??31m"); /* C1: CSI */
    check("a\xe2\x80\xae"
          "b\xe2\x81\xa6\xd8\x9c",
          "a???b?????"); /* directions */
}

static void test_json_has_no_characters_that_a_terminal_obeys(void **state)
{
    char *shown = utf8_json_shown("{\n\"a\\n\xc2\x9b\xc3\xa4\": \"\xe2\x80\xae\x7f\"\n}");

    (void)state;
    assert_string_equal(shown, "{\n\"a\\n\\u009b\xc3\xa4\": \"\\u202e\\u007f\"\n}");
    free(shown);
}

static void test_length_of_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_char_nbytes("a"), 1);
    assert_int_equal(utf8_char_nbytes("\xc3\xa4x"), 2);
    assert_int_equal(utf8_char_nbytes("\xe2\x82\xac"), 3);
    assert_int_equal(utf8_char_nbytes("\xf0\x9f\xa7\xa0"), 4);
    assert_int_equal(utf8_char_nbytes("\xa4"), 0);
}

/* There and back; `inside` is what stands in the JSON. */
static void json_is(const char *bytes, const char *inside)
{
    json_t *value = utf8_json(bytes);
    char *back = utf8_of_json(value);

    assert_string_equal(json_string_value(value), inside);
    assert_string_equal(back, bytes);
    free(back);
    json_decref(value);
}

static void test_any_bytes_in_json(void **state)
{
    (void)state;
    json_is("", "");
    json_is("a\n\033\xc3\xa4\xf0\x9f\xa7\xa0", "a\n\033\xc3\xa4\xf0\x9f\xa7\xa0");
    json_is("\xff|\x80", "\xee\xbf\xbf|\xee\xbe\x80");
    json_is("\xc3", "\xee\xbf\x83");
    json_is("\xee\xbe\x80", /* a byte's own character: its three bytes */
            "\xee\xbf\xae\xee\xbe\xbe\xee\xbe\x80");
    assert_null(utf8_of_json(NULL));
}

static void shown_as(const char *line, const char *expected)
{
    char *shown = utf8_shown(line);

    assert_string_equal(shown, expected);
    free(shown);
}

static void test_what_a_terminal_is_shown(void **state)
{
    (void)state;
    shown_as("", "");
    shown_as("sub-01 \xc3\xa4'\"\\ \xf0\x9f\xa7\xa0\n", "sub-01 \xc3\xa4'\"\\ \xf0\x9f\xa7\xa0\n");
    shown_as("a\033[2J\nb\n", "a\\033[2J\\nb\n");
    shown_as("\a\b\t\v\f\r\177\001", "\\a\\b\\t\\v\\f\\r\\177\\001");
    shown_as("\xc2\x9b"
             "31m\xff\xe2\x80\xae",
             "\\302\\23331m\\377\\342\\200\\256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed_text_stays),
        cmocka_unit_test(test_other_bytes_become_question_marks),
        cmocka_unit_test(test_length_of_a_character),
        cmocka_unit_test(test_json_has_no_characters_that_a_terminal_obeys),
        cmocka_unit_test(test_any_bytes_in_json),
        cmocka_unit_test(test_what_a_terminal_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
