/* SPDX-License-Identifier: MIT
 *
 * Names to derived files and back.
 *
 * A name is never taken apart by guessing: for every group (or run) of the directory it is checked
 * whether the name starts with what that group's names start with, and whether what follows is a
 * recipe's name and an extension. So the rule of naming stands in one place for both ways.
 */
#include "derived.h"

#include "graph_call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Where the sources' owners differ, an owner has no more right than others have. */
void derived_add_rights(mode_t *mode, uid_t *uid, gid_t *gid, const struct source_id *id,
                        bool first)
{
    mode_t given = id->mode & 0444;

    if (first) {
        *uid = id->uid;
        *gid = id->gid;
    }
    if (id->uid != *uid)
        given &= (mode_t)(given << 6 | 077);
    if (id->gid != *gid)
        given &= (mode_t)(given << 3 | 0707);
    *mode &= given;
}

static void add_version(XXH3_state_t *state, const struct run *run)
{
    const struct source_id *id = &run->id;
    uint64_t numbers[] = {id->dev, id->ino, id->size, (uint64_t)id->mtime_ns,
                          (uint64_t)id->ctime_ns};

    if (id->annex_key[0])
        XXH3_64bits_update(state, id->annex_key, strlen(id->annex_key) + 1);
    else
        XXH3_64bits_update(state, numbers, sizeof numbers);
    XXH3_64bits_update(state, &run->state, sizeof run->state);
}

/* That a link of a source dangles, say, must not look as if the derived file did not exist: a
 * source's own code is told only where it means the same for the reader of the derived file. */
static int code_of_source(int code)
{
    return code == ENODATA || code == EACCES || code == ENOMEM ? code : EIO;
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
        .dir = d->scan->dir,
    };
}

