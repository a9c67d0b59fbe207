/* SPDX-License-Identifier: MIT
 *
 * Names to derived files and back.
 *
 * A lookup tries every group and run of the directory: a name is theirs if it has their prefix and
 * suffix and the rest resolves to a recipe and an extension.
 */
#include "derived.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "derived_name.h"
#include "derived_private.h"
#include "grow.h"

/* ---- names ---- */

char *derived_run_name(const struct run_place *at, const struct recipe *recipe,
                       const char *extension)
{
    struct origin origin = {.prefix = at->entities, .map = at->map_suffix};

    return origin_recipe_name(&origin, recipe, extension);
}

/* NULL: out of memory. */
static struct derived *derived_new(struct dir_scan *scan, struct recipe_table *table,
                                   const struct origin *origin, const struct recipe *recipe,
                                   const struct output_format *format,
                                   enum scan_freshness freshness)
{
    char *name = origin_recipe_name(origin, recipe, format->extension);
    struct derived *d = name ? calloc(1, sizeof *d) : NULL;

    if (!d) {
        free(name);
        return NULL;
    }
    atomic_init(&d->refs, 1);
    d->name = name;
    d->scan = dir_scan_get(scan);
    d->table = recipe_table_get(table);
    d->recipe = recipe;
    d->format = format;
    d->runs = origin->runs;
    d->nruns = origin->nruns;
    d->first = origin->first;
    d->bad = origin->bad;
    d->refusal = origin->refusal;
    d->prefix = origin->prefix;
    d->map = origin->map;
    if (derived_describe(d, freshness) == 0)
        return d;
    derived_put(d);
    return NULL;
}

/* A series is read in parts: only formats with a framing, or without a task, have one. */
static bool has_format(const struct recipe *recipe, const struct output_format *format)
{
    if (recipe_is_number(recipe)) /* it is for a table */
        return format == &output_numbers || format->kind == OUTPUT_DRAWING;
    return recipe->expr && (!recipe_is_series(recipe) || format->framing || !format->operation);
}

/* Is there a file of this format? */
static bool is_made_of(const struct origin *origin, const struct recipe *recipe,
                       const struct output_format *format)
{
    bool suits = recipe->command ? format == &output_as_written &&
                                       recipe->command->per_run == (origin->map != NULL)
                                 : has_format(recipe, format);

    return suits && origin_suits(origin, recipe);
}

/* ---- from a name to a file ---- */

/* Does name[len] end like the command's files? */
static bool may_be_command(const struct recipe *recipe, const char *name, size_t len)
{
    const char *ending =
        recipe->command->per_run ? recipe->name + strcspn(recipe->name, ".") : recipe->name;
    size_t n = strlen(ending);

    return len >= n && memcmp(name + len - n, ending, n) == 0;
}

bool derived_may_be(const struct recipe_table *table, const char *name)
{
    size_t stem;

    for (size_t i = 0; i < table->nrecipes; i++)
        if (table->recipes[i].command && may_be_command(&table->recipes[i], name, strlen(name)))
            return true;
    return output_find(name, &stem);
}

/* Find the command's file called `name`, which is name[len] and the extension of `format`. */
static int lookup_command(struct dir_scan *scan, struct recipe_table *table,
                          const struct recipe *recipe, const char *name, size_t len,
                          const struct output_format *format, enum scan_freshness freshness,
                          struct derived **out)
{
    bool per_run;

    if (!recipe->command || !may_be_command(recipe, name, len))
        return -ENOENT;
    per_run = recipe->command->per_run;
    for (size_t i = 0; i < origins_count(scan); i++) {
        struct origin origin = origin_of(scan, i);
        char *made;
        bool found;

        if (per_run != (origin.map != NULL) || !origin_suits(&origin, recipe))
            continue;
        made = origin_recipe_name(&origin, recipe, format->extension);
        if (!made)
            return -ENOMEM;
        found = strcmp(made, name) == 0;
        free(made);
        if (found) {
            *out = derived_new(scan, table, &origin, recipe, format, freshness);
            return *out ? 0 : -ENOMEM;
        }
    }
    return -ENOENT;
}

