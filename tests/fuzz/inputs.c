/* SPDX-License-Identifier: MIT
 *
 * Patterns of inputs: the parts that a file's name is cut into, joined again, are the name; a pattern
 * that is accepted prints as an expression that has it.
 */
#include "expr.h"
#include "fuzz.h"
#include "input.h"

static void check_parts(const char *name, const struct input_name *in)
{
    char joined[2 * INPUT_NAME_MAX] = "";
    size_t n = 0;

    assert_true(in->nentities <= INPUT_ENTITIES_MAX);
    for (size_t i = 0; i < in->nentities; i++) {
        assert_string_equal(input_name_label(in, in->entity[i].key), in->entity[i].label);
        n += (size_t)snprintf(joined + n, sizeof joined - n, "%s-%s_", in->entity[i].key,
                              in->entity[i].label);
    }
    snprintf(joined + n, sizeof joined - n, "%s.%s", in->suffix, in->ending);
    assert_string_equal(joined, name);
}

static void check_accepted(struct input *in, const char *pattern)
{
    char *text, *printed;
    struct expr *e;

    assert_string_equal(in->patterns[0], pattern);
    in->kind = input_default_kind(in);
    text = input_text(in);
    assert_non_null(text);
    assert_int_equal(expr_parse(text, NULL, NULL, &e, NULL), 0);
    assert_true(input_equal(e->input, in));
    printed = expr_print(e);
    assert_string_equal(printed, text);
    expr_free(e);
    free(printed);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    char *text = fuzz_text(data, nbytes);
    struct input *in = input_new();
    struct input_name name;
    struct error err = {0};

    assert_non_null(in);
    if (input_name_parse(text, &name))
        check_parts(text, &name);
    if (input_add_pattern(in, text, strlen(text), &err) == 0) {
        check_accepted(in, text);
    } else {
        assert_int_equal(err.code, EINVAL);
        assert_true(err.text[0] != '\0');
    }
    input_put(in);
    free(text);
    return 0;
}
