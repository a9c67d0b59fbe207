/* SPDX-License-Identifier: MIT
 *
 * The table of recipes: the built-in ones (recipe_builtin.c) and those of the user's file.
 *
 *     file -- recipe_file --> sections -- expr_parse --> recipes
 *                                 |            |
 *                                 +------------+---> problems
 *
 * A recipe's tree has those of the recipes that it names put in, so nothing is looked up later. A
 * section with a mistake gives no recipe; one that names it is reported too, at the name. When a
 * file is read again, a recipe of before takes the place of one that is wrong now.
 */
#include "recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recipe_priv.h"

/* What expressions may name. */
struct names {
    const struct recipe_file *file;
    bool failed;                         /* a name was not found */
    const struct recipe_section *broken; /* and this is why */
};

static const char *look_up(void *ctx, const char *name, size_t nbytes)
{
    struct names *names = ctx;
    const struct recipe_builtin *builtin = recipe_builtin_find(name, nbytes);
    if (builtin)
        return builtin->text;
    const struct recipe_section *section = recipe_file_find(names->file, name, nbytes);
    if (section && !section->broken && !section->command)
        return section->expr.text;
    if (!names->failed) /* later ones are guesses at what was meant */
        names->broken = section;
    names->failed = true;
    return NULL;
}

static struct expr_params params_of(void *ctx, const char *name, size_t nbytes)
{
    struct names *names = ctx;
    const struct recipe_section *section =
        recipe_builtin_find(name, nbytes) ? NULL : recipe_file_find(names->file, name, nbytes);
    return section ? (struct expr_params){section->numbers, section->nparams}
                   : (struct expr_params){NULL, 0};
}

static const char *value_text(const struct recipe_value *value)
{
    return value->text ? value->text : "";
}

static int read_params(struct recipe_file *file, struct recipe_section *section)
{
    if (section->nparams == 0)
        return 0;
    section->numbers = calloc(section->nparams, sizeof(*section->numbers));
    if (!section->numbers)
        return -ENOMEM;
    for (size_t i = 0; i < section->nparams; i++) {
        const struct recipe_param *param = &section->params[i];
        struct expr_param *number = &section->numbers[i];
        size_t line, column;
        number->name = param->name;
        if (expr_read_number(param->value.text, strlen(param->value.text), &number->value))
            continue;
        section->broken = true;
        recipe_value_place(&param->value, 1, &line, &column);
        return recipe_file_problem(file, line, column, "a parameter is a number, unlike '%s'",
                                   param->value.text);
    }
    return 0;
}

/* What only the whole section tells. Marks it broken. */
static int check_section(struct recipe_file *file, struct recipe_section *section)
{
    bool list;
    size_t line, column;
    if (section->broken)
        return 0;
    if (!section->command && !section->expr.text) {
        section->broken = true;
        return recipe_file_problem(file, section->line, section->column, "'%s' has no expr = ...",
                                   section->name);
    }
    if (recipe_value_bool(&section->list, &list) < 0) {
        section->broken = true;
        recipe_value_place(&section->list, 1, &line, &column);
        return recipe_file_problem(file, line, column, "list is yes or no, not '%s'",
                                   section->list.text);
    }
    return read_params(file, section);
}

static int copy_params(struct recipe *recipe, const struct expr_params *params)
{
    if (params->n == 0)
        return 0;
    recipe->params = calloc(params->n, sizeof(*recipe->params));
    for (size_t i = 0; recipe->params && i < params->n; i++) {
        recipe->params[i] =
            (struct expr_param){strdup(params->list[i].name), params->list[i].value};
        recipe->nparams++;
        if (!recipe->params[i].name)
            return -ENOMEM;
    }
    return recipe->params ? 0 : -ENOMEM;
}

/* Fill a zeroed recipe; takes `expr` over, also when it fails. Its params are copied. -ENOMEM or 0.
 */
