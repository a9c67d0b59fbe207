/* SPDX-License-Identifier: MIT
 *
 * Expressions: refused with a sentence and a column within the text, or printed as a text that
 * parses to an equal tree and prints as itself.
 */
#include "expr.h"
#include "fuzz.h"
#include "named_recipes.h"

static const struct expr_param params[] = {{"n", 4}, {"x", -2.5}};

static void check_refusal(const char *text, int ret, const struct expr_error *err)
{
    assert_int_equal(err->error.code, -ret);
    assert_true(err->error.text[0] != '\0');
    assert_true(err->column >= 1 && err->column <= strlen(text) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct expr_names names = {.lookup = look_up, .ctx = (void *)recipes, .params = {params, 2}};
    struct expr_error err = {0};
    struct expr *e, *again;
    char *text = fuzz_text(data, nbytes);
    int ret = expr_parse_with(text, &names, &e, &err);

    if (ret < 0) {
        check_refusal(text, ret, &err);
        free(text);
        return 0;
    }
    char *printed = expr_print(e);
    assert_non_null(printed);
    if (expr_parse(printed, NULL, NULL, &again, &err) < 0)
        fail_msg("%s printed as %s: %s", text, printed, err.error.text);
    char *twice = expr_print(again);
    assert_non_null(twice);
    assert_string_equal(printed, twice);
    assert_true(expr_equal(e, again));
    free(text);
    free(printed);
    free(twice);
    expr_free(e);
    expr_free(again);
    return 0;
}