static bool is_series(const struct recipe *recipe)
{
    return recipe->expr && recipe->expr->rank == EXPR_SERIES;
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

/* Volumes and size, which only sound runs can tell. */
static void measure(struct derived *d)
{
    struct plan_request q = request_of(d, 0);

    if (d->recipe->wrong) {
        error_set(&d->error, EDOM, "%s", d->recipe->wrong);
        return;
    }
    if (d->bad)
        error_set(&d->error, code_of_source(d->bad->error.code), "%s", d->bad->error.text);
    else if (plan_nvol(&q, &d->nvol, &d->error) < 0)
        d->nvol = 0;
    /* an image's size needs one sound run alone */
    if (d->recipe->expr->rank == EXPR_IMAGE && d->first)
        d->nvol = 1;
    if (d->nvol > 0)
        d->nbytes = is_series(d->recipe)
                        ? series_nbytes(d)
                        : d->format->nbytes(&d->first->nifti,
                                            graph_image_nbytes(&d->first->nifti, d->nvol));
}

/* Whose file a command names counts like a run, and so do those of the commands before it. */
static void add_sources(struct derived *d, const struct graph *g)
{
    for (size_t i = 0; i < g->ntasks; i++)
        for (size_t k = 0; g->tasks[i].call && k < g->tasks[i].call->ninputs; k++) {
            const struct command_input *in = &g->tasks[i].call->inputs[k];

            if (!in->source)
                continue;
            derived_add_rights(&d->mode, &d->uid, &d->gid, &in->id, false);
            if (in->id.mtime_ns > d->mtime_ns)
                d->mtime_ns = in->id.mtime_ns;
        }
}

/* The key has all that the file depends on. */
static void plan_command_file(struct derived *d, XXH3_state_t *version)
{
    struct plan_request q = request_of(d, 0);
    struct error err;
    struct graph *g;

    if (d->bad) {
        error_set(&d->error, code_of_source(d->bad->error.code), "%s", d->bad->error.text);
        return;
    }
    if (plan_file(&q, (struct plan_extent){.kind = PLAN_ALL}, &g, &err) < 0) {
        error_set(&d->error, code_of_source(err.code), "%s", err.text);
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
    /* not the text: names in it may have come to mean something else since */
    XXH3_64bits_update(&state, d->recipe->canonical, strlen(d->recipe->canonical) + 1);
    XXH3_64bits_update(&state, &d->recipe->mtime_ns, sizeof d->recipe->mtime_ns);
    d->mode = 0444;
    d->mtime_ns = d->recipe->mtime_ns;
    for (size_t i = 0; i < d->nruns; i++) {
        const struct run *run = d->runs[i];

        add_version(&state, run);
        if (run->id.ino != 0 || run->absent)
            derived_add_rights(&d->mode, &d->uid, &d->gid, &run->id, i == 0);
        if (run->id.mtime_ns > d->mtime_ns)
            d->mtime_ns = run->id.mtime_ns;
    }
    if (d->recipe->command)
        plan_command_file(d, &state);
    else
        measure(d);
    d->version = XXH3_64bits_digest(&state);
}

static struct derived *derived_new(struct dir_scan *scan, struct recipe_table *table,
                                   const struct recipe *recipe, const struct output_format *format,
                                   char *name)
{
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
    return d;
}

static struct derived *of_group(struct dir_scan *scan, struct recipe_table *table,
                                const struct group *group, const struct recipe *recipe,
                                const struct output_format *format)
{
    char *name = NULL;
    struct derived *d;

    if (asprintf(&name, "%s%s%s", group->prefix, recipe->name, format->extension) < 0)
        return NULL;
    d = derived_new(scan, table, recipe, format, name);
    if (!d)
        return NULL;
    d->runs = group->runs;
    d->nruns = group->nruns;
    d->first = group->first;
    d->bad = group->bad;
    describe(d);
    return d;
}

static struct derived *of_run(struct dir_scan *scan, struct recipe_table *table,
                              const struct dir_run *member, const struct recipe *recipe,
                              const struct output_format *format)
{
    char *name = NULL;
    struct derived *d;

    /* a command's name has its ending in it */
    size_t stem = recipe->command ? strcspn(recipe->name, ".") : strlen(recipe->name);

    if (asprintf(&name, "%s_stat-%.*s_%s%s%s", member->entities, (int)stem, recipe->name,
                 member->map_suffix, recipe->name + stem, format->extension) < 0)
        return NULL;
    d = derived_new(scan, table, recipe, format, name);
    if (!d)
        return NULL;
    d->runs = &member->run;
    d->nruns = 1;
    if (member->run->state == RUN_OK)
        d->first = member->run;
    else
        d->bad = member->run;
    describe(d);
    return d;
}

/* A series is read in parts, which not every format can be made of. */
static bool has_format(const struct recipe *recipe, const struct output_format *format)
{
    return recipe->expr && (!is_series(recipe) || format->framing || !format->operation);
}

static bool starts_with(const char *text, size_t len, const char *start)
{
    size_t n = strlen(start);

    return len >= n && memcmp(text, start, n) == 0;
}

/* Find the recipe in "PREFIX RECIPE"; ENOENT too where `stem` is not of this group. */
static int recipe_of_group(const struct group *group, struct recipe_table *table, const char *stem,
                           size_t len, struct recipe_table **owner, const struct recipe **out,
                           struct error *err)
{
    size_t before = strlen(group->prefix);

    if (!starts_with(stem, len, group->prefix))
        return -ENOENT;
    return recipe_resolve(table, stem + before, len - before, owner, out, err);
}

/* Find the recipe in "ENTITIES_stat-RECIPE_MAP"; ENOENT too where `stem` is not of this run. */
static int recipe_of_run(const struct dir_run *member, struct recipe_table *table, const char *stem,
                         size_t len, struct recipe_table **owner, const struct recipe **out,
                         struct error *err)
{
    static const char stat[] = "_stat-";
    size_t entities = strlen(member->entities), map = strlen(member->map_suffix);
    size_t before = entities + strlen(stat), after = map + 1;

    if (len <= before + after || !starts_with(stem, len, member->entities) ||
        !starts_with(stem + entities, len - entities, stat) || stem[len - after] != '_' ||
        memcmp(stem + len - map, member->map_suffix, map) != 0)
        return -ENOENT;
    return recipe_resolve(table, stem + before, len - before - after, owner, out, err);
}

/* Does name[len] end as one of the command's files does? */
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

static bool is_run_command(const struct dir_run *member, const struct recipe *recipe,
                           const char *name, size_t len)
{
    size_t stem = strcspn(recipe->name, "."), entities = strlen(member->entities);
    size_t map = strlen(member->map_suffix);
    size_t ending = strlen(recipe->name) - stem, mid = strlen("_stat-");

    return len == entities + mid + stem + 1 + map + ending &&
           starts_with(name, len, member->entities) &&
           memcmp(name + entities, "_stat-", mid) == 0 &&
           memcmp(name + entities + mid, recipe->name, stem) == 0 &&
           name[entities + mid + stem] == '_' &&
           memcmp(name + entities + mid + stem + 1, member->map_suffix, map) == 0 &&
           memcmp(name + len - ending, recipe->name + stem, ending) == 0;
}

static bool is_group_command(const struct group *group, const struct recipe *recipe,
                             const char *name, size_t len)
{
    size_t prefix = strlen(group->prefix);

    return starts_with(name, len, group->prefix) && len - prefix == strlen(recipe->name) &&
           memcmp(name + prefix, recipe->name, len - prefix) == 0;
}

/* The command's file called name[len], or in `format` what is called so before its extension.
 * -ENOENT: it has none. */
static int lookup_command(struct dir_scan *scan, struct recipe_table *table,
                          const struct recipe *recipe, const char *name, size_t len,
                          const struct output_format *format, struct derived **out)
{
    if (!recipe->command || !may_be_command(recipe, name, len))
        return -ENOENT;
    for (size_t i = 0; !recipe->command->per_run && i < scan->ngroups; i++)
        if (is_group_command(&scan->groups[i], recipe, name, len)) {
            *out = of_group(scan, table, &scan->groups[i], recipe, format);
            return *out ? 0 : -ENOMEM;
        }
    for (size_t i = 0; recipe->command->per_run && i < scan->nruns; i++)
        if (is_run_command(&scan->runs[i], recipe, name, len)) {
            *out = of_run(scan, table, &scan->runs[i], recipe, format);
            return *out ? 0 : -ENOMEM;
        }
    return -ENOENT;
}

/* What a command writes, or a drawing of how: FILE.svg. A file that is called so goes first. */
static int lookup_commands(struct dir_scan *scan, struct recipe_table *table, const char *name,
                           struct derived **out)
{
    size_t stem;
    const struct output_format *drawing = output_find(name, &stem);
    int ret = -ENOENT;

    for (size_t i = 0; i < table->nrecipes && ret == -ENOENT; i++)
        ret = lookup_command(scan, table, &table->recipes[i], name, strlen(name),
                             &output_as_written, out);
    for (size_t i = 0;
         drawing && drawing->kind == OUTPUT_DRAWING && i < table->nrecipes && ret == -ENOENT; i++)
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

    for (size_t i = 0; format && i < scan->ngroups + scan->nruns; i++) {
        const struct group *group = i < scan->ngroups ? &scan->groups[i] : NULL;
        const struct dir_run *member = group ? NULL : &scan->runs[i - scan->ngroups];

        ret = group ? recipe_of_group(group, table, name, len, &owner, &recipe, err)
                    : recipe_of_run(member, table, name, len, &owner, &recipe, err);
        if (ret == -ENOENT)
            continue;
        if (ret < 0)
            return ret;
        *out = NULL;
        ret = has_format(recipe, format) ? 0 : -ENOENT;
        if (ret == 0)
            *out = group ? of_group(scan, owner, group, recipe, format)
                         : of_run(scan, owner, member, recipe, format);
        recipe_table_put(owner);
        if (ret == 0)
            return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
    }
    ret = lookup_commands(scan, table, name, out);
    if (ret == -ENOENT)
        return error_set(err, ENOENT, "%s: no such file", name);
    return ret == 0 ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}

bool derived_lacks(const struct derived *d)
{
    for (size_t i = 0; i < d->nruns; i++)
        if (d->runs[i]->state == RUN_ABSENT || d->runs[i]->absent)
            return true;
    return false;
}

/* Shown: what can be read, or would be but for a broken source (so that the error is found) or for
 * content that may be fetched. */
static bool is_shown(const struct run *first, const struct run *bad)
{
    return first || (bad && bad->state == RUN_ABSENT);
}

static int list_recipe(struct dir_scan *scan, struct recipe_table *table,
                       const struct recipe *recipe, const struct output_format *format,
                       struct derived **list, size_t *n)
{
    bool per_run = recipe->command && recipe->command->per_run;

    for (size_t i = 0; format->listed && recipe->list && !per_run && i < scan->ngroups; i++)
        if (is_shown(scan->groups[i].first, scan->groups[i].bad)) {
            list[*n] = of_group(scan, table, &scan->groups[i], recipe, format);
            if (!list[*n])
                return -ENOMEM;
            ++*n;
        }
    for (size_t i = 0; format->listed_per_run && recipe->list_runs && i < scan->nruns; i++)
        if (scan->runs[i].run->state != RUN_BROKEN) {
            list[*n] = of_run(scan, table, &scan->runs[i], recipe, format);
            if (!list[*n])
                return -ENOMEM;
            ++*n;
        }
    return 0;
}

int derived_list(struct dir_scan *scan, struct recipe_table *table, struct derived ***out,
                 size_t *n, struct error *err)
{
    size_t most = 0;
    int ret = 0;

    most = table->nrecipes * (scan->ngroups + scan->nruns);
    for (const struct output_format *const *f = output_formats(); *f; f++)
        most += table->nrecipes * (scan->ngroups + scan->nruns);
    *n = 0;
    *out = calloc(most + 1, sizeof **out);
    if (!*out)
        return error_set(err, ENOMEM, "%s: out of memory", scan->dir);
    for (const struct output_format *const *f = output_formats(); *f; f++)
        for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
            if (has_format(&table->recipes[r], *f))
                ret = list_recipe(scan, table, &table->recipes[r], *f, *out, n);
    for (size_t r = 0; r < table->nrecipes && ret == 0; r++)
        if (table->recipes[r].command)
            ret = list_recipe(scan, table, &table->recipes[r], &output_as_written, *out, n);
    if (ret < 0) {
        derived_list_free(*out, *n);
        return error_set(err, ENOMEM, "%s: out of memory", scan->dir);
    }
    return 0;
}

void derived_list_free(struct derived **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        derived_put(list[i]);
    free(list);
}

void derived_parts(const struct derived *d, struct parts *out)
{
    uint64_t volume;

    *out = (struct parts){.nbytes = d->nbytes,
                          .result_nbytes = d->nbytes,
                          .last_result_nbytes = d->nbytes,
                          .nvol = 1,
                          .n = 1};
    if (!is_series(d->recipe) || d->nvol == 0 || d->text)
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

    if (!is_series(d->recipe))
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

bool derived_is_by_slices(const struct derived *d)
{
    struct graph *g;

    if (derived_plan(d, (struct plan_extent){PLAN_SLICES, 0, 1}, 0, &g, NULL) < 0)
        return false;
    graph_put(g);
    return true;
}

int derived_header(const struct derived *d, struct file_header *out, struct error *err)
{
    unsigned char header[NIFTI_DERIVED_NBYTES];
    char *origin;

    if (d->nvol == 0 || !d->format->framing || (d->format->operation && !is_series(d->recipe)))
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
