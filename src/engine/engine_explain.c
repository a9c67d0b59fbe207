/* SPDX-License-Identifier: MIT
 *
 * Explaining a derived file. Plans its first part, and looks at keys and headers; reads no voxel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array_desc.h"
#include "cursor.h"
#include "engine.h"
#include "engine_missing.h"
#include "engine_private.h"
#include "grow.h"
#include "passes.h"

/* What callers see, and what that borrows from. */
struct explained {
    struct explanation shown; /* first: callers have its address */
    struct derived *derived;
    struct graph *graph; /* NULL: it cannot be planned */
    struct passes passes;
    char **missing; /* [shown.ntasks] why a result is not in the cache, or NULL */
};

static int explain_recipe(struct explanation *x, const struct recipe *recipe)
{
    struct explained_param *params = calloc(recipe->nparams + 1, sizeof *params);

    x->params = params;
    x->params_text = recipe_params_text(recipe);
    if (!params || !x->params_text)
        return -ENOMEM;
    x->nparams = recipe->nparams;
    for (size_t i = 0; i < recipe->nparams; i++)
        params[i] = (struct explained_param){recipe->params[i].name, recipe->params[i].value};
    return 0;
}

/* What identifies a run in keys, and what follows for results. */
static const char *identified_by(struct run *run)
{
    bool may_be_known = run_may_have_name(run); /* gives it a name */

    switch (run_named(run)) {
    case NAMED_ANNEX:
        return "git-annex key, to which its content was hashed when it was here";
    case NAMED_CONTENT:
        return "content, which was read before";
    case NAMED_NOT:
    case NAMED_ATTRIBUTES:
        break;
    }
    if (may_be_known)
        return "attributes, which are new; when it is read, its content is compared with known "
               "ones";
    return run->id.lasting ? "attributes" : "attributes, for this mount and daemon only";
}

static int explain_run(const struct store *s, struct run *run, struct explained_run *out)
{
    struct array_desc n;

    out->path = run->path;
    if (run->state != RUN_OK) {
        out->error = run->error.text;
        return 0;
    }
    n = array_desc_of_run(run);
    out->array = array_desc_text(&n, true);
    out->nbytes = run->id.size;
    out->absent = run->absent;
    out->codec = run->codec->name;
    out->way = cursor_way(s->cache, run);
    out->by = identified_by(run);
    return out->array ? 0 : -ENOMEM;
}

static int explain_runs(const struct store *s, const struct derived *d, struct explanation *x)
{
    int ret = 0;

    x->runs = calloc(d->nruns + 1, sizeof *x->runs);
    if (!x->runs)
        return -ENOMEM;
    x->nruns = d->nruns;
    for (size_t i = 0; i < d->nruns && ret == 0; i++)
        ret = explain_run(s, d->runs[i], &x->runs[i]);
    return ret;
}

static int explain_input(const struct derived *d, const struct found_input *found, size_t run,
                         struct explanation *x)
{
    const struct run *file = found->files[run];
    bool is_image = file && (file->state == RUN_OK || file->state == RUN_NOT) && file->nifti.real;
    struct explained_input *out;

    if (GROW(x->inputs, x->ninputs) < 0)
        return -ENOMEM;
    out = &x->inputs[x->ninputs++];
    *out = (struct explained_input){.name = input_title(found->input),
                                    .text = input_text(found->input),
                                    .run = d->runs[run]->path,
                                    .path = file ? file->path : NULL,
                                    .looked = found->looked[run]};
    if (is_image) {
        struct array_desc n = array_desc_of_run(file);

        out->array = array_desc_text(&n, false);
    }
    return out->text && (out->array || !is_image) ? 0 : -ENOMEM;
}

static int explain_inputs(const struct derived *d, struct explanation *x)
{
    int ret = 0;

    for (size_t i = 0; i < d->inputs.n; i++)
        for (size_t k = 0; ret == 0 && k < d->inputs.list[i].nruns; k++)
            ret = explain_input(d, &d->inputs.list[i], k, x);
    return ret;
}

/* A remark_fn. */
static int explain_remark(void *ctx, const struct remark *remark)
{
    struct explanation *x = ctx;
    struct explained_remark new = {strdup(remark->path), strdup(remark->text), remark->kind};

    if (!new.path || !new.text || GROW(x->remarks, x->nremarks) < 0) {
        free(new.path);
        free(new.text);
        return -ENOMEM;
    }
    x->remarks[x->nremarks++] = new;
    return 0;
}

