/* SPDX-License-Identifier: MIT
 *
 * Recipes files: whatever a file holds, the built-in recipes stay, each recipe has a canonical text
 * and is found by its name, with its defaults written out too, and reading the same file again
 * changes nothing.
 */
#include "fuzz.h"
#include "recipe.h"

static void check_canonical(const struct recipe *r)
{
    struct expr_error err = {0};
    struct expr *e;

    if (expr_parse(r->canonical, NULL, NULL, &e, &err) < 0)
        fail_msg("%s: %s: %s", r->name, r->canonical, err.error.text);
    assert_true(expr_equal(e, r->expr));
    expr_free(e);
}

/* NAME@PARAMETER=DEFAULT,... is the recipe itself. */
static void check_defaults(struct recipe_table *t, const struct recipe *r)
{
    struct recipe_table *owner;
    const struct recipe *found;
    char *params = recipe_params_text(r), *name;

    assert_non_null(params);
    assert_true(asprintf(&name, "%s@%s", r->name, params) > 0);
    assert_int_equal(recipe_resolve(t, name, strlen(name), &owner, &found, NULL), 0);
    assert_null(found->wrong);
    assert_string_equal(found->canonical, r->canonical);
    recipe_table_put(owner);
    free(name);
    free(params);
}

static void check_recipe(struct recipe_table *t, const struct recipe *r)
{
    assert_true((r->expr != NULL) != (r->command != NULL));
    assert_true(r->name[0] != '\0' && !strchr(r->name, '/'));
    assert_non_null(r->canonical);
    assert_ptr_equal(recipe_find(t, r->name, strlen(r->name)), r);
    if (r->expr)
        check_canonical(r);
    if (r->nparams > 0)
        check_defaults(t, r);
}

static void check_again(const char *path, const struct recipe_table *t)
{
    struct recipe_table *again;

    assert_int_equal(recipe_table_load(path, t, &again, NULL), 0);
    assert_int_equal(again->nrecipes, t->nrecipes);
    assert_int_equal(again->nproblems, t->nproblems);
    for (size_t i = 0; i < t->nrecipes; i++)
        assert_string_equal(again->recipes[i].canonical, t->recipes[i].canonical);
    recipe_table_put(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static struct recipe_table *built_in;
    struct recipe_table *t;
    struct error err = {0};
    char path[64];

    if (!built_in)
        assert_int_equal(recipe_table_load(NULL, NULL, &built_in, NULL), 0);
    int fd = fuzz_file(data, nbytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int ret = recipe_table_load(path, NULL, &t, &err);
    if (ret == 0) {
        assert_true(t->nrecipes >= built_in->nrecipes);
        for (size_t i = 0; i < built_in->nrecipes; i++)
            assert_string_equal(t->recipes[i].name, built_in->recipes[i].name);
        for (size_t i = built_in->nrecipes; i < t->nrecipes; i++)
            check_recipe(t, &t->recipes[i]);
        for (size_t i = 0; i < t->nproblems; i++)
            assert_int_equal(strncmp(t->problems[i], path, strlen(path)), 0);
        check_again(path, t);
        recipe_table_put(t);
    } else {
        assert_true(ret == -EINVAL || ret == -EFBIG);
        assert_true(err.text[0] != '\0');
    }
    close(fd);
    return 0;
}
