/* SPDX-License-Identifier: MIT
 *
 * The commands of a recipes file: parsed, and checked for what they refer to.
 *
 * A name in braces that no section of the file has may be a file of the dataset, which only the
 * directory tells. Those that sections have are checked here: that they are sound, made for the
 * same scope, and that no command waits for itself. A section with a mistake takes those that need
 * it along, each with a problem of its own.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endings.h"
#include "recipe_priv.h"

/* Record a problem at byte `column` of a value, and take the section out. */
static int complain(struct recipe_file *file, struct recipe_section *s,
                    const struct recipe_value *value, size_t at, const char *reason,
                    const char *about)
{
    size_t line, column;

    recipe_value_place(value, at, &line, &column);
    s->broken = true;
    return recipe_file_problem(file, line, column, about ? "%s '%s'" : "%s", reason, about);
}

/* "90", "4G": -EINVAL where it is none. */
static int parse_number(const char *text, bool units, uint64_t most, uint64_t *out)
{
    static const char letters[] = "KMGT";
    char *end;
    unsigned long long n;
    const char *unit;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    n = strtoull(text, &end, 10);
    unit = units && *end ? strchr(letters, *end & ~0x20) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - letters + 1);
        end++;
    }
    if (errno != 0 || *end || n == 0 || n > most >> shift)
        return -EINVAL;
    *out = (uint64_t)n << shift;
    return 0;
}

/* The keys beside the command itself. */
static int parse_keys(struct recipe_file *file, struct recipe_section *s, bool *shell)
{
    struct command *c = s->parsed;
    uint64_t timeout_s = COMMAND_TIMEOUT_S;

    if (recipe_value_bool(&s->shell, shell) < 0)
        return complain(file, s, &s->shell, 1, "shell is yes or no, not", s->shell.text);
    if (s->scope.text && strcmp(s->scope.text, "run") && strcmp(s->scope.text, "group"))
        return complain(file, s, &s->scope, 1, "scope is group or run, not", s->scope.text);
    if (s->timeout.text && parse_number(s->timeout.text, false, UINT32_MAX, &timeout_s) < 0)
        return complain(file, s, &s->timeout, 1, "timeout is a number of seconds, not",
                        s->timeout.text);
    if (!c)
        return 0;
    c->timeout_s = (unsigned)timeout_s;
    c->per_run = s->scope.text && strcmp(s->scope.text, "run") == 0;
    if (s->memory.text && parse_number(s->memory.text, true, UINT64_MAX, &c->memory_nbytes) < 0)
        return complain(file, s, &s->memory, 1, "memory is a size like 4G, not", s->memory.text);
    return 0;
}

