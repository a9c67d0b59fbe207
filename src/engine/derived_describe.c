/* SPDX-License-Identifier: MIT
 *
 * What is known of a derived file before anything is computed: its inputs, its size, who may read it,
 * and its version. Only commands are planned for that.
 */
#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "derived_private.h"
#include "graph_call.h"
#include "source_rights.h"

/* Note why the file cannot be planned. A source's own code is kept only if it means the same for
 * the reader: a dangling link (ENOENT) must not make the derived file look nonexistent. */
static void note_source_error(struct derived *d, const struct error *why)
{
    bool same = why->code == ENODATA || why->code == EACCES || why->code == ENOMEM;

    error_set(&d->error, same ? why->code : EIO, "%s", why->text);
    d->error.fault = why->fault;
}

int derived_fail(const struct derived *d, struct error *err)
{
    return d->error.fault ? error_fault(err, d->error.code, "%s", d->error.text)
                          : error_set(err, d->error.code, "%s", d->error.text);
}

/* ---- inputs ---- */

/* `optional`: it may be absent. */
static int find_input(struct derived *d, const struct expr *e, bool optional,
                      enum scan_freshness freshness)
{
    const struct found_input *found;
    int ret = inputs_find(d->scan->finder, d->scan->dir.path, e->input, d->runs, d->nruns,
                          freshness, &d->inputs);

    if (ret < 0)
        return ret;
    found = inputs_get(&d->inputs, e->input);
    if (found->error.code && !(optional && found->absent) && !d->lacks_input) {
        d->lacks_input = true;
        note_source_error(d, &found->error);
    }
    return 0;
}

static int find_of_expr(struct derived *d, const struct expr *e, enum scan_freshness freshness)
{
    int ret = 0;

    if (e->input)
        return find_input(d, e, false, freshness);
    if (e->op == EXPR_FOUND) {
        ret = find_input(d, e->args[0], true, freshness);
        return ret == 0 && inputs_get(&d->inputs, e->args[0]->input)->absent
                   ? find_of_expr(d, e->args[1], freshness)
                   : ret;
    }
    for (size_t i = 0; ret == 0 && i < e->nargs; i++)
        ret = find_of_expr(d, e->args[i], freshness);
    return ret;
}

/* With the mask, where the format needs one. */
static int find_of_recipe(struct derived *d, const struct recipe *r,
                          const struct output_format *format, enum scan_freshness freshness)
{
    bool needs_mask = format->needs_mean && !recipe_is_number(r) && recipe_brain(d->table);
    int ret = find_of_expr(d, r->expr, freshness);

    return ret == 0 && needs_mask ? find_of_expr(d, recipe_brain(d->table), freshness) : ret;
}

/* Those of the recipes whose files a command names; `depth` commands name one another already. */
static int find_of_command(struct derived *d, const struct command *c, size_t depth,
                           enum scan_freshness freshness)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && depth < d->table->nrecipes && i < c->nfiles; i++) {
        const char *name = c->files[i].name;
        const struct recipe *r = recipe_find(d->table, name, strlen(name));
        const struct output_format *format;
        struct recipe_table *owner;
        size_t stem;

        if (r && r->command) {
            ret = find_of_command(d, r->command, depth + 1, freshness);
            continue;
        }
        format = output_find(name, &stem);
        if (!format || recipe_resolve(d->table, name, stem, &owner, &r, NULL) < 0)
            continue;
        if (r->expr)
            ret = find_of_recipe(d, r, format, freshness);
        recipe_table_put(owner);
    }
    return ret;
}

/* -ENOMEM. Any other failure is why the file cannot be planned. */
static int find_inputs(struct derived *d, enum scan_freshness freshness)
{
    const struct recipe *r = d->recipe;

    return r->command ? find_of_command(d, r->command, 0, freshness)
                      : find_of_recipe(d, r, d->format, freshness);
}

/* ---- size ---- */

