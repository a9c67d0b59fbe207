/* SPDX-License-Identifier: MIT
 *
 * The table of recipes: the built-in ones (recipe_builtin.c) and those of the user's file.
 *
 *     file -- recipe_file --> sections -- expr_parse --> recipes
 *                                 |            |
 *                                 +------------+---> problems
 *
 * A recipe's tree contains those of the recipes that it names: nothing is looked up later. A section
 * with a mistake gives no recipe; a section that names it is reported too, at the name. When a file
 * is read again, the earlier recipe replaces one that is wrong now.
 */
#include "recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recipe_private.h"
#include "text.h"

/* The recipes that an expression may name. */
struct names {
    const struct recipe_file *file;
    bool failed;                         /* a name was not found, */
    const struct recipe_section *broken; /* because of this section */
};

static const char *look_up(void *ctx, const char *name, size_t nbytes)
{
    struct names *names = ctx;
    const struct recipe_builtin *builtin = recipe_builtin_find(name, nbytes);
    const struct recipe_section *section = recipe_file_find(names->file, name, nbytes);
    if (builtin && !(section && builtin->replaceable))
        return builtin->text;
    if (section && !section->broken && !section->command)
        return recipe_section_expr(section);
    if (!section && expr_is_coordinate(name, nbytes)) /* no failure */
        return NULL;
    if (!names->failed) /* later lookups are for suggestions */
        names->broken = section;
    names->failed = true;
    return NULL;
}

static struct expr_params params_of(void *ctx, const char *name, size_t nbytes)
{
    struct names *names = ctx;
    const struct recipe_builtin *builtin = recipe_builtin_find(name, nbytes);
    const struct recipe_section *section = recipe_file_find(names->file, name, nbytes);
    if (builtin && !(section && builtin->replaceable))
        return builtin->params;
    return section ? (struct expr_params){section->numbers, section->nparams}
                   : (struct expr_params){NULL, 0};
}

static int read_params(struct recipe_file *file, struct recipe_section *section)
{
    if (section->nparams == 0)
        return 0;
    section->numbers = calloc(section->nparams, sizeof(*section->numbers));
    if (!section->numbers)
        return -ENOMEM;
    for (size_t i = 0; i < section->nparams; i++) {
        const struct recipe_value *value = &section->params[i].value;
        struct expr_param *number = &section->numbers[i];
        number->name = section->params[i].name;
        if (!expr_read_number(value->text, strlen(value->text), &number->value))
            return recipe_section_problem(file, section, value, 1,
                                          "a parameter is a number, unlike '%s'", value->text);
    }
    return 0;
}

/* Check all that needs the whole section. */
static int check_section(struct recipe_file *file, struct recipe_section *section)
{
    const struct recipe_value *list = &section->values[KEY_LIST];
    const struct recipe_value *join = &section->values[KEY_JOIN];
    bool ignored;
    if (section->broken)
        return 0;
    if (!section->command && !section->values[KEY_EXPR].text && !section->values[KEY_FILE].text)
        return recipe_section_problem(file, section, NULL, 0, "'%s' has no expr = ...",
                                      section->name);
    if (recipe_value_bool(list, &ignored) < 0)
        return recipe_section_problem(file, section, list, 1, "list is yes or no, not '%s'",
                                      list->text);
    if (!section->values[KEY_FILE].text && recipe_value_join(join, &ignored) < 0)
        return recipe_section_problem(file, section, join, 1, "join is alike or all, not '%s'",
                                      join->text);
    int ret = recipe_input_check(file, section);
    return ret < 0 || section->broken ? ret : read_params(file, section);
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

/* Copy the texts of a recipe whose tree or command is there. -ENOMEM or 0. */
static int fill(struct recipe *recipe, const char *name, const char *text, const char *description)
{
    recipe->name = strdup(name);
    recipe->text = strdup(text);
    recipe->description = strdup(description ? description : "");
    recipe->canonical = recipe->expr ? expr_print(recipe->expr) : strdup(text);
    struct input *in = recipe->expr ? expr_input(recipe->expr) : NULL;
    if (in && !in->name) {
        in->name = strdup(name);
        if (!in->name)
            return -ENOMEM;
    }
    return recipe->name && recipe->text && recipe->description && recipe->canonical ? 0 : -ENOMEM;
}

int recipe_copy(struct recipe *recipe, const char *name, const struct recipe *from)
{
    /* the canonical text names nothing, so its meaning never changes */
    int ret = from->command ? recipe_copy_command(recipe, from)
                            : expr_parse(from->canonical, NULL, NULL, &recipe->expr, NULL);
    if (ret < 0)
        return -ENOMEM;
    recipe->list = from->list;
    recipe->join_all = from->join_all;
    recipe->mtime_ns = from->mtime_ns;
    ret = fill(recipe, name, from->text, from->description);
    return ret < 0 ? ret : copy_params(recipe, &(struct expr_params){from->params, from->nparams});
}

static int add_builtins(struct recipe_table *table, const struct recipe_file *file,
                        struct error *err)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++) {
        const struct recipe_builtin *builtin = &recipe_builtins[i];
        if (builtin->replaceable && recipe_file_find(file, builtin->name, strlen(builtin->name)))
            continue;
        struct recipe *recipe = &table->recipes[table->nrecipes++];
        struct names names = {.file = file};
        struct expr_error expr_err;
        int ret = expr_parse_with(builtin->text,
                                  &(struct expr_names){look_up, params_of, &names, builtin->params},
                                  &recipe->expr, &expr_err);
        if (ret < 0)
            return error_set(err, -ret, "built-in recipe %s: %s", builtin->name,
                             expr_err.error.text);
        if (fill(recipe, builtin->name, builtin->text, builtin->description) < 0 ||
            copy_params(recipe, &builtin->params) < 0)
            return error_set(err, ENOMEM, "cannot set up recipes: out of memory");
        recipe->list = builtin->list;
        recipe->list_runs = builtin->list_runs;
        recipe->page = builtin->page;
    }
    return 0;
}