static int recipe_fill(struct recipe *recipe, const char *name, const char *text,
                       const char *description, struct expr *expr, const struct expr_params *params)
{
    recipe->expr = expr;
    recipe->name = strdup(name);
    recipe->text = strdup(text);
    recipe->description = strdup(description);
    recipe->canonical = expr_print(expr);
    if (!recipe->name || !recipe->text || !recipe->description || !recipe->canonical)
        return -ENOMEM;
    return copy_params(recipe, params);
}

int recipe_copy(struct recipe *recipe, const char *name, const struct recipe *from)
{
    struct expr *expr = NULL;
    if (from->command)
        return recipe_copy_command(recipe, name, from);
    /* the canonical text names nothing, so it means the same for ever */
    int ret = expr_parse(from->canonical, NULL, NULL, &expr, NULL);
    if (ret < 0)
        return -ENOMEM;
    recipe->list = from->list;
    recipe->mtime_ns = from->mtime_ns;
    return recipe_fill(recipe, name, from->text, from->description, expr,
                       &(struct expr_params){from->params, from->nparams});
}

static void recipe_clear(struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->nparams; i++)
        free((char *)recipe->params[i].name);
    free(recipe->params);
    free(recipe->name);
    free(recipe->text);
    free(recipe->description);
    free(recipe->canonical);
    free(recipe->wrong);
    expr_free(recipe->expr);
    command_free(recipe->command);
}

/* Append to the table; takes `expr` over, also when it fails. The array has room. */
static int table_add(struct recipe_table *table, const char *name, const char *text,
                     const char *description, struct expr *expr, const struct expr_params *params)
{
    return recipe_fill(&table->recipes[table->nrecipes++], name, text, description, expr, params);
}

static int add_builtins(struct recipe_table *table, const struct recipe_file *file,
                        struct error *err)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++) {
        const struct recipe_builtin *builtin = &recipe_builtins[i];
        struct names names = {.file = file};
        struct expr_error expr_err;
        struct expr *expr = NULL;
        int ret = expr_parse(builtin->text, look_up, &names, &expr, &expr_err);
        if (ret < 0)
            return error_set(err, -ret, "built-in recipe %s: %s", builtin->name,
                             expr_err.error.text);
        ret = table_add(table, builtin->name, builtin->text, builtin->description, expr,
                        &(struct expr_params){NULL, 0});
        if (ret < 0)
            return error_set(err, -ret, "cannot set recipes up: out of memory");
        struct recipe *recipe = &table->recipes[table->nrecipes - 1];
        recipe->list = true;
        recipe->list_runs = builtin->list_runs;
        recipe->page = builtin->page;
    }
    return 0;
}

/* The section's recipe, or a problem in its expression. -ENOMEM or 0. */
static int add_section(struct recipe_table *table, struct recipe_file *file,
                       const struct recipe_section *section)
{
    struct names names = {.file = file};
    struct expr_params params = {section->numbers, section->nparams};
    struct expr_error expr_err;
    struct expr *expr = NULL;
    int ret =
        expr_parse_with(section->expr.text,
                        &(struct expr_names){look_up, params_of, &names, params}, &expr, &expr_err);
    if (ret == -ENOMEM)
        return ret;
    if (ret < 0) {
        size_t line, column;
        recipe_value_place(&section->expr, expr_err.column, &line, &column);
        if (ret == -ENOENT && names.broken)
            return recipe_file_problem(file, line, column, "it needs recipe '%s', which is wrong",
                                       names.broken->name);
        return recipe_file_problem(file, line, column, "%s", expr_err.error.text);
    }
    ret = table_add(table, section->name, section->expr.text, value_text(&section->description),
                    expr, &params);
    if (ret < 0)
        return ret;
    struct recipe *recipe = &table->recipes[table->nrecipes - 1];
    recipe->mtime_ns = file->mtime_ns;
    return recipe_value_bool(&section->list, &recipe->list);
}

/* Does a recipe of the table have a file of the same name? */
static bool is_in_the_way(const struct recipe_table *table, const struct recipe *old)
{
    if (old->command) {
        size_t stem = recipe_stem(old->name);
        return stem > 0 && recipe_find(table, old->name, stem);
    }
    for (size_t i = 0; i < table->nrecipes; i++) {
        const char *name = table->recipes[i].name;
        if (table->recipes[i].command && recipe_stem(name) == strlen(old->name) &&
            strncmp(name, old->name, strlen(old->name)) == 0)
            return true;
    }
    return false;
}

