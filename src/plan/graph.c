/* SPDX-License-Identifier: MIT
 *
 * The graph and its streams as objects: lifetime, cutting, properties. A graph that was cut shares all with the
 * whole but the need of each task.
 */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "annex.h"
#include "graph_call.h"
#include "grow.h"

#define ROW(name, operation, version, verb, result, ...)                                           \
    [TASK_##name] = {operation, version, verb, result},
static const struct task_kind_info kinds[] = {TASK_KINDS(ROW)};
#undef ROW

const struct task_kind_info *task_kind_info(enum task_kind kind)
{
    return &kinds[kind];
}

struct key_builder *task_begin_key(enum task_kind kind)
{
    return key_begin(kinds[kind].operation, kinds[kind].version);
}

static void command_call_free(struct command_call *call)
{
    for (size_t i = 0; i < call->ninputs; i++)
        free(call->inputs[i].source);
    free(call->inputs);
    program_clear(&call->program);
    free(call);
}

char *graph_origin(const struct expr *e)
{
    char *text = expr_print(e), *origin = NULL;

    if (!text || asprintf(&origin, "derivfs %s", text) < 0)
        origin = NULL;
    free(text);
    return origin;
}

uint64_t graph_image_nbytes(const struct nifti *first, int64_t nvol)
{
    return NIFTI_DERIVED_NBYTES + (uint64_t)nifti_nvox(first) * (uint64_t)nvol * sizeof(float);
}

void task_clear(struct task *t)
{
    for (size_t i = 0; i < t->nstreams; i++)
        stream_clear(&t->streams[i]);
    free(t->streams);
    free(t->percents);
    free(t->reductions);
    free(t->label);
    free(t->deps);
    if (t->call)
        command_call_free(t->call);
    if (t->caption)
        caption_free(t->caption);
    if (t->content)
        annex_content_clear(t->content);
    free(t->content);
    free(t->elsewhere);
    free(t->pieces);
}

bool graph_is_by_slices(const struct graph *g)
{
    const struct task *root = graph_root(g);

    if (root->kind != TASK_IMAGE && root->kind != TASK_SLICES)
        return false;
    /* a number or a threshold needs all voxels of its image */
    for (size_t i = 0; i < g->ntasks; i++)
        if (task_kind_info(g->tasks[i].kind)->result == RESULT_NUMBER ||
            g->tasks[i].kind == TASK_OTSU)
            return false;
    for (size_t i = 0; i < g->ntasks; i++)
        for (size_t s = 0; s < g->tasks[i].nstreams; s++)
            if (g->tasks[i].kind != TASK_MOMENTS || !stream_is_raw(&g->tasks[i].streams[s]))
                return false;
    for (size_t i = 0; i < g->nruns; i++)
        if (!g->runs[i]->codec->plain)
            return false;
    return true;
}

size_t graph_slice_nvox(const struct graph *g)
{
    const struct nifti *h = &g->runs[0]->nifti;

    return (size_t)(h->dim[0] * h->dim[1]);
}

struct graph *graph_cut(struct graph *g, bool (*is_cached)(void *ctx, const struct key *key),
                        void *ctx)
{
    struct graph *whole = g->whole ? g->whole : g;
    struct graph *cut = malloc(sizeof *cut);
    enum task_need *needs = calloc(whole->ntasks, sizeof *needs);

    if (!cut || !needs) { /* a graph that is not cut is right too: cached tasks end at once */
        free(cut);
        free(needs);
        return graph_get(g);
    }
    /* dependents stand behind their dependencies, so one walk from the root is enough */
    needs[whole->ntasks - 1] = NEED_RUN;
    for (size_t i = whole->ntasks; i-- > 0;) {
        const struct task *t = &whole->tasks[i];

        if (needs[i] == NEED_RUN && is_cached(ctx, &t->key))
            needs[i] = NEED_RESULT;
        for (size_t d = 0; needs[i] == NEED_RUN && d < t->ndeps; d++)
            needs[t->deps[d]] = NEED_RUN;
    }
    *cut = (struct graph){
        .tasks = whole->tasks,
        .ntasks = whole->ntasks,
        .vox0 = whole->vox0,
        .nvox = whole->nvox,
        .is_slices = whole->is_slices,
        .runs = whole->runs,
        .nruns = whole->nruns,
        .nsources = whole->nsources,
        .table = whole->table,
        .recipe = whole->recipe,
        .format = whole->format,
        .whole = graph_get(whole),
        .needs = needs,
    };
    atomic_init(&cut->refs, 1);
    return cut;
}

struct graph *graph_new(void)
{
    struct graph *g = calloc(1, sizeof *g);

    if (g)
        atomic_init(&g->refs, 1);
    return g;
}

enum task_need graph_need(const struct graph *g, const struct task *t)
{
    return g->needs ? g->needs[t - g->tasks] : NEED_RUN;
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
    if (g->whole) {
        graph_put(g->whole);
        free(g->needs);
        free(g);
        return;
    }
    for (size_t i = 0; i < g->ntasks; i++)
        task_clear(&g->tasks[i]);
    for (size_t i = 0; i < g->nsources; i++)
        run_put(g->runs[i]);
    for (size_t i = 0; i < g->nmade; i++) {
        g->made[i]->nargs = 0; /* borrowed */
        expr_free(g->made[i]);
    }
    for (size_t i = 0; i < g->nnamed; i++)
        recipe_table_put(g->named[i]);
    free(g->tasks);
    free(g->runs);
    free(g->made);
    free(g->named);
    recipe_table_put(g->table);
    free(g);
}

const struct task *graph_root(const struct graph *g)
{
    return &g->tasks[g->ntasks - 1];
}

/* ---- streams ---- */

void stream_clear(struct stream *s)
{
    for (size_t i = 0; i < s->nleaves; i++)
        run_put(s->leaves[i].run);
    free(s->leaves);
    expr_free(s->e);
    *s = (struct stream){.e = NULL};
}

static bool same_leaf(const struct stream_leaf *a, const struct stream_leaf *b)
{
    return a->kind == b->kind && a->run == b->run && a->vol0 == b->vol0 && a->task == b->task &&
           a->order == b->order && a->fit_nvol == b->fit_nvol;
}

size_t stream_add_leaf(struct stream *s, struct stream_leaf leaf)
{
    size_t i = 0;

    while (i < s->nleaves && !same_leaf(&s->leaves[i], &leaf))
        i++;
    if (i == s->nleaves && GROW(s->leaves, i) == 0) {
        s->leaves[s->nleaves++] = leaf;
        return i;
    }
    run_put(leaf.run);
    return i < s->nleaves ? i : SIZE_MAX;
}

bool stream_is_raw(const struct stream *s)
{
    return s->e->op == EXPR_BOLD && s->leaves[s->e->start].kind == LEAF_SAMPLE;
}

enum sample_type stream_sample_type(const struct stream *s)
{
    return stream_is_raw(s) ? s->leaves[s->e->start].run->nifti.sample : SAMPLE_FLOAT64;
}

const struct stream_leaf *stream_sample_leaf(const struct stream *s)
{
    const struct stream_leaf *found = NULL;

    for (size_t i = 0; i < s->nleaves; i++) {
        if (s->leaves[i].kind != LEAF_SAMPLE)
            continue;
        if (found)
            return NULL;
        found = &s->leaves[i];
    }
    return found;
}

uint64_t stream_work_nbytes(const struct stream *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->nleaves; i++) {
        const struct run *run = s->leaves[i].run;

        if (s->leaves[i].kind != LEAF_SAMPLE)
            continue;
        uint64_t of = (uint64_t)run->nifti.nvol, n = (uint64_t)s->nvol; /* each at most 2^32 */
        sum += run->id.size / of * n + run->id.size % of * n / of;
    }
    return sum;
}