/* Add the recipe of a section; takes over its command or `expr`, its tree. -ENOMEM or 0. */
static int add_recipe(struct recipe_table *table, const struct recipe_file *file,
                      struct recipe_section *section, struct expr *expr)
{
    struct recipe *recipe = &table->recipes[table->nrecipes++];
    const struct command *command = section->parsed;
    recipe->expr = expr;
    recipe->command = section->parsed;
    section->parsed = NULL;
    recipe->mtime_ns = file->mtime_ns;
    int ret = recipe_value_bool(&section->values[KEY_LIST], &recipe->list);
    if (ret == 0 && !section->values[KEY_FILE].text) /* of an input it is about masks */
        ret = recipe_value_join(&section->values[KEY_JOIN], &recipe->join_all);
    recipe->list_runs = command && recipe->list && command->per_run;
    if (ret == 0)
        ret = fill(recipe, section->name,
                   command ? section->values[KEY_COMMAND].text : recipe_section_expr(section),
                   section->values[KEY_DESCRIPTION].text);
    return ret < 0 ? ret
                   : copy_params(recipe, &(struct expr_params){section->numbers, section->nparams});
}

/* The recipe of the section's expression, or a problem in it. -ENOMEM or 0. */
static int add_expr(struct recipe_table *table, struct recipe_file *file,
                    struct recipe_section *section)
{
    const struct recipe_value *text = &section->values[KEY_EXPR];
    struct names names = {.file = file};
    struct expr_params params = {section->numbers, section->nparams};
    struct expr_error expr_err;
    struct expr *expr = NULL;
    int ret =
        expr_parse_with(recipe_section_expr(section),
                        &(struct expr_names){look_up, params_of, &names, params}, &expr, &expr_err);
    if (ret == 0)
        return add_recipe(table, file, section, expr);
    if (ret == -ENOMEM)
        return ret;
    size_t line, column;
    recipe_value_place(text, expr_err.column, &line, &column);
    if (ret == -ENOENT && names.broken)
        return recipe_file_problem(file, line, column, "it needs recipe '%s', which is wrong",
                                   names.broken->name);
    return recipe_file_problem(file, line, column, "%s", expr_err.error.text);
}

/* Does a recipe of the table have a file of the old one's name? */
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

/* Keep recipes of `before` whose section is wrong now. A recipe without a section goes, unless the
 * file has an unreadable heading, which may be its own. */
