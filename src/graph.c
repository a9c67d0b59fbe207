/* SPDX-License-Identifier: MIT
 *
 * From expression and runs to tasks.
 *
 * The expression is not cut up further than its reductions: each is taken from the moments of the
 * runs, merged tile by tile inside the image task, and all arithmetic above it is one fused pass.
 * So a session's tsnr.nii is one task per run, which does all the reading and inflating, and one
 * small task at the end. Keys: moments by what identifies the run; the image by the canonical text
 * of its expression and the keys of its moments in order, so that two recipes that say the same
 * share one result.
 */
#include "graph.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* Versions of the operations: raise one when its results change. */
enum { MOMENTS_VERSION = 1, IMAGE_VERSION = 1 };

/* Moments are stored in this machine's byte order. */
static const char *byte_order(void)
{
    return BYTE_ORDER == LITTLE_ENDIAN ? "little" : "big";
}

static int check_node(const struct expr *e, struct error *err)
{
    if (expr_is_reduction(e->op)) {
        if (e->op == EXPR_MEDIAN || e->op == EXPR_INDEX)
            return error_set(err, ENOTSUP,
                             "median() and single volumes cannot be computed by this version");
        if (e->args[0]->op != EXPR_BOLD)
            return error_set(err, ENOTSUP,
                             "a reduction over anything but bold itself cannot be computed by this "
                             "version");
        return 0;
    }
    for (size_t i = 0; i < e->nargs; i++) {
        int ret = check_node(e->args[i], err);

        if (ret < 0)
            return ret;
    }
    return 0;
}

int graph_check(const struct expr *e, struct error *err)
{
    if (e->rank != EXPR_IMAGE)
        return error_set(err, ENOTSUP,
                         "the result is a series (4-D), which this version cannot compute: reduce "
                         "it over time, with mean() for example");
    return check_node(e, err);
}

char *graph_origin(const struct expr *e)
{
    char *text = expr_print(e), *origin = NULL;

    if (!text || asprintf(&origin, "derivfs %s", text) < 0)
        origin = NULL;
    free(text);
    return origin;
}

uint64_t graph_image_nbytes(const struct nifti *first)
{
    return NIFTI_DERIVED_NBYTES + (uint64_t)nifti_nvox(first) * sizeof(float);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int plan_moments(struct task *t, struct run *run, struct error *err)
{
    struct key_builder *b = key_begin("moments", MOMENTS_VERSION);
    size_t nvox = (size_t)nifti_nvox(&run->nifti);
    char id[SOURCE_ID_TEXT_MAX];

    t->kind = TASK_MOMENTS;
    if (!b || asprintf(&t->label, "moments %s", base_name(run->path)) < 0) {
        t->label = NULL;
        return error_set(err, ENOMEM, "%s: out of memory", run->path);
    }
    source_id_text(&run->id, id);
    key_add_text(b, "source", id);
    key_add_text(b, "byte order", byte_order());
    key_end(b, &t->key);
    t->work_nbytes = run->id.size;
    t->mem_nbytes = moments_nbytes(run->nifti.sample, nvox) + TASK_BUFFER_NBYTES;
    t->result_nbytes = (uint64_t)nvox * MOMENTS_NPLANES * sizeof(double);
    t->run = run_get(run);
    return 0;
}

/* All of the tasks before this one are its inputs. */
static int depend_on_all(struct task *t, size_t ntasks)
{
    t->deps = calloc(ntasks, sizeof *t->deps);
    if (!t->deps)
        return -ENOMEM;
    for (size_t i = 0; i < ntasks; i++)
        t->deps[i] = i;
    t->ndeps = ntasks;
    return 0;
}

static int plan_image(struct graph *g, struct task *t, struct error *err)
{
    struct key_builder *b = key_begin("image", IMAGE_VERSION);
    const struct nifti *first = &g->runs[0]->nifti;
    char *text = expr_print(g->recipe->expr);

    t->kind = TASK_IMAGE;
    if (!b || !text || depend_on_all(t, g->ntasks) < 0 || !(t->label = strdup(text))) {
        free(text);
        return error_set(err, ENOMEM, "%s: out of memory", g->recipe->name);
    }
    key_add_text(b, "expression", text);
    for (size_t i = 0; i < t->ndeps; i++)
        key_add_key(b, "run", &g->tasks[t->deps[i]].key);
    key_end(b, &t->key);
    free(text);
    t->mem_nbytes = 2 * (size_t)TASK_BUFFER_NBYTES;
    t->result_nbytes = graph_image_nbytes(first);
    return 0;
}

static int plan_output(struct graph *g, struct task *t, struct error *err)
{
    const struct task *image = &g->tasks[g->ntasks - 1];
    struct key_builder *b = key_begin(g->format->operation, g->format->version);

    t->kind = TASK_OUTPUT;
    if (!b || !(t->deps = malloc(sizeof *t->deps)) ||
        asprintf(&t->label, "%s %s", g->format->operation, image->label) < 0) {
        t->label = NULL;
        return error_set(err, ENOMEM, "%s: out of memory", g->recipe->name);
    }
    key_add_key(b, "image", &image->key);
    key_end(b, &t->key);
    t->deps[0] = g->ntasks - 1;
    t->ndeps = 1;
    t->mem_nbytes = TASK_BUFFER_NBYTES;
    t->result_nbytes = g->format->nbytes(image->result_nbytes);
    return 0;
}

static int plan_tasks(struct graph *g, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < g->nruns && ret == 0; i++)
        ret = plan_moments(&g->tasks[g->ntasks++], g->runs[i], err);
    if (ret == 0)
        ret = plan_image(g, &g->tasks[g->ntasks], err);
    g->ntasks++;
    if (ret == 0 && g->format->operation) {
        ret = plan_output(g, &g->tasks[g->ntasks], err);
        g->ntasks++;
    }
    return ret;
}

