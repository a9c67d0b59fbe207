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

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "graph_call.h"
#include "grow.h"
#include "source_rights.h"

/* Note why the file cannot be planned. A source's own code is kept only if it means the same for
 * the reader: a dangling link (ENOENT) must not make the derived file look nonexistent. */
static void note_source_error(struct derived *d, const struct error *why)
{
    bool same = why->code == ENODATA || why->code == EACCES || why->code == ENOMEM;

    error_set(&d->error, same ? why->code : EIO, "%s", why->text);
}

static struct plan_request request_of(const struct derived *d, size_t memory_nbytes)
{
    return (struct plan_request){
        .table = d->table,
        .recipe = d->recipe,
        .format = d->format,
        .runs = d->runs,
        .nruns = d->nruns,
        .memory_nbytes = memory_nbytes,
        .rootfd = d->scan->rootfd,
        .dir = &d->scan->dir,
    };
}

static uint64_t series_nbytes(const struct derived *d)
{
    const struct output_framing *framing = d->format->framing;
    struct parts parts;

    if (!framing)
        return 0;
    derived_parts(d, &parts);
    return parts.first_off + (parts.n - 1) * parts.nbytes +
           framing->part_nbytes(parts.last_result_nbytes) + framing->trailer_nbytes;
}

/* Find volumes and size, which need sound runs. */
static void measure(struct derived *d)
{
    struct plan_request q = request_of(d, 0);

    if (d->recipe->wrong) {
        error_set(&d->error, EDOM, "%s", d->recipe->wrong);
        return;
    }
    if (d->refusal)
        error_set(&d->error, EIO, "%s", d->refusal);
    else if (d->bad)
        note_source_error(d, &d->bad->error);
    else if (plan_nvol(&q, &d->nvol, &d->error) < 0)
        d->nvol = 0;
    /* the size of an image needs only one sound run */
    if (d->recipe->expr->rank == EXPR_IMAGE && d->first)
        d->nvol = 1;
    if (d->nvol == 0)
        return;
    if (recipe_is_series(d->recipe))
        d->nbytes = series_nbytes(d);
    else if (d->format->nbytes)
        d->nbytes =
            d->format->nbytes(&d->first->nifti, graph_image_nbytes(&d->first->nifti, d->nvol));
}

/* Files that the command names, or a command before it, count like runs. */
static void add_sources(struct derived *d, const struct graph *g)
{
    for (size_t i = 0; i < g->ntasks; i++)
        for (size_t k = 0; g->tasks[i].call && k < g->tasks[i].call->ninputs; k++) {
            const struct command_input *in = &g->tasks[i].call->inputs[k];

            if (!in->source)
                continue;
            rights_add_source(&d->rights, &in->id);
            if (in->id.mtime_ns > d->mtime_ns)
                d->mtime_ns = in->id.mtime_ns;
        }
}

/* The key depends on everything that the file depends on. */
static void plan_command_file(struct derived *d, XXH3_state_t *version)
{
    struct plan_request q = request_of(d, 0);
    struct error err;
    struct graph *g;

    if (d->refusal) {
        error_set(&d->error, EIO, "%s", d->refusal);
        return;
    }
    if (d->bad) {
        note_source_error(d, &d->bad->error);
        return;
    }
    if (plan_file(&q, (struct plan_extent){.kind = PLAN_ALL}, &g, &err) < 0) {
        note_source_error(d, &err);
        return;
    }
    d->key = graph_root(g)->key;
    add_sources(d, g);
    graph_put(g);
    XXH3_64bits_update(version, d->key.hex, KEY_HEX);
}

static void describe(struct derived *d)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    /* not the text: names in it may have other meanings by now */
    XXH3_64bits_update(&state, d->recipe->canonical, strlen(d->recipe->canonical) + 1);
    XXH3_64bits_update(&state, &d->recipe->mtime_ns, sizeof d->recipe->mtime_ns);
    d->rights = rights_of_all;
    /* that of a built-in recipe is no time */
    d->mtime_ns = d->recipe->mtime_ns ? d->recipe->mtime_ns : INT64_MIN;
    for (size_t i = 0; i < d->nruns; i++) {
        const struct run *run = d->runs[i];
        const struct source_id *id = &run->id;
        uint64_t numbers[] = {id->ino, id->size, (uint64_t)id->mtime_ns, (uint64_t)id->ctime_ns};

        XXH3_64bits_update(&state, id->annex_key, strlen(id->annex_key) + 1);
        XXH3_64bits_update(&state, numbers, sizeof numbers);
        XXH3_64bits_update(&state, id->fs.hex, sizeof id->fs.hex);
        XXH3_64bits_update(&state, &run->state, sizeof run->state);
        rights_add_run(&d->rights, run);
        if (run->id.mtime_ns > d->mtime_ns)
            d->mtime_ns = run->id.mtime_ns;
    }
    if (d->recipe->command)
        plan_command_file(d, &state);
    else
        measure(d);
    rights_end(&d->rights);
    XXH3_64bits_update(&state, &d->rights, sizeof d->rights);
    d->version = XXH3_64bits_digest(&state);
}

