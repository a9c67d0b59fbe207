/* SPDX-License-Identifier: MIT
 *
 * The commands of a recipes file: parsed, and checked for the files that they name.
 *
 * A name in braces may be that of a section, or of a file of the dataset, which is looked up later.
 * For sections, this file checks that they are correct, have the same scope, and that no command
 * waits for itself. A section that needs a wrong one is wrong too, with a problem of its own.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endings.h"
#include "recipe_private.h"

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

/* Read the keys beside the command itself; into s->parsed, once that is there. */
static int parse_keys(struct recipe_file *file, struct recipe_section *s, bool *shell_out)
{
    const struct recipe_value *shell = &s->values[KEY_SHELL], *scope = &s->values[KEY_SCOPE],
                              *timeout = &s->values[KEY_TIMEOUT], *memory = &s->values[KEY_MEMORY];
    struct command *c = s->parsed;
    uint64_t timeout_s = COMMAND_TIMEOUT_S;

    if (recipe_value_bool(shell, shell_out) < 0)
        return recipe_section_problem(file, s, shell, 1, "shell is yes or no, not '%s'",
                                      shell->text);
    if (scope->text && strcmp(scope->text, "run") && strcmp(scope->text, "group"))
        return recipe_section_problem(file, s, scope, 1, "scope is group or run, not '%s'",
                                      scope->text);
    if (timeout->text && parse_number(timeout->text, false, UINT32_MAX, &timeout_s) < 0)
        return recipe_section_problem(file, s, timeout, 1,
                                      "timeout is a number of seconds, not '%s'", timeout->text);
    if (!c)
        return 0;
    c->timeout_s = (unsigned)timeout_s;
    c->per_run = scope->text && strcmp(scope->text, "run") == 0;
    if (memory->text && parse_number(memory->text, true, UINT64_MAX, &c->memory_nbytes) < 0)
        return recipe_section_problem(file, s, memory, 1, "memory is a size like 4G, not '%s'",
                                      memory->text);
    return 0;
}

/* Note the place of each name, for errors that only the directory shows. */
static int note_places(const struct recipe_file *file, struct recipe_section *s)
{
    for (size_t i = 0; i < s->parsed->nfiles; i++) {
        struct command_file *f = &s->parsed->files[i];
        size_t line, column;

        recipe_value_place(&s->values[KEY_COMMAND], f->column, &line, &column);
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

    const struct recipe_builtin *builtin = recipe_builtin_find(name, stem);

    return stem > 0 && ((builtin && !builtin->replaceable) || recipe_file_find(file, name, stem));
}

static int parse_section(struct recipe_file *file, struct recipe_section *s)
{
    const struct recipe_value *text = &s->values[KEY_COMMAND];
    struct error err;
    bool shell;
    size_t column;
    int ret;

    if (is_taken(file, s->name))
        return recipe_section_problem(file, s, NULL, 0, "'%s' is the name of another recipe's file",
                                      s->name);
    if (!text->text)
        return recipe_section_problem(file, s, NULL, 0, "'%s' has no command = ...", s->name);
    ret = parse_keys(file, s, &shell);
    if (ret < 0 || s->broken)
        return ret;
    ret = command_parse(text->text, shell, &s->parsed, &column, &err);
    if (ret == -EINVAL)
        return recipe_section_problem(file, s, text, column, "%s", err.text);
    if (ret == 0)
        ret = parse_keys(file, s, &shell);
    return ret == 0 ? note_places(file, s) : ret;
}

/* The section that makes the file, or NULL: its name is that of the file, or the file's without
 * values for parameters and ending. */
static struct recipe_section *maker_of(const struct recipe_file *file, const char *name)
{
    struct recipe_section *s = recipe_file_find(file, name, strlen(name));

    return s ? s : recipe_file_find(file, name, strcspn(name, "@."));
}

/* Does making the file of `s` need that of `wanted`? Visits each section once. */
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

/* *changed: a section is broken now, so the others need another check. */
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
    return recipe_section_problem(file, s, &s->values[KEY_COMMAND], f->column, "%s '%s'", reason,
                                  f->name);
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

int recipe_copy_command(struct recipe *recipe, const struct recipe *from)
{
    const struct command *old = from->command;
    struct error err;
    size_t column;

    if (command_parse(from->text, old->shell, &recipe->command, &column, &err) < 0)
        return -ENOMEM;
    recipe->command->per_run = old->per_run;
    recipe->command->timeout_s = old->timeout_s;
    recipe->command->memory_nbytes = old->memory_nbytes;
    recipe->list_runs = from->list_runs;
    for (size_t i = 0; i < old->nfiles; i++) {
        recipe->command->files[i].place = strdup(old->files[i].place);
        if (!recipe->command->files[i].place)
            return -ENOMEM;
    }
    return 0;
}
