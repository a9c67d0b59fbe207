/* SPDX-License-Identifier: MIT
 *
 * A BIDS name is made from the entities that all runs share. What else tells its origin apart becomes
 * parts of desc, joined with "+": the grid, the stem of a name that is not BIDS, "joined", parameters.
 * Labels have letters and digits only. Source: BIDS specification, Common principles, "Entities".
 */
#include "derived_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

struct origin origin_of(const struct dir_scan *scan, size_t i)
{
    const struct group *group = &scan->groups[i];
    bool apart = i >= scan->ngroups + scan->nruns;

    if (i >= scan->ngroups && !apart) {
        const struct dir_run *member = &scan->runs[i - scan->ngroups];
        bool sound = member->run->state == RUN_OK;

        return (struct origin){.prefix = member->entities,
                               .map = member->map_suffix,
                               .runs = &member->run,
                               .nruns = 1,
                               .first = sound ? member->run : NULL,
                               .bad = sound ? NULL : member->run};
    }
    if (apart)
        group -= scan->nruns;
    return (struct origin){.prefix = group->prefix,
                           .runs = group->runs,
                           .nruns = group->nruns,
                           .first = group->first,
                           .bad = group->bad,
                           .refusal = group->refusal,
                           .apart = apart};
}

size_t origins_count(const struct dir_scan *scan)
{
    return scan->ngroups + scan->nruns + scan->napart;
}

bool origin_suits(const struct origin *origin, const struct recipe *recipe)
{
    return !origin->apart || recipe->join_all;
}

/* ---- names in the mount ---- */

/* The length of the part of a run's entities that stat stands behind. */
static size_t before_stat(const char *entities)
{
    const char *desc = strstr(entities, "_desc-");

    return desc ? (size_t)(desc - entities) : strlen(entities);
}

char *origin_name(const struct origin *origin, const char *name, size_t stem, const char *extension)
{
    size_t before = before_stat(origin->prefix);
    char *made = NULL;
    int n = origin->map
                ? asprintf(&made, "%.*s_stat-%.*s%s_%s%s%s", (int)before, origin->prefix, (int)stem,
                           name, origin->prefix + before, origin->map, name + stem, extension)
                : asprintf(&made, "%s%s%s", origin->prefix, name, extension);

    return n < 0 ? NULL : made;
}

/* A command's name includes its ending. */
static size_t stem_of(const struct recipe *recipe)
{
    return recipe->command ? strcspn(recipe->name, ".") : strlen(recipe->name);
}

char *origin_recipe_name(const struct origin *origin, const struct recipe *recipe,
                         const char *extension)
{
    return origin_name(origin, recipe->name, stem_of(recipe), extension);
}

int origin_find_recipe(const struct origin *origin, struct recipe_table *table, const char *stem,
                       size_t len, struct recipe_table **owner, const struct recipe **out,
                       struct error *err)
{
    char *frame = origin_name(origin, "", 0, ""); /* with the recipe's name left out */
    size_t total = frame ? strlen(frame) : 0, before = total;
    int ret = -ENOENT;

    if (!frame)
        return error_set(err, ENOMEM, "out of memory");
    if (origin->map)
        before = before_stat(origin->prefix) + strlen("_stat-");
    if (len > total && memcmp(stem, frame, before) == 0 &&
        memcmp(stem + len - (total - before), frame + before, total - before) == 0)
        ret = recipe_resolve(table, stem + before, len - total, owner, out, err);
    free(frame);
    return ret;
}

/* ---- BIDS names ---- */

struct parsed {
    struct bids_name *at; /* [n] */
    size_t n;
};

static void print_label(FILE *f, const char *text, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        if (isascii((unsigned char)text[i]) && isalnum((unsigned char)text[i]))
            fputc(text[i], f);
}

/* A number without point and signs: 0.5 as 0p5, -1 as m1. */
static void print_number(FILE *f, const char *text, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        if (text[i] == '.' || text[i] == '-')
            fputc(text[i] == '.' ? 'p' : 'm', f);
        else
            print_label(f, text + i, 1);
}

/* The value that all runs have for the key of the first one's entity `e`; else NULL. */
static const char *shared_value(const struct parsed *names, size_t e)
{
    const struct bids_entity *entity = &names->at[0].entity[e];

    for (size_t i = 1; i < names->n; i++) {
        const char *value = bids_value(&names->at[i], entity->key);

        if (!value || strcmp(value, entity->value) != 0)
            return NULL;
    }
    return entity->value;
}

/* The label of the first part "KEY-LABEL" of a path; its length in *nbytes. NULL: there is none. */
static const char *label_in_path(const char *path, const char *key, size_t *nbytes)
{
    size_t n = strlen(key);

    while (strchr(path, '/')) {
        *nbytes = strcspn(path, "/");
        if (*nbytes > n + 1 && strncmp(path, key, n) == 0 && path[n] == '-') {
            *nbytes -= n + 1;
            return path + n + 1;
        }
        path += *nbytes + 1;
    }
    return NULL;
}

/* Subject and session come from the path if the names do not have them. */
static bool print_place(FILE *f, const struct parsed *names, const char *path)
{
    static const char *const keys[] = {"sub", "ses"};
    bool has_subject = false;

    for (size_t i = 0; i < 2; i++) {
        const char *value = bids_value(&names->at[0], keys[i]);
        size_t nbytes = value ? strlen(value) : 0;

        if (!value)
            value = label_in_path(path, keys[i], &nbytes);
        if (!value)
            continue;
        fprintf(f, "%s%s-", i > 0 ? "_" : "", keys[i]);
        print_label(f, value, nbytes);
        has_subject = has_subject || i == 0;
    }
    return has_subject;
}