/* Find a command's result, or its drawing FILE.svg. A result of that name takes precedence. */
static int lookup_commands(struct dir_scan *scan, struct recipe_table *table, const char *name,
                           enum scan_freshness freshness, struct derived **out)
{
    size_t stem;
    const struct output_format *drawing = output_find(name, &stem);
    int ret = -ENOENT;

    for (size_t i = 0; i < table->nrecipes && ret == -ENOENT; i++)
        ret = lookup_command(scan, table, &table->recipes[i], name, strlen(name),
                             &output_as_written, freshness, out);
    if (!drawing || drawing->kind != OUTPUT_DRAWING)
        return ret;
    for (size_t i = 0; i < table->nrecipes && ret == -ENOENT; i++)
        ret = lookup_command(scan, table, &table->recipes[i], name, stem, drawing, freshness, out);
    return ret;
}

/* Give a file its BIDS name, if it has one. -ENOMEM or 0. */
static int name_by_bids(struct derived *d)
{
    char *name = derived_bids_name(d);

    if (name && *name) {
        free(d->name);
        d->name = name;
    } else {
        free(name);
    }
    return name ? 0 : -ENOMEM;
}

/* Find the file of the origin with this BIDS name. */
static int lookup_bids_of(struct dir_scan *scan, struct recipe_table *table,
                          const struct origin *origin, const char *name,
                          const struct output_format *format, enum scan_freshness freshness,
                          struct derived **out)
{
    for (size_t r = 0; r < table->nrecipes; r++) {
        const struct recipe *recipe = &table->recipes[r];
        const struct output_format *f = recipe->command ? &output_as_written : format;
        char *made;
        bool found;

        if (!f || !is_made_of(origin, recipe, f) || !recipe_may_have_name(recipe, name))
            continue;
        if (origin_bids_name(scan, origin, recipe, f->extension, &made) < 0)
            return -ENOMEM;
        found = strcmp(made, name) == 0;
        free(made);
        if (!found)
            continue;
        *out = derived_new(scan, table, origin, recipe, f, freshness);
        return *out ? name_by_bids(*out) : -ENOMEM;
    }
    return -ENOENT;
}

int derived_lookup_bids(struct dir_scan *scan, struct recipe_table *table, const char *name,
                        enum scan_freshness freshness, struct derived **out, struct error *err)
{
    size_t stem;
    const struct output_format *format = output_find(name, &stem);
    int ret = -ENOENT;

    for (size_t i = 0; i < origins_count(scan) && ret == -ENOENT; i++) {
        struct origin origin = origin_of(scan, i);

        ret = lookup_bids_of(scan, table, &origin, name, format, freshness, out);
    }
    if (ret == -ENOENT)
        return error_set(err, ENOENT, "%s: no such file", name);
    return ret == 0 ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}

int derived_lookup(struct dir_scan *scan, struct recipe_table *table, const char *name,
                   enum scan_freshness freshness, struct derived **out, struct error *err)
{
    const struct recipe *recipe;
    struct recipe_table *owner; /* keeps the recipe: not always `table` */
    size_t len;
    const struct output_format *format = output_find(name, &len);
    int ret;

    for (size_t i = 0; format && i < origins_count(scan); i++) {
        struct origin origin = origin_of(scan, i);
        bool found;

        ret = origin_find_recipe(&origin, table, name, len, &owner, &recipe, err);
        if (ret == -ENOENT)
            continue;
        if (ret < 0)
            return ret;
        found = has_format(recipe, format) && origin_suits(&origin, recipe);
        *out = found ? derived_new(scan, owner, &origin, recipe, format, freshness) : NULL;
        recipe_table_put(owner);
        if (found)
            return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
    }
    ret = lookup_commands(scan, table, name, freshness, out);
    if (ret == -ENOENT && scan->fault) /* nobody knows */
        return error_fault(err, scan->fault->error.code, "%s", scan->fault->error.text);
    if (ret == -ENOENT)
        return error_set(err, ENOENT, "%s: no such file", name);
    return ret == 0 ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}