/* ---- names ---- */

/* A group of runs, or one run by itself, and how the names of its files begin and end. */
struct origin {
    const char *prefix;
    const char *map; /* "boldmap"; NULL: a group's names have no such end */
    struct run *const *runs;
    size_t nruns;
    const struct run *first, *bad;
    const char *refusal; /* as in struct group */
};

/* Origin `i` of a directory: its groups, then its runs. */
static struct origin origin_of(const struct dir_scan *scan, size_t i)
{
    const struct group *group = &scan->groups[i];

    if (i >= scan->ngroups) {
        const struct dir_run *member = &scan->runs[i - scan->ngroups];
        bool sound = member->run->state == RUN_OK;

        return (struct origin){.prefix = member->entities,
                               .map = member->map_suffix,
                               .runs = &member->run,
                               .nruns = 1,
                               .first = sound ? member->run : NULL,
                               .bad = sound ? NULL : member->run};
    }
    return (struct origin){.prefix = group->prefix,
                           .runs = group->runs,
                           .nruns = group->nruns,
                           .first = group->first,
                           .bad = group->bad,
                           .refusal = group->refusal};
}

static size_t count_origins(const struct dir_scan *scan)
{
    return scan->ngroups + scan->nruns;
}

/* The file name that `origin` gives to `name`, whose ending starts at `stem`. malloced. */
static char *file_name(const struct origin *origin, const char *name, size_t stem,
                       const char *extension)
{
    char *made = NULL;
    int n = origin->map ? asprintf(&made, "%s_stat-%.*s_%s%s%s", origin->prefix, (int)stem, name,
                                   origin->map, name + stem, extension)
                        : asprintf(&made, "%s%s%s", origin->prefix, name, extension);

    return n < 0 ? NULL : made;
}

static char *recipe_file_name(const struct origin *origin, const struct recipe *recipe,
                              const char *extension)
{
    /* a command's name includes its ending */
    size_t stem = recipe->command ? strcspn(recipe->name, ".") : strlen(recipe->name);

    return file_name(origin, recipe->name, stem, extension);
}

char *derived_run_name(const struct run_place *at, const struct recipe *recipe,
                       const char *extension)
{
    struct origin origin = {.prefix = at->entities, .map = at->map_suffix};

    return recipe_file_name(&origin, recipe, extension);
}

/* NULL: out of memory. */
static struct derived *derived_new(struct dir_scan *scan, struct recipe_table *table,
                                   const struct origin *origin, const struct recipe *recipe,
                                   const struct output_format *format)
{
    char *name = recipe_file_name(origin, recipe, format->extension);
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
    describe(d);
    return d;
}

/* A series is read in parts: only formats with a framing, or without a task, have one. */
static bool has_format(const struct recipe *recipe, const struct output_format *format)
{
    return recipe->expr && (!recipe_is_series(recipe) || format->framing || !format->operation);
}

/* ---- from a name to a file ---- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Find the recipe in stem[len]; ENOENT too if the stem is not one of this origin's. */
static int find_recipe(const struct origin *origin, struct recipe_table *table, const char *stem,
                       size_t len, struct recipe_table **owner, const struct recipe **out,
                       struct error *err)
{
    const char *stat = origin->map ? "_stat-" : "";
    size_t prefix = strlen(origin->prefix), before = prefix + strlen(stat);
    size_t after = origin->map ? strlen(origin->map) + 1 : 0;