int graph_build(struct recipe_table *table, const struct recipe *recipe,
                const struct output_format *format, struct run *const *runs, size_t nruns,
                struct graph **out, struct error *err)
{
    struct graph *g;
    int ret = graph_check(recipe->expr, err);

    if (ret < 0)
        return error_wrap(err, ret, "%s", recipe->name);
    g = calloc(1, sizeof *g);
    if (!g)
        return error_set(err, ENOMEM, "%s: out of memory", recipe->name);
    atomic_init(&g->refs, 1);
    g->table = recipe_table_get(table);
    g->recipe = recipe;
    g->format = format;
    g->runs = calloc(nruns, sizeof(struct run *));
    g->tasks = calloc(nruns + 2, sizeof *g->tasks);
    if (!g->runs || !g->tasks) {
        graph_put(g);
        return error_set(err, ENOMEM, "%s: out of memory", recipe->name);
    }
    for (size_t i = 0; i < nruns; i++)
        g->runs[g->nruns++] = run_get(runs[i]);
    ret = plan_tasks(g, err);
    if (ret < 0) {
        graph_put(g);
        return ret;
    }
    *out = g;
    return 0;
}

static void task_clear(struct task *t)
{
    free(t->label);
    free(t->deps);
    run_put(t->run);
}

/* Mark what the root needs; place[i] becomes non-zero. Dependents stand behind their dependencies,
 * so one walk from the root does it. */
static void mark_needed(struct graph *g, bool (*is_cached)(void *ctx, const struct key *key),
                        void *ctx, size_t *place)
{
    place[g->ntasks - 1] = 1;
    for (size_t i = g->ntasks; i-- > 0;) {
        struct task *t = &g->tasks[i];

        if (place[i] == 0)
            continue;
        if (is_cached(ctx, &t->key))
            t->ndeps = 0;
        for (size_t d = 0; d < t->ndeps; d++)
            place[t->deps[d]] = 1;
    }
}

void graph_cut(struct graph *g, bool (*is_cached)(void *ctx, const struct key *key), void *ctx)
{
    size_t *place = calloc(g->ntasks, sizeof *place);
    size_t kept = 0;

    if (!place)
        return; /* a graph that is not cut is right too: cached tasks end at once */
    mark_needed(g, is_cached, ctx, place);
    for (size_t i = 0; i < g->ntasks; i++) {
        struct task t = g->tasks[i];

        if (place[i] == 0) {
            task_clear(&t);
            continue;
        }
        place[i] = kept;
        for (size_t d = 0; d < t.ndeps; d++)
            t.deps[d] = place[t.deps[d]];
        g->tasks[kept++] = t;
    }
    g->ntasks = kept;
    free(place);
}

struct graph *graph_get(struct graph *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void graph_put(struct graph *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    for (size_t i = 0; i < g->ntasks; i++)
        task_clear(&g->tasks[i]);
    for (size_t i = 0; i < g->nruns; i++)
        run_put(g->runs[i]);
    free(g->tasks);
    free(g->runs);
    recipe_table_put(g->table);
    free(g);
}

const struct task *graph_root(const struct graph *g)
{
    return &g->tasks[g->ntasks - 1];
}