/* ---- lists ---- */

static bool is_absent(const struct origin *origin)
{
    for (size_t i = 0; i < origin->nruns; i++)
        if (origin->runs[i]->state == RUN_ABSENT || origin->runs[i]->absent)
            return true;
    return false;
}

/* With a sound run, a broken one does not hide the file: opening it reports the error. */
static bool is_listed(const struct origin *origin, const struct recipe *recipe,
                      const struct output_format *format, bool absent)
{
    if (origin->map
            ? !format->listed_per_run || !recipe->list_runs
            : !format->listed || !recipe->list || (recipe->command && recipe->command->per_run))
        return false;
    return (origin->first || (origin->bad && origin->bad->state == RUN_ABSENT)) &&
           (absent || !is_absent(origin));
}

/* Is an input missing, or not as it should be? Like an absent run, that hides the file; a fault, which
 * says nothing about the input, does not. */
static bool is_unfit(const struct derived *d, bool absent)
{
    return d->lacks_input && !d->error.fault && !(absent && d->error.code == ENODATA);
}

static int list_recipe(struct dir_scan *scan, struct recipe_table *table,
                       const struct recipe *recipe, const struct output_format *format, bool absent,
                       bool bids, struct derived ***list, size_t *n)
{
    for (size_t i = 0; i < origins_count(scan); i++) {
        struct origin origin = origin_of(scan, i);

        if (!is_listed(&origin, recipe, format, absent) || !origin_suits(&origin, recipe))
            continue;
        /* the only run of a group has that name */
        if (bids && !origin.map && origin.nruns == 1 && recipe->list_runs && format->listed_per_run)
            continue;
        if (GROW(*list, *n) < 0)
            return -ENOMEM;
        (*list)[*n] = derived_new(scan, table, &origin, recipe, format, SCAN_RECENT);
        if (!(*list)[*n])
            return -ENOMEM;
        if (is_unfit((*list)[*n], absent)) {
            derived_put((*list)[*n]);
            continue;
        }
        ++*n;
        if (bids && name_by_bids((*list)[*n - 1]) < 0)
            return -ENOMEM;
    }
    return 0;
}

int derived_list(struct dir_scan *scan, struct recipe_table *table, bool absent, bool bids,
                 struct derived ***out, size_t *n, struct error *err)
{
    int ret = 0;

    *n = 0;
    *out = NULL;
    for (const struct output_format *const *f = output_formats(); *f; f++)
        for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
            if (has_format(&table->recipes[r], *f))
                ret = list_recipe(scan, table, &table->recipes[r], *f, absent, bids, out, n);
    for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
        if (table->recipes[r].command)
            ret = list_recipe(scan, table, &table->recipes[r], &output_as_written, absent, bids,
                              out, n);
    if (ret == 0)
        return 0;
    derived_list_free(*out, *n);
    return error_set(err, ENOMEM, "%s: out of memory", scan->dir.path);
}

/* Looks each name up, so that derived_lookup() alone decides which names exist. */
int derived_named(struct dir_scan *scan, struct recipe_table *table, const char *plain,
                  struct derived ***out, size_t *n, struct error *err)
{
    size_t stem = strcspn(plain, ".");
    int ret = 0;

    *n = 0;
    *out = NULL;
    output_find(plain, &stem); /* a parameter's value may have a point */
    for (size_t i = 0; ret == 0 && i < origins_count(scan); i++) {
        struct origin origin = origin_of(scan, i);
        char *name = origin_name(&origin, plain, stem, "");

        ret = name && GROW(*out, *n) == 0
                  ? derived_lookup(scan, table, name, SCAN_RECENT, &(*out)[*n], err)
                  : error_set(err, ENOMEM, "%s: out of memory", scan->dir.path);
        free(name);
        if (ret == 0)
            ++*n;
        else if (ret == -ENOENT)
            ret = 0;
    }
    if (ret < 0)
        derived_list_free(*out, *n);
    return ret;
}