/* So that a mistake which only the directory shows can be told with its place. */
static int note_places(const struct recipe_file *file, struct recipe_section *s)
{
    for (size_t i = 0; i < s->parsed->nfiles; i++) {
        struct command_file *f = &s->parsed->files[i];
        size_t line, column;

        recipe_value_place(&s->text, f->column, &line, &column);
        if (asprintf(&f->place, "%s:%zu:%zu", file->path, line, column) < 0) {
            f->place = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

#define ROW(name, ending) const char ending_##name[] = ending;
OUTPUT_FORMATS(ROW)
#undef ROW

#define ROW(name, ending) ending_##name,
static const char *const endings[] = {OUTPUT_FORMATS(ROW)};
#undef ROW

size_t recipe_stem(const char *file)
{
    size_t stem = strcspn(file, ".");

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(file + stem, endings[i]) == 0)
            return stem;
    return 0;
}

/* Is it the name of a file that another recipe has? */
static bool is_taken(const struct recipe_file *file, const char *name)
{
    size_t stem = recipe_stem(name);

    return stem > 0 && (recipe_builtin_find(name, stem) || recipe_file_find(file, name, stem));
}

static int parse_section(struct recipe_file *file, struct recipe_section *s)
{
    struct error err;
    bool shell;
    size_t column;
    int ret;

    if (is_taken(file, s->name)) {
        s->broken = true;
        return recipe_file_problem(file, s->line, s->column,
                                   "'%s' is the name of another recipe's file", s->name);
    }
    if (!s->text.text) {
        s->broken = true;
        return recipe_file_problem(file, s->line, s->column, "'%s' has no command = ...", s->name);
    }
    ret = parse_keys(file, s, &shell);
    if (ret < 0 || s->broken)
        return ret;
    ret = command_parse(s->text.text, shell, &s->parsed, &column, &err);
    if (ret == -EINVAL)
        return complain(file, s, &s->text, column, err.text, NULL);
    if (ret == 0)
        ret = parse_keys(file, s, &shell);
    return ret == 0 ? note_places(file, s) : ret;
}

/* The section that makes the file, or NULL: it is called as the file or, without values for
 * parameters, as what stands before the ending. */
static struct recipe_section *maker_of(const struct recipe_file *file, const char *name)
{
    struct recipe_section *s = recipe_file_find(file, name, strlen(name));

    return s ? s : recipe_file_find(file, name, strcspn(name, "@."));
}

/* Does making the file of `s` need that of `wanted`? Each section is looked at once. */
static bool needs(const struct recipe_file *file, const struct recipe_section *s,
                  const struct recipe_section *wanted)
{
    for (size_t i = 0; s->parsed && i < s->parsed->nfiles; i++) {
        struct recipe_section *next = maker_of(file, s->parsed->files[i].name);

        if (!next || next->broken || next->seen)
            continue;
        next->seen = true;
        if (next == wanted || needs(file, next, wanted))
            return true;
    }
    return false;
}

static bool waits_for_itself(struct recipe_file *file, const struct recipe_section *s,
                             const struct recipe_section *maker)
{
    for (size_t i = 0; i < file->nsections; i++)
        file->sections[i].seen = false;
    return maker == s || needs(file, maker, s);
}

/* *changed: a section was taken out, so that others have to be looked at again. */
static int check_file(struct recipe_file *file, struct recipe_section *s,
                      const struct command_file *f, bool *changed)
{
    const struct recipe_section *maker = maker_of(file, f->name);
    const char *reason = NULL;

    if (!maker)
        return 0;
    if (maker->broken)
        reason = "it needs what is wrong:";
    else if (maker->command && maker->parsed->per_run != s->parsed->per_run)
        reason = maker->parsed->per_run ? "this one is made for each group, and for each run"
                                        : "this one is made for each run, and for each group";
    else if (waits_for_itself(file, s, maker))
        reason = "making this file would wait for itself, through";
    if (!reason)
        return 0;
    *changed = true;
    return complain(file, s, &s->text, f->column, reason, f->name);
}

int recipe_commands_check(struct recipe_file *file)
{
    bool changed = true;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < file->nsections; i++)
        if (file->sections[i].command && !file->sections[i].broken)
            ret = parse_section(file, &file->sections[i]);
    while (ret == 0 && changed) {
        changed = false;
        for (size_t i = 0; ret == 0 && i < file->nsections; i++) {
            struct recipe_section *s = &file->sections[i];

            for (size_t k = 0; ret == 0 && s->parsed && !s->broken && k < s->parsed->nfiles; k++)
                ret = check_file(file, s, &s->parsed->files[k], &changed);
        }
    }
    return ret;
}

static char *copy_value(const struct recipe_value *value)
{
    return strdup(value->text ? value->text : "");
}

int recipe_copy_command(struct recipe *recipe, const char *name, const struct recipe *from)
{
    const struct command *old = from->command;
    struct error err;
    size_t column;

    if (command_parse(from->text, old->shell, &recipe->command, &column, &err) < 0)
        return -ENOMEM;
    recipe->command->per_run = old->per_run;
    recipe->command->timeout_s = old->timeout_s;
    recipe->command->memory_nbytes = old->memory_nbytes;
    for (size_t i = 0; i < old->nfiles; i++) {
        recipe->command->files[i].place = strdup(old->files[i].place);
        if (!recipe->command->files[i].place)
            return -ENOMEM;
    }
    recipe->list = from->list;
    recipe->list_runs = from->list_runs;
    recipe->mtime_ns = from->mtime_ns;
    recipe->name = strdup(name);
    recipe->text = strdup(from->text);
    recipe->canonical = strdup(from->canonical);
    recipe->description = strdup(from->description);
    return recipe->name && recipe->text && recipe->canonical && recipe->description ? 0 : -ENOMEM;
}

int recipe_commands_add(struct recipe_file *file, struct recipe_table *table)
{
    for (size_t i = 0; i < file->nsections; i++) {
        struct recipe_section *s = &file->sections[i];
        struct recipe *r;

        if (!s->command || s->broken)
            continue;
        r = &table->recipes[table->nrecipes++];
        r->command = s->parsed;
        s->parsed = NULL;
        r->name = strdup(s->name);
        r->text = copy_value(&s->text);
        r->canonical = copy_value(&s->text);
        r->description = copy_value(&s->description);
        r->mtime_ns = file->mtime_ns;
        if (!r->name || !r->text || !r->canonical || !r->description ||
            recipe_value_bool(&s->list, &r->list) < 0)
            return -ENOMEM;
        r->list_runs = r->list && r->command->per_run;
    }
    return 0;
}