struct plan_request derived_request(const struct derived *d, size_t memory_nbytes)
{
    return (struct plan_request){
        .table = d->table,
        .recipe = d->recipe,
        .format = d->format,
        .runs = d->runs,
        .nruns = d->nruns,
        .inputs = &d->inputs,
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
    struct plan_request q = derived_request(d, 0);

    if (d->recipe->wrong) {
        error_set(&d->error, EDOM, "%s", d->recipe->wrong);
        return;
    }
    if (d->refusal)
        error_set(&d->error, EIO, "%s", d->refusal);
    else if (d->bad)
        note_source_error(d, &d->bad->error);
    else if (d->error.code == 0 && plan_nvol(&q, &d->nvol, &d->error) < 0)
        d->nvol = 0;
    /* the size of an image needs only one sound run */
    if (!recipe_is_series(d->recipe) && d->first)
        d->nvol = 1;
    if (d->nvol == 0)
        return;
    if (recipe_is_number(d->recipe))
        d->nbytes = d->format->kind == OUTPUT_DRAWING ? 0 : sizeof(double);
    else if (recipe_is_series(d->recipe))
        d->nbytes = series_nbytes(d);
    else if (d->format->nbytes)
        d->nbytes =
            d->format->nbytes(&d->first->nifti, graph_image_nbytes(&d->first->nifti, d->nvol));
}

/* Files that the command names, or a command before it, count like runs. */
static void add_command_sources(struct derived *d, const struct graph *g)
{
    for (size_t i = 0; i < g->ntasks; i++)
        for (size_t k = 0; g->tasks[i].call && k < g->tasks[i].call->ninputs; k++) {
            const struct command_input *in = &g->tasks[i].call->inputs[k];

            if (!in->source)
                continue;
            rights_add(&d->rights, &(struct rights){in->id.mode, in->id.uid, in->id.gid});
            if (in->id.mtime_ns > d->mtime_ns)
                d->mtime_ns = in->id.mtime_ns;
        }
}

/* The key depends on everything that the file depends on. */
static void plan_command_file(struct derived *d, XXH3_state_t *version)
{
    struct plan_request q = derived_request(d, 0);
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
    if (d->error.code)
        return;
    if (plan_file(&q, (struct plan_extent){.kind = PLAN_ALL}, &g, &err) < 0) {
        note_source_error(d, &err);
        return;
    }
    d->key = graph_root(g)->key;
    add_command_sources(d, g);
    graph_put(g);
    XXH3_64bits_update(version, d->key.hex, KEY_HEX);
}

/* Who may read it, when it changed, and its identity. Of no input, which is noted: nothing. */
static void add_source(struct derived *d, const struct run *run, XXH3_state_t *version)
{
    const struct source_id *id = &run->id;
    uint64_t numbers[] = {id->ino, id->size, (uint64_t)id->mtime_ns, (uint64_t)id->ctime_ns};

    XXH3_64bits_update(version, id->annex_key, strlen(id->annex_key) + 1);
    XXH3_64bits_update(version, numbers, sizeof numbers);
    XXH3_64bits_update(version, id->fs.hex, sizeof id->fs.hex);
    XXH3_64bits_update(version, &run->state, sizeof run->state);
    rights_add_run(&d->rights, run);
    if (id->mtime_ns > d->mtime_ns)
        d->mtime_ns = id->mtime_ns;
}

static void add_inputs(struct derived *d, XXH3_state_t *version)
{
    for (size_t i = 0; i < d->inputs.n; i++) {
        const struct found_input *found = &d->inputs.list[i];

        XXH3_64bits_update(version, found->error.text, strlen(found->error.text) + 1);
        for (size_t k = 0; k < found->nruns; k++) {
            if (!found->files[k])
                continue;
            XXH3_64bits_update(version, found->files[k]->path, strlen(found->files[k]->path) + 1);
            add_source(d, found->files[k], version);
            rights_add(&d->rights, &found->rights[k]);
        }
    }
}

int derived_describe(struct derived *d, enum scan_freshness freshness)
{
    XXH3_state_t state;
    int ret = find_inputs(d, freshness);

    XXH3_64bits_reset(&state);
    /* not the text: names in it may have other meanings by now */
    XXH3_64bits_update(&state, d->recipe->canonical, strlen(d->recipe->canonical) + 1);
    XXH3_64bits_update(&state, &d->recipe->mtime_ns, sizeof d->recipe->mtime_ns);
    d->rights = rights_of_all;
    /* that of a built-in recipe is no time */
    d->mtime_ns = d->recipe->mtime_ns ? d->recipe->mtime_ns : INT64_MIN;
    for (size_t i = 0; i < d->nruns; i++)
        add_source(d, d->runs[i], &state);
    add_inputs(d, &state);
    if (d->recipe->command)
        plan_command_file(d, &state);
    else
        measure(d);
    rights_end(&d->rights);
    XXH3_64bits_update(&state, &d->rights, sizeof d->rights);
    d->version = XXH3_64bits_digest(&state);
    return ret;
}
