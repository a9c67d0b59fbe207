/* SPDX-License-Identifier: MIT
 *
 * Recipes with values in their names: NAME@PARAMETER=NUMBER,...
 *
 * Such a recipe is parsed again from its text with these numbers, at each lookup. It is in a table
 * of its own, whose reference keeps it alive as for any other recipe. The tree has no trace of the
 * names: equal values, in any order or spelling, and equal expressions of other recipes give the
 * same tasks.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipe.h"
#include "recipe_private.h"
#include "text.h"

char *recipe_params_text(const struct recipe *r)
{
    char *text = NULL;
    size_t nbytes = 0;
    FILE *out = open_memstream(&text, &nbytes);
    bool failed = false;

    if (!out)
        return NULL;
    for (size_t i = 0; i < r->nparams; i++) {
        char *number = expr_print(&(struct expr){.op = EXPR_NUMBER, .number = r->params[i].value});
        failed = failed || !number;
        if (number)
            fprintf(out, "%s%s=%s", i > 0 ? "," : "", r->params[i].name, number);
        free(number);
    }
    text = text_end(out, &text);
    if (!failed)
        return text;
    free(text);
    return NULL;
}

/* Set r->wrong to the reason and the parameters of the recipe. -ENOMEM or 0. */
static int PRINTF_LIKE(3, 4)
    complain(struct recipe *r, const struct recipe *of, const char *fmt, ...)
{
    char *params = recipe_params_text(of), *reason = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&reason, fmt, args) < 0)
        reason = NULL;
    va_end(args);
    int n = -1;
    if (params && reason)
        n = of->nparams > 0
                ? asprintf(&r->wrong, "%s (the parameters of recipe '%s' are %s)", reason, of->name,
                           params)
                : asprintf(&r->wrong, "%s: recipe '%s' has no parameters", reason, of->name);
    free(params);
    free(reason);
    if (n >= 0)
        return 0;
    r->wrong = NULL;
    return -ENOMEM;
}

/* Take "NAME=NUMBER", text[nbytes], into r->params; `given` marks the parameters so far. */
static int take_value(struct recipe *r, const struct recipe *of, const char *text, size_t nbytes,
                      bool *given)
{
    const char *equals = memchr(text, '=', nbytes);
    int shown = (int)nbytes;
    if (!equals)
        return complain(r, of, "'%.*s' is not NAME=NUMBER", shown, text);
    size_t name_nbytes = (size_t)(equals - text);
    size_t i = 0;
    while (i < of->nparams && !text_is(of->params[i].name, text, name_nbytes))
        i++;
    if (i == of->nparams)
        return complain(r, of, "there is no parameter '%.*s'", (int)name_nbytes, text);
    if (given[i])
        return complain(r, of, "'%s' is given twice", of->params[i].name);
    given[i] = true;
    if (!expr_read_number(equals + 1, nbytes - name_nbytes - 1, &r->params[i].value))
        return complain(r, of, "'%.*s' is not a number", shown - (int)name_nbytes - 1, equals + 1);
    return 0;
}

static int take_values(struct recipe *r, const struct recipe *of, const char *text, size_t nbytes)
{
    bool *given = calloc(of->nparams + 1, sizeof(*given));
    int ret = given ? 0 : -ENOMEM;
    for (size_t at = 0; ret == 0 && !r->wrong && at <= nbytes;) {
        const char *comma = memchr(text + at, ',', nbytes - at);
        size_t end = comma ? (size_t)(comma - text) : nbytes;
        ret = take_value(r, of, text + at, end - at, given);
        at = end + 1;
    }
    free(given);
    return ret;
}

static const char *text_in_table(void *ctx, const char *name, size_t nbytes)
{
    const struct recipe *recipe = recipe_find(ctx, name, nbytes);
    return recipe ? recipe->text : NULL;
}

static struct expr_params params_in_table(void *ctx, const char *name, size_t nbytes)
{
    const struct recipe *recipe = recipe_find(ctx, name, nbytes);
    return recipe ? (struct expr_params){recipe->params, recipe->nparams}
                  : (struct expr_params){NULL, 0};
}

/* Replace the tree by that of the values. */
static int put_values_in(struct recipe *r, const struct recipe *of, struct recipe_table *t)
{
    struct expr_error err;
    struct expr *expr = NULL;
    int ret = expr_parse_with(of->text,
                              &(struct expr_names){.lookup = text_in_table,
                                                   .params_of = params_in_table,
                                                   .ctx = t,
                                                   .params = {r->params, r->nparams}},
                              &expr, &err);
    if (ret == -ENOMEM)
        return ret;
    if (ret < 0)
        return complain(r, of, "%s", err.error.text);
    expr_free(r->expr);
    free(r->canonical);
    free(r->text);
    r->expr = expr;
    r->canonical = expr_print(expr);
    r->text = r->canonical ? strdup(r->canonical) : NULL;
    return r->text ? 0 : -ENOMEM;
}

int recipe_instance(struct recipe_table *t, const struct recipe *of, const char *name,
                    struct recipe_table **out)
{
    struct recipe_table *own = recipe_table_new(1);
    if (!own)
        return -ENOMEM;
    const char *values = strchr(name, '@') + 1;
    own->base = recipe_table_get(t->base ? t->base : t);
    struct recipe *r = &own->recipes[own->nrecipes++];
    int ret = recipe_copy(r, name, of);
    if (ret == 0)
        ret = take_values(r, of, values, strlen(values));
    if (ret == 0 && !r->wrong)
        ret = put_values_in(r, of, t);
    r->list = false;
    if (ret < 0)
        recipe_table_put(own);
    else
        *out = own;
    return ret;
}
