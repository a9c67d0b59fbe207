/* SPDX-License-Identifier: MIT
 *
 * The graph as an object: life, cutting, and what follows from it alone. plan.c makes it.
 */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annex.h"
#include "graph_call.h"

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

/* Parts of a series are of about this size: a few reads long, and small beside the memory. */
enum { PART_NBYTES = 4 << 20 };

int64_t graph_part_nvol(const struct nifti *first)
{
    uint64_t volume = (uint64_t)nifti_nvox(first) * sizeof(float);

    return volume < PART_NBYTES ? (int64_t)(PART_NBYTES / volume) : 1;
}

static void command_call_free(struct command_call *call)
{
    if (!call)
        return;
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
    command_call_free(t->call);
    caption_free(t->caption);
    if (t->content)
        annex_content_clear(t->content);
    free(t->content);
    free(t->pieces);
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

/* Streams name tasks too; those of a task that is cut off are never looked at again. */
static void move_leaves(struct task *t, const size_t *place)
{
    for (size_t i = 0; i < t->nstreams; i++)
        for (size_t k = 0; k < t->streams[i].nleaves; k++) {
            struct stream_leaf *leaf = &t->streams[i].leaves[k];

            if (leaf->kind != LEAF_SAMPLE)
                leaf->task = place[leaf->task];
        }
}

bool graph_is_by_slices(const struct graph *g)
{
    const struct task *root = graph_root(g);

    if (root->kind != TASK_IMAGE && root->kind != TASK_SLICES)
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
        move_leaves(&t, place);
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
    for (size_t i = 0; i < g->nmade; i++) {
        g->made[i]->nargs = 0; /* borrowed */
        expr_free(g->made[i]);
    }
    free(g->tasks);
    free(g->runs);
    for (size_t i = 0; i < g->nnamed; i++)
        recipe_table_put(g->named[i]);
    free(g->made);
    free(g->named);
    recipe_table_put(g->table);
    free(g);
}

const struct task *graph_root(const struct graph *g)
{
    return &g->tasks[g->ntasks - 1];
}
