/* SPDX-License-Identifier: MIT
 *
 * Nodes and edges of the drawing. Parts of a file share most of their tasks: each task, by its key,
 * is one node. Takes time in the number of nodes times that of folds.
 */
#include "dot_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph_call.h"
#include "grow.h"
#include "text.h"

struct edge_ids {
    size_t from, to;
};

struct drawing {
    const struct dot_request *q;
    struct dot_node *nodes; /* [nnodes], runs first, dependencies before dependents */
    size_t nnodes;
    struct dot_node *by_key;
    struct dot_fold *folds; /* [nfolds] */
    size_t nfolds;
    struct edge_ids *edges; /* [nedges], may repeat */
    size_t nedges;
};

/* ---- nodes ---- */

static bool do_the_same(const struct dot_node *a, const struct dot_node *b)
{
    const struct task *s = a->task, *t = b->task;

    if (a->run || b->run)
        return a->run && b->run;
    /* a task that reads no run has no like */
    return s->kind == t->kind && s->order == t->order && s->nstreams > 0 && t->nstreams > 0 &&
           expr_equal(s->e, t->e);
}

static void enter_fold(struct drawing *d, size_t node)
{
    size_t i = 0;

    while (i < d->nfolds && !do_the_same(&d->nodes[d->folds[i].first], &d->nodes[node]))
        i++;
    if (i == d->nfolds)
        d->folds[d->nfolds++] = (struct dot_fold){.first = node};
    d->folds[i].n++;
    d->nodes[node].fold = i;
}

static int enter_task(struct drawing *d, size_t part, const struct task *t)
{
    struct dot_node *n;

    HASH_FIND(hh, d->by_key, t->key.hex, KEY_HEX, n);
    if (!n) {
        n = &d->nodes[d->nnodes];
        *n = (struct dot_node){.g = d->q->graphs[part], .task = t, .part = part};
        d->q->status(d->q->ctx, &t->key, &n->status);
        HASH_ADD_KEYPTR(hh, d->by_key, t->key.hex, KEY_HEX, n);
        if (!n->hh.tbl)
            return -ENOMEM;
        enter_fold(d, d->nnodes++);
    }
    n->is_root = n->is_root || t == graph_root(d->q->graphs[part]);
    return 0;
}

static int enter_all(struct drawing *d)
{
    const struct graph *first = d->q->graphs[0];
    size_t room = first->nsources;

    for (size_t i = 0; i < d->q->ngraphs; i++)
        room += d->q->graphs[i]->ntasks;
    d->nodes = calloc(room, sizeof *d->nodes);
    d->folds = calloc(room, sizeof *d->folds);
    if (!d->nodes || !d->folds)
        return -ENOMEM;
    for (size_t i = 0; i < first->nsources; i++) {
        d->nodes[d->nnodes].run = first->runs[i];
        enter_fold(d, d->nnodes++);
    }
    for (size_t i = 0; i < d->q->ngraphs; i++)
        for (size_t k = 0; k < d->q->graphs[i]->ntasks; k++)
            if (enter_task(d, i, &d->q->graphs[i]->tasks[k]) < 0)
                return -ENOMEM;
    return 0;
}

/* A fold of one node would take as much room as the node: it is drawn. */
static bool is_full(const struct drawing *d, const struct dot_fold *fold)
{
    const struct task *t = d->nodes[fold->first].task;
    size_t most = t && t->kind == TASK_CHUNK ? DOT_FOLD_CHUNKS : DOT_FOLD;

    return fold->n > most + 1 && fold->ndrawn == most;
}

static bool takes_runs(const struct task *t)
{
    return t->call && t->call->recipe->command->uses_runs;
}

static bool reads(const struct dot_node *n, const struct run *run)
{
    if (n->task && takes_runs(n->task))
        return true;
    for (size_t s = 0; n->task && s < n->task->nstreams; s++)
        for (size_t k = 0; k < n->task->streams[s].nleaves; k++)
            if (n->task->streams[s].leaves[k].run == run)
                return true;
    return false;
}

static bool is_read_by_drawn(const struct drawing *d, const struct run *run)
{
    for (size_t i = 0; i < d->nnodes; i++)
        if (d->nodes[i].drawn && reads(&d->nodes[i], run))
            return true;
    return false;
}

enum choice { ACTIVE_TASKS, TASKS, RUNS_OF_TASKS, RUNS };

static bool is_chosen(const struct drawing *d, const struct dot_node *n, enum choice choice)
{
    switch (choice) {
    case ACTIVE_TASKS:
        return n->task && (n->status.state == TASK_RUNNING || n->status.state == TASK_FAILED);
    case TASKS:
        return n->task;
    case RUNS_OF_TASKS:
        return n->run && is_read_by_drawn(d, n->run);
    case RUNS:
        break;
    }
    return n->run;
}

/* Choose which of many to draw: tasks that are running or have failed, then the first ones, and
 * the runs that they read. */