static int keep_good(struct recipe_table *table, struct recipe_file *file,
                     const struct recipe_table *before)
{
    int ret = 0;
    for (size_t i = 0; before && ret == 0 && i < before->nrecipes; i++) {
        const struct recipe *old = &before->recipes[i];
        if (old->mtime_ns == 0) /* a built-in one */
            continue;
        const struct recipe_section *section = recipe_file_find(file, old->name, strlen(old->name));
        if (recipe_find(table, old->name, strlen(old->name)) || (!section && !file->stray) ||
            is_in_the_way(table, old))
            continue;
        ret = recipe_copy(&table->recipes[table->nrecipes++], old->name, old);
        if (ret == 0)
            ret = recipe_file_problem(file, section ? section->line : 1,
                                      section ? section->column : 1,
                                      "recipe '%s' keeps its last valid definition", old->name);
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
            ret = add_expr(table, file, &file->sections[i]);
    if (ret == 0)
        ret = recipe_commands_check(file);
    for (size_t i = 0; ret == 0 && i < file->nsections; i++)
        if (!file->sections[i].broken && file->sections[i].command)
            ret = add_recipe(table, file, &file->sections[i], NULL);
    if (ret == 0)
        ret = keep_good(table, file, before);
    /* The table takes the problems over. */
    table->problems = file->problems;
    table->nproblems = file->nproblems;
    file->problems = NULL;
    file->nproblems = 0;
    return ret;
}

/* The mask of the recipe brain, if that is a mask; without such a recipe, or if it is something else,
 * the built-in one. */
static int set_brain(struct recipe_table *table, const struct recipe_file *file, struct error *err)
{
    const struct recipe_builtin *builtin = recipe_builtin_find(RECIPE_BRAIN, strlen(RECIPE_BRAIN));
    const struct recipe *recipe = recipe_find(table, RECIPE_BRAIN, strlen(RECIPE_BRAIN));
    bool is_mask = recipe && recipe->expr && recipe->expr->rank == EXPR_IMAGE && recipe->expr->mask;
    struct expr_error why;
    if (!recipe && recipe_file_find(file, RECIPE_BRAIN, strlen(RECIPE_BRAIN)))
        return 0; /* it is wrong */
    int ret =
        expr_parse(is_mask ? recipe->canonical : builtin->text, NULL, NULL, &table->brain, &why);
    if (ret == 0 && expr_input(table->brain) && !expr_input(table->brain)->name) {
        expr_input(table->brain)->name = strdup(RECIPE_BRAIN);
        ret = expr_input(table->brain)->name ? 0 : -ENOMEM;
    }
    return ret == 0 ? 0 : error_set(err, -ret, "the mask of the brain: %s", why.error.text);
}

const struct expr *recipe_brain(const struct recipe_table *t)
{
    return t->base ? t->base->brain : t->brain;
}

struct recipe_table *recipe_table_new(size_t room)
{
    struct recipe_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    atomic_init(&table->refs, 1);
    table->recipes = calloc(room, sizeof(*table->recipes));
    if (table->recipes)
        return table;
    free(table);
    return NULL;
}

int recipe_table_load(const char *path, const struct recipe_table *before,
                      struct recipe_table **out, struct error *err)
{
    struct recipe_file file = {0};
    struct recipe_table *table = NULL;
    int ret = path ? recipe_file_read(path, &file, err) : 0;
    if (ret == 0) {
        table =
            recipe_table_new(RECIPE_NBUILTINS + file.nsections + (before ? before->nrecipes : 0));
        ret = table ? add_builtins(table, &file, err)
                    : error_set(err, ENOMEM, "cannot set up recipes: out of memory");
    }
    if (ret == 0) {
        ret = add_sections(table, &file, before);
        if (ret < 0)
            error_set(err, -ret, "%s: cannot read recipes: out of memory", file.path);
    }
    if (ret == 0)
        ret = set_brain(table, &file, err);
    if (ret < 0)
        recipe_table_put(table);
    else
        *out = table;
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
    for (size_t i = 0; i < t->nrecipes; i++) {
        struct recipe *recipe = &t->recipes[i];

        for (size_t k = 0; k < recipe->nparams; k++)
            free((char *)recipe->params[k].name);
        free(recipe->params);
        free(recipe->name);
        free(recipe->text);
        free(recipe->description);
        free(recipe->canonical);
        free(recipe->wrong);
        expr_free(recipe->expr);
        if (recipe->command)
            command_free(recipe->command);
    }
    for (size_t i = 0; i < t->nproblems; i++)
        free(t->problems[i]);
    expr_free(t->brain);
    recipe_table_put(t->base);
    free(t->recipes);
    free(t->problems);
    free(t);
}

const struct recipe *recipe_find(const struct recipe_table *t, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < t->nrecipes; i++)
        if (text_is(t->recipes[i].name, name, nbytes))
            return &t->recipes[i];
    return NULL;
}

bool recipe_is_builtin(const struct recipe *recipe)
{
    return !recipe->command && recipe_builtin_find(recipe->name, strcspn(recipe->name, "@"));
}

bool recipe_is_series(const struct recipe *recipe)
{
    return recipe->expr && recipe->expr->rank == EXPR_SERIES;
}

bool recipe_is_number(const struct recipe *recipe)
{
    return recipe->expr && recipe->expr->rank == EXPR_SCALAR;
}

int recipe_resolve(struct recipe_table *t, const char *name, size_t nbytes,
                   struct recipe_table **owner, const struct recipe **out, struct error *err)
{
    const char *at = memchr(name, '@', nbytes);
    const struct recipe *recipe = recipe_find(t, name, at ? (size_t)(at - name) : nbytes);
    if (!recipe || (at && recipe->command)) /* which has no parameters, not even in a name */
        return error_set(err, ENOENT, "there is no recipe '%.*s'", (int)nbytes, name);
    if (!at) {
        *owner = recipe_table_get(t);
        *out = recipe;
        return 0;
    }
    char *copy = strndup(name, nbytes);
    int ret = copy ? recipe_instance(t, recipe, copy, owner) : -ENOMEM;
    free(copy);
    if (ret < 0)
        return error_set(err, -ret, "%.*s: out of memory", (int)nbytes, name);
    *out = &(*owner)->recipes[0];
    return 0;
}