    if (len <= before + after || !starts_with(stem, origin->prefix) ||
        !starts_with(stem + prefix, stat))
        return -ENOENT;
    if (origin->map &&
        (stem[len - after] != '_' || !starts_with(stem + len - after + 1, origin->map)))
        return -ENOENT;
    return recipe_resolve(table, stem + before, len - before - after, owner, out, err);
}

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
                          const struct output_format *format, struct derived **out)
{
    bool per_run;

    if (!recipe->command || !may_be_command(recipe, name, len))
        return -ENOENT;
    per_run = recipe->command->per_run;
    for (size_t i = 0; i < count_origins(scan); i++) {
        struct origin origin = origin_of(scan, i);
        char *made;
        bool found;

        if (per_run != (origin.map != NULL))
            continue;
        made = recipe_file_name(&origin, recipe, format->extension);
        if (!made)
            return -ENOMEM;
        found = strcmp(made, name) == 0;
        free(made);
        if (found) {
            *out = derived_new(scan, table, &origin, recipe, format);
            return *out ? 0 : -ENOMEM;
        }
    }
    return -ENOENT;
}

/* Find a command's result, or its drawing FILE.svg. A result of that name takes precedence. */
static int lookup_commands(struct dir_scan *scan, struct recipe_table *table, const char *name,
                           struct derived **out)
{
    size_t stem;
    const struct output_format *drawing = output_find(name, &stem);
    int ret = -ENOENT;

    for (size_t i = 0; i < table->nrecipes && ret == -ENOENT; i++)
        ret = lookup_command(scan, table, &table->recipes[i], name, strlen(name),
                             &output_as_written, out);
    if (!drawing || drawing->kind != OUTPUT_DRAWING)
        return ret;
    for (size_t i = 0; i < table->nrecipes && ret == -ENOENT; i++)
        ret = lookup_command(scan, table, &table->recipes[i], name, stem, drawing, out);
    return ret;
}

int derived_lookup(struct dir_scan *scan, struct recipe_table *table, const char *name,
                   struct derived **out, struct error *err)
{
    const struct recipe *recipe;
    struct recipe_table *owner; /* keeps the recipe: not always `table` */
    size_t len;
    const struct output_format *format = output_find(name, &len);
    int ret;

    for (size_t i = 0; format && i < count_origins(scan); i++) {
        struct origin origin = origin_of(scan, i);
        bool found;

        ret = find_recipe(&origin, table, name, len, &owner, &recipe, err);
        if (ret == -ENOENT)
            continue;
        if (ret < 0)
            return ret;
        found = has_format(recipe, format);
        *out = found ? derived_new(scan, owner, &origin, recipe, format) : NULL;
        recipe_table_put(owner);
        if (found)
            return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
    }
    ret = lookup_commands(scan, table, name, out);
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

static int list_recipe(struct dir_scan *scan, struct recipe_table *table,
                       const struct recipe *recipe, const struct output_format *format, bool absent,
                       struct derived ***list, size_t *n)
{
    for (size_t i = 0; i < count_origins(scan); i++) {
        struct origin origin = origin_of(scan, i);

        if (!is_listed(&origin, recipe, format, absent))
            continue;
        if (GROW(*list, *n) < 0)
            return -ENOMEM;
        (*list)[*n] = derived_new(scan, table, &origin, recipe, format);
        if (!(*list)[*n])
            return -ENOMEM;
        ++*n;
    }
    return 0;
}

int derived_list(struct dir_scan *scan, struct recipe_table *table, bool absent,
                 struct derived ***out, size_t *n, struct error *err)
{
    int ret = 0;

    *n = 0;
    *out = NULL;
    for (const struct output_format *const *f = output_formats(); *f; f++)
        for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
            if (has_format(&table->recipes[r], *f))
                ret = list_recipe(scan, table, &table->recipes[r], *f, absent, out, n);
    for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
        if (table->recipes[r].command)
            ret = list_recipe(scan, table, &table->recipes[r], &output_as_written, absent, out, n);
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
    for (size_t i = 0; ret == 0 && i < count_origins(scan); i++) {
        struct origin origin = origin_of(scan, i);
        char *name = file_name(&origin, plain, stem, "");

        ret = name && GROW(*out, *n) == 0
                  ? derived_lookup(scan, table, name, &(*out)[*n], err)
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
    struct plan_request q = request_of(d, memory_nbytes);

    if (d->error.code != 0)
        return error_set(err, d->error.code, "%s", d->error.text);
    return plan_file(&q, what, out, err);
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

struct derived *derived_get(struct derived *d)
{
    atomic_fetch_add(&d->refs, 1);
    return d;
}

void derived_put(struct derived *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
        return;
    dir_scan_put(d->scan);
    recipe_table_put(d->table);
    free(d->name);
    free(d->text);
    free(d);
}