static void print_entities(FILE *f, const struct parsed *names)
{
    for (size_t e = 0; e < names->at[0].nentities; e++) {
        const char *key = names->at[0].entity[e].key, *value = shared_value(names, e);

        if (value && strcmp(key, "sub") != 0 && strcmp(key, "ses") != 0 && strcmp(key, "desc") != 0)
            fprintf(f, "_%s-%s", key, value);
    }
}

/* A part of desc. */
static void begin_part(FILE *f, bool *any)
{
    fputs(*any ? "+" : "_desc-", f);
    *any = true;
}

static void print_part(FILE *f, const char *text, size_t nbytes, bool *any)
{
    bool has_label = false;

    for (size_t i = 0; i < nbytes; i++)
        has_label = has_label || isalnum((unsigned char)text[i]);
    if (!has_label)
        return;
    begin_part(f, any);
    print_label(f, text, nbytes);
}

/* What the prefix of a group has besides entities and suffix: its grid. */
static void print_prefix(FILE *f, const struct origin *origin, const struct bids_name *name,
                         bool *any)
{
    for (const char *part = origin->map ? "" : origin->prefix; *part;) {
        size_t nbytes = strcspn(part, "_");
        const char *dash = memchr(part, '-', nbytes);
        bool known = text_is(name->suffix, part, nbytes) || text_is(name->rest, part, nbytes);

        for (size_t e = 0; e < name->nentities && dash; e++)
            known = known || text_is(name->entity[e].key, part, (size_t)(dash - part));
        if (!known)
            print_part(f, part, nbytes, any);
        part += nbytes + (part[nbytes] == '_');
    }
}

/* "@drop=4,order=2" as parts: drop4, order2. */
static void print_parameters(FILE *f, const struct recipe *recipe, bool *any)
{
    const char *at = strchr(recipe->name, '@');

    while (at && *at) {
        size_t nbytes = strcspn(at + 1, ","), name = strcspn(at + 1, "=,");

        begin_part(f, any);
        print_label(f, at + 1, name);
        if (name < nbytes)
            print_number(f, at + 2 + name, nbytes - name - 1);
        at += 1 + nbytes;
    }
}

static void print_desc(FILE *f, const struct origin *origin, const struct parsed *names,
                       const struct recipe *recipe)
{
    const struct bids_name *name = &names->at[0];
    bool any = false;

    for (size_t e = 0; e < name->nentities; e++)
        if (strcmp(name->entity[e].key, "desc") == 0 && shared_value(names, e)) {
            begin_part(f, &any);
            fputs(name->entity[e].value, f);
        }
    if (name->form == BIDS_NEARLY)
        print_part(f, name->rest, strlen(name->rest), &any);
    if (name->form == BIDS_FREE && names->n == 1)
        print_part(f, name->stem, strlen(name->stem), &any);
    print_prefix(f, origin, name, &any);
    if (names->n > 1) {
        begin_part(f, &any);
        fputs("joined", f);
    }
    print_parameters(f, recipe, &any);
}

/* "boldmap", as in the names of the runs themselves. */
static const char *map_of(const struct dir_scan *scan, const struct origin *origin)
{
    if (origin->map)
        return origin->map;
    for (size_t i = 0; i < scan->nruns; i++)
        if (scan->runs[i].run == origin->runs[0])
            return scan->runs[i].map_suffix;
    return "boldmap";
}

/* The part of a recipe's name that becomes the label of stat. */
static size_t label_nbytes(const struct recipe *recipe)
{
    return recipe->command ? strcspn(recipe->name, ".") : strcspn(recipe->name, "@");
}

/* False: no subject is known. */
static bool print_name(FILE *f, const struct dir_scan *scan, const struct origin *origin,
                       const struct parsed *names, const struct recipe *recipe,
                       const char *extension)
{
    if (!print_place(f, names, origin->runs[0]->path))
        return false;
    print_entities(f, names);
    fputs("_stat-", f);
    print_label(f, recipe->name, label_nbytes(recipe));
    print_desc(f, origin, names, recipe);
    fprintf(f, "_%s%s%s", map_of(scan, origin), recipe->name + stem_of(recipe), extension);
    return true;
}

int origin_bids_name(const struct dir_scan *scan, const struct origin *origin,
                     const struct recipe *recipe, const char *extension, char **out)
{
    struct parsed names = {calloc(origin->nruns, sizeof *names.at), origin->nruns};
    char *text = NULL;
    size_t nbytes;
    FILE *f = names.at ? open_memstream(&text, &nbytes) : NULL;
    bool named = false;

    for (size_t i = 0; f && i < names.n; i++)
        bids_parse(base_name(origin->runs[i]->path), &names.at[i]);
    if (f)
        named = print_name(f, scan, origin, &names, recipe, extension);
    free(names.at);
    *out = f ? text_end(f, &text) : NULL;
    if (*out && !named)
        **out = '\0';
    return *out ? 0 : -ENOMEM;
}

bool recipe_may_have_name(const struct recipe *recipe, const char *name)
{
    const char *label = strstr(name, "_stat-");
    const char *at = recipe->name, *end = recipe->name + label_nbytes(recipe);

    if (!label)
        return false;
    for (label += strlen("_stat-"); isalnum((unsigned char)*label); label++) {
        while (at < end && !isalnum((unsigned char)*at))
            at++;
        if (at == end || *at++ != *label)
            return false;
    }
    while (at < end && !isalnum((unsigned char)*at))
        at++;
    return at == end && *label == '_';
}