static int explain_task(const struct store *s, const struct graph *g, const struct task *t,
                        struct explained_task *out)
{
    struct array_desc n = array_desc_of_task(g, t);

    *out = (struct explained_task){
        .label = t->label,
        .key = t->key,
        .needs = t->deps,
        .nneeds = t->ndeps,
        .array = array_desc_text(&n, true),
        .is_command = t->kind == TASK_COMMAND,
        .work_nbytes = t->work_nbytes,
        .result_nbytes = t->result_nbytes,
    };
    if (!cache_size_of(s->cache, &t->key, &out->cached_nbytes))
        out->cached_nbytes = 0;
    return out->array ? 0 : -ENOMEM;
}

static int explain_tasks(const struct store *s, struct explained *x)
{
    const struct graph *g = x->graph;
    int ret;

    x->shown.tasks = calloc(g->ntasks, sizeof *x->shown.tasks);
    x->missing = calloc(g->ntasks, sizeof *x->missing);
    if (!x->shown.tasks || !x->missing)
        return -ENOMEM;
    x->shown.ntasks = g->ntasks;
    ret = missing_reasons(s, x->derived->scan->rootfd, g, x->missing);
    for (size_t i = 0; i < g->ntasks && ret == 0; i++) {
        ret = explain_task(s, g, &g->tasks[i], &x->shown.tasks[i]);
        x->shown.tasks[i].missing = x->missing[i];
    }
    return ret;
}

/* What is left to read once the results that are in the cache are taken from there. */
static uint64_t left_nbytes(const struct store *s, struct graph *g)
{
    struct graph *left = store_cut(s, g);
    uint64_t sum = passes_read_nbytes(left);

    graph_put(left);
    return sum;
}

static int explain_graph(const struct store *s, struct explained *x)
{
    int ret = passes_of(x->graph, &x->passes, NULL);

    if (ret < 0)
        return ret;
    x->shown.npasses = x->passes.n;
    x->shown.passes = x->passes.tasks;
    x->shown.npasses_told = x->passes.n > 1 ? x->passes.ntasks : 0;
    x->shown.read_nbytes = x->passes.read_nbytes;
    x->shown.left_nbytes = left_nbytes(s, x->graph);
    return explain_tasks(s, x);
}

int engine_explain(struct engine *e, struct derived *d, struct explanation **out, struct error *err)
{
    struct explained *x = calloc(1, sizeof *x);
    int ret;

    if (!x)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    x->derived = derived_get(d);
    x->shown.array = derived_array(d);
    ret = explain_recipe(&x->shown, d->recipe);
    if (ret == 0)
        ret = explain_runs(&e->store, d, &x->shown);
    if (ret == 0)
        ret = explain_inputs(d, &x->shown);
    if (ret == 0)
        ret = derived_remarks(d, explain_remark, &x->shown);
    if (ret == 0 &&
        derived_plan(d, derived_part(d, 0), e->config.memory_nbytes, &x->graph, NULL) == 0)
        ret = explain_graph(&e->store, x);
    if (ret < 0) {
        explanation_free(&x->shown);
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    }
    *out = &x->shown;
    return 0;
}

void explanation_free(struct explanation *shown)
{
    struct explained *x = (struct explained *)shown;

    for (size_t i = 0; i < shown->nruns; i++)
        free(shown->runs[i].array);
    for (size_t i = 0; i < shown->ninputs; i++) {
        free(shown->inputs[i].text);
        free(shown->inputs[i].array);
    }
    free(shown->inputs);
    for (size_t i = 0; i < shown->ntasks; i++) {
        free(shown->tasks[i].array);
        free(x->missing[i]);
    }
    for (size_t i = 0; i < shown->nremarks; i++) {
        free(shown->remarks[i].path);
        free(shown->remarks[i].text);
    }
    free(shown->array);
    free(shown->remarks);
    free(shown->runs);
    free(shown->tasks);
    free(x->missing);
    free(shown->params);
    free(shown->params_text);
    passes_free(&x->passes);
    graph_put(x->graph);
    derived_put(x->derived);
    free(x);
}
