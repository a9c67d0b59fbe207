/* SPDX-License-Identifier: MIT
 *
 * Keys: equal for equal fields, different for anything else, the same on every machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "key.h"

static struct key key_of(const char *op, int version, const char *name, const char *value)
{
    struct key key;
    struct key_builder *b = key_begin(op, version);
    assert_non_null(b);
    key_add_text(b, name, value);
    key_end(b, &key);
    return key;
}

/* Against Python's hashlib.blake2b(digest_size=20) over the length-prefixed fields. */
static void test_known_answers(void **state)
{
    (void)state;
    struct key key;
    char value[300];
    struct key_builder *b = key_begin("moments", 1);
    assert_non_null(b);
    key_end(b, &key);
    assert_string_equal(key.hex, "0593439bc6f1752628fc49c3e706ba66244a7dde");

    b = key_begin("image", -12);
    assert_non_null(b);
    key_add_text(b, "expr", "mean(bold)/std(bold)");
    key_add(b, "bytes", "\0\1\2", 3);
    key_add(b, "empty", NULL, 0);
    key_add_numbers(b, "numbers", (const int64_t[]){7, -1}, 2);
    memset(value, 'x', sizeof(value));
    key_add(b, "long", value, sizeof(value));
    key_add_key(b, "input", &key);
    key_end(b, &key);
    assert_string_equal(key.hex, "aa145f6343e2e33a09082ca936803e898ad29706");
}

static void test_form(void **state)
{
    (void)state;
    struct key key = key_of("moments", 1, "source", "sub-01");
    assert_int_equal(strlen(key.hex), KEY_HEX);
    assert_int_equal(strspn(key.hex, "0123456789abcdef"), KEY_HEX);
}

static void test_equal_fields_equal_key(void **state)
{
    (void)state;
    struct key a = key_of("moments", 1, "source", "sub-01");
    struct key b = key_of("moments", 1, "source", "sub-01");
    assert_true(key_equal(&a, &b));
}

static void test_every_part_counts(void **state)
{
    (void)state;
    struct key keys[] = {
        key_of("moments", 1, "source", "a"),  key_of("moments", 2, "source", "a"),
        key_of("image", 1, "source", "a"),    key_of("moments", 1, "sourcf", "a"),
        key_of("moments", 1, "source", "b"),  key_of("moments", 1, "source", ""),
        key_of("moments", -1, "source", "a"), key_of("", 1, "source", "a"),
    };
    size_t n = sizeof(keys) / sizeof(*keys);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(key_equal(&keys[i], &keys[j]));
}

/* Fields that would be the same text if they were only put one behind the other. */
static void test_field_borders_count(void **state)
{
    (void)state;
    struct key a = key_of("op", 1, "ab", "c");
    struct key b = key_of("op", 1, "a", "bc");
    assert_false(key_equal(&a, &b));

    struct key one, two;
    struct key_builder *x = key_begin("op", 1);
    assert_non_null(x);
    key_add_text(x, "a", "b");
    key_add_text(x, "c", "d");
    key_end(x, &one);
    x = key_begin("op", 1);
    assert_non_null(x);
    key_add_text(x, "c", "d");
    key_add_text(x, "a", "b");
    key_end(x, &two);
    assert_false(key_equal(&one, &two));
}

static void test_bytes_with_zeros(void **state)
{
    (void)state;
    struct key one, two;
    struct key_builder *b = key_begin("op", 1);
    assert_non_null(b);
    key_add(b, "v", "a\0b", 3);
    key_end(b, &one);
    b = key_begin("op", 1);
    assert_non_null(b);
    key_add(b, "v", "a\0c", 3);
    key_end(b, &two);
    assert_false(key_equal(&one, &two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),          cmocka_unit_test(test_form),
        cmocka_unit_test(test_equal_fields_equal_key), cmocka_unit_test(test_every_part_counts),
        cmocka_unit_test(test_field_borders_count),    cmocka_unit_test(test_bytes_with_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