static void choose(struct drawing *d)
{
    for (int choice = ACTIVE_TASKS; choice <= RUNS; choice++)
        for (size_t i = 0; i < d->nnodes; i++) {
            struct dot_node *n = &d->nodes[i];
            struct dot_fold *fold = &d->folds[n->fold];

            if (n->drawn || is_full(d, fold) || !is_chosen(d, n, choice))
                continue;
            n->drawn = true;
            fold->ndrawn++;
        }
    for (size_t i = 0; i < d->nnodes; i++)
        if (!d->nodes[i].drawn)
            d->folds[d->nodes[i].fold].nstate[d->nodes[i].status.state]++;
}

/* ---- edges ---- */

/* Numbers in the text: nodes, then folds, then the file. */
static size_t id_of(const struct drawing *d, const struct dot_node *n)
{
    return n->drawn ? (size_t)(n - d->nodes) : d->nnodes + n->fold;
}

static size_t file_id(const struct drawing *d)
{
    return d->nnodes + d->nfolds;
}

static int add_edge(struct drawing *d, size_t from, size_t to)
{
    if (GROW(d->edges, d->nedges) < 0)
        return -ENOMEM;
    d->edges[d->nedges++] = (struct edge_ids){from, to};
    return 0;
}

/* Runs stand in front of all tasks, in the order of the graph. */
static const struct dot_node *node_of_run(const struct drawing *d, const struct run *run)
{
    for (size_t i = 0; i < d->nnodes && d->nodes[i].run; i++)
        if (d->nodes[i].run == run)
            return &d->nodes[i];
    return NULL;
}

static int add_edges_to(struct drawing *d, const struct dot_node *n)
{
    int ret = 0;

    for (size_t i = 0; i < n->task->ndeps && ret == 0; i++) {
        const struct key *key = &n->g->tasks[n->task->deps[i]].key;
        struct dot_node *dep;

        HASH_FIND(hh, d->by_key, key->hex, KEY_HEX, dep);
        ret = add_edge(d, id_of(d, dep), id_of(d, n));
    }
    for (size_t s = 0; s < n->task->nstreams; s++)
        for (size_t k = 0; k < n->task->streams[s].nleaves && ret == 0; k++) {
            const struct stream_leaf *leaf = &n->task->streams[s].leaves[k];

            if (leaf->kind == LEAF_SAMPLE)
                ret = add_edge(d, id_of(d, node_of_run(d, leaf->run)), id_of(d, n));
        }
    for (size_t i = 0; takes_runs(n->task) && i < n->g->nruns && ret == 0; i++)
        ret = add_edge(d, id_of(d, node_of_run(d, n->g->runs[i])), id_of(d, n));
    if (ret == 0 && n->is_root)
        ret = add_edge(d, id_of(d, n), file_id(d));
    return ret;
}

static int compare_edges(const void *a, const void *b)
{
    const struct edge_ids *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static int add_all_edges(struct drawing *d)
{
    int ret = 0;

    for (size_t i = 0; i < d->nnodes && ret == 0; i++)
        if (d->nodes[i].task)
            ret = add_edges_to(d, &d->nodes[i]);
    if (ret == 0 && d->nedges > 0)
        qsort(d->edges, d->nedges, sizeof *d->edges, compare_edges);
    return ret;
}

/* ---- the text ---- */

static void write_all(FILE *f, const struct drawing *d)
{
    dot_write_head(f, d->q);
    for (size_t i = 0; i < d->nnodes; i++)
        if (d->nodes[i].drawn && d->nodes[i].run)
            dot_write_run(f, i, d->nodes[i].run);
        else if (d->nodes[i].drawn)
            dot_write_task(f, i, &d->nodes[i], d->q);
    for (size_t i = 0; i < d->nfolds; i++)
        if (d->folds[i].ndrawn < d->folds[i].n)
            dot_write_fold(f, d->nnodes + i, &d->folds[i], &d->nodes[d->folds[i].first]);
    dot_write_file(f, file_id(d), d->q);
    for (size_t i = 0; i < d->nedges; i++)
        if (i == 0 || memcmp(&d->edges[i - 1], &d->edges[i], sizeof d->edges[i]) != 0)
            fprintf(f, "  n%zu -> n%zu;\n", d->edges[i].from, d->edges[i].to);
    fprintf(f, "}\n");
}

char *dot_text(const struct dot_request *q)
{
    struct drawing d = {.q = q};
    char *text = NULL;
    size_t nbytes;
    int ret = enter_all(&d);
    FILE *f;

    if (ret == 0) {
        choose(&d);
        ret = add_all_edges(&d);
    }
    f = ret == 0 ? open_memstream(&text, &nbytes) : NULL;
    if (f) {
        write_all(f, &d);
        text = text_end(f, &text);
    }
    HASH_CLEAR(hh, d.by_key);
    free(d.nodes);
    free(d.folds);
    free(d.edges);
    return text;
}