/* Recipes of `before` that the file still has, but wrong, stay as they were. A recipe that is not
 * in the file any more goes, unless a heading that cannot be read may have been its own. */
static int keep_good(struct recipe_table *table, struct recipe_file *file,
                     const struct recipe_table *before)
{
    int ret = 0;
    for (size_t i = RECIPE_NBUILTINS; before && ret == 0 && i < before->nrecipes; i++) {
        const struct recipe *old = &before->recipes[i];
        const struct recipe_section *section = recipe_file_find(file, old->name, strlen(old->name));
        if (recipe_find(table, old->name, strlen(old->name)) || (!section && !file->stray) ||
            is_in_the_way(table, old))
            continue;
        ret = recipe_copy(&table->recipes[table->nrecipes++], old->name, old);
        if (ret == 0)
            ret = recipe_file_problem(
                file, section ? section->line : 1, section ? section->column : 1,
                "recipe '%s' stays as it was when it was last right", old->name);
    }
    return ret;
}

static int add_sections(struct recipe_table *table, struct recipe_file *file,
                        const struct recipe_table *before)
{
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < file->nsections; i++)
        ret = check_section(file, &file->sections[i]);
    for (size_t i = 0; ret == 0 && i < file->nsections; i++)
        if (!file->sections[i].broken && !file->sections[i].command)
            ret = add_section(table, file, &file->sections[i]);
    if (ret == 0)
        ret = recipe_commands_check(file);
    if (ret == 0)
        ret = recipe_commands_add(file, table);
    if (ret == 0)
        ret = keep_good(table, file, before);
    /* The table takes the problems over. */
    table->problems = file->problems;
    table->nproblems = file->nproblems;
    file->problems = NULL;
    file->nproblems = 0;
    return ret;
}

static int build(struct recipe_file *file, const struct recipe_table *before,
                 struct recipe_table **out, struct error *err)
{
    size_t most = RECIPE_NBUILTINS + file->nsections + (before ? before->nrecipes : 0);
    struct recipe_table *table = calloc(1, sizeof(*table));
    if (!table)
        return error_set(err, ENOMEM, "cannot set recipes up: out of memory");
    atomic_init(&table->refs, 1);
    table->recipes = calloc(most, sizeof(*table->recipes));
    int ret = table->recipes ? add_builtins(table, file, err)
                             : error_set(err, ENOMEM, "cannot set recipes up: out of memory");
    if (ret == 0) {
        ret = add_sections(table, file, before);
        if (ret < 0)
            error_set(err, -ret, "%s: cannot read recipes: out of memory", file->path);
    }
    if (ret < 0) {
        recipe_table_put(table);
        return ret;
    }
    *out = table;
    return 0;
}

int recipe_table_load(const char *path, struct recipe_table **out, struct error *err)
{
    return recipe_table_reload(path, NULL, out, err);
}

int recipe_table_reload(const char *path, const struct recipe_table *before,
                        struct recipe_table **out, struct error *err)
{
    struct recipe_file file = {0};
    int ret = path ? recipe_file_read(path, &file, err) : 0;
    if (ret == 0)
        ret = build(&file, before, out, err);
    recipe_file_clear(&file);
    return ret;
}

struct recipe_table *recipe_table_get(struct recipe_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void recipe_table_put(struct recipe_table *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < t->nrecipes; i++)
        recipe_clear(&t->recipes[i]);
    for (size_t i = 0; i < t->nproblems; i++)
        free(t->problems[i]);
    free(t->recipes);
    free(t->problems);
    free(t);
}

const struct recipe *recipe_find(const struct recipe_table *t, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < t->nrecipes; i++)
        if (strlen(t->recipes[i].name) == nbytes && memcmp(t->recipes[i].name, name, nbytes) == 0)
            return &t->recipes[i];
    return NULL;
}