void derived_list_free(struct derived **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        derived_put(list[i]);
    free(list);
}

/* ---- parts and plans ---- */

void derived_parts(const struct derived *d, struct parts *out)
{
    uint64_t volume;

    *out = (struct parts){.nbytes = d->nbytes,
                          .result_nbytes = d->nbytes,
                          .last_result_nbytes = d->nbytes,
                          .nvol = 1,
                          .n = 1};
    if (!recipe_is_series(d->recipe) || d->nvol == 0 || d->text)
        return;
    volume = (uint64_t)nifti_nvox(&d->first->nifti) * sizeof(float);
    out->nvol = plan_part_nvol(&d->first->nifti);
    if (out->nvol > d->nvol)
        out->nvol = d->nvol;
    out->n = (size_t)((d->nvol + out->nvol - 1) / out->nvol);
    out->result_nbytes = (uint64_t)out->nvol * volume;
    out->last_result_nbytes = (uint64_t)(d->nvol - (int64_t)(out->n - 1) * out->nvol) * volume;
    out->framing = d->format->framing;
    if (!out->framing)
        return;
    out->first_off = out->framing->before_nbytes + NIFTI_DERIVED_NBYTES;
    out->nbytes = out->framing->part_nbytes(out->result_nbytes);
}

struct plan_extent derived_part(const struct derived *d, size_t part)
{
    struct parts parts;
    int64_t vol0;

    if (!recipe_is_series(d->recipe))
        return (struct plan_extent){.kind = PLAN_ALL};
    derived_parts(d, &parts);
    if (part == parts.n)
        return (struct plan_extent){.kind = PLAN_CHECKSUM};
    vol0 = (int64_t)part * parts.nvol;
    return (struct plan_extent){PLAN_VOLUMES, vol0,
                                d->nvol - vol0 < parts.nvol ? d->nvol - vol0 : parts.nvol};
}

int derived_plan(const struct derived *d, struct plan_extent what, size_t memory_nbytes,
                 struct graph **out, struct error *err)
{
    struct plan_request q = derived_request(d, memory_nbytes);

    if (d->error.code != 0)
        return derived_fail(d, err);
    return plan_file(&q, what, out, err);
}

char *derived_mask_text(const struct derived *d)
{
    struct plan_request q = derived_request(d, 0);

    return plan_mask_text(&q);
}

int derived_header(const struct derived *d, struct file_header *out, struct error *err)
{
    unsigned char header[NIFTI_DERIVED_NBYTES];
    char *origin;

    if (d->nvol == 0 || !d->format->framing ||
        (d->format->operation && !recipe_is_series(d->recipe)))
        return error_set(err, ENODATA, "%s: its first bytes have to be computed", d->name);
    origin = graph_origin(d->recipe->expr);
    if (!origin)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    nifti_derive(&d->first->nifti, d->nvol, origin, header);
    free(origin);
    d->format->framing->header(header, sizeof header, out->bytes);
    out->nbytes = d->format->framing->before_nbytes + sizeof header;
    out->crc = (uint32_t)crc32(0, header, sizeof header);
    return 0;
}

char *derived_bids_name(const struct derived *d)
{
    char *name;

    return origin_bids_name(
               d->scan,
               &(struct origin){
                   .prefix = d->prefix, .map = d->map, .runs = d->runs, .nruns = d->nruns},
               d->recipe, d->format->extension, &name) < 0
               ? NULL
               : name;
}

struct derived *derived_get(struct derived *d)
{
    atomic_fetch_add(&d->refs, 1);
    return d;
}

void derived_put(struct derived *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
        return;
    inputs_clear(&d->inputs);
    dir_scan_put(d->scan);
    recipe_table_put(d->table);
    free(d->name);
    free(d->text);
    free(d);
}
