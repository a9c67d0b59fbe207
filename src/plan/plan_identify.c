/* SPDX-License-Identifier: MIT
 *
 * Planning of names: which content a file has that nobody has read under its attributes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan.h"

enum { BUFFER_NBYTES = 2 * CONTENT_BLOCK_NBYTES };

/* Readers of one run share the task. */
static bool add_task(struct graph *g, struct run *run)
{
    struct task *t = &g->tasks[g->ntasks++];
    struct key_builder *b = task_begin_key(TASK_IDENTIFY);

    *t = (struct task){.kind = TASK_IDENTIFY,
                       .run = run,
                       .work_nbytes = run->id.size,
                       .mem_nbytes = BUFFER_NBYTES};
    if (!b)
        return false;
    source_id_add_to_key(&run->id, b);
    key_add_text(b, "path", run->path);
    key_end(b, &t->key);
    if (asprintf(&t->label, "identify %s", run->path) < 0)
        t->label = NULL;
    return t->label;
}

static bool add_last(struct graph *g, size_t n)
{
    struct task *t = &g->tasks[g->ntasks++];
    struct key_builder *b = task_begin_key(TASK_IDENTIFY);

    *t = (struct task){.kind = TASK_IDENTIFY, .deps = calloc(n, sizeof *t->deps)};
    if (asprintf(&t->label, "identify %zu files", n) < 0)
        t->label = NULL;
    if (!b)
        return false;
    for (size_t i = 0; i < n; i++)
        key_add_key(b, "file", &g->tasks[i].key);
    key_end(b, &t->key);
    for (; t->deps && t->ndeps < n; t->ndeps++)
        t->deps[t->ndeps] = t->ndeps;
    return t->label && t->deps;
}

int plan_identify(struct run *const *runs, size_t n, struct graph **out, struct error *err)
{
    struct graph *g = graph_new();
    bool ok = g;

    if (g) {
        g->runs = calloc(n, sizeof *g->runs);
        g->tasks = calloc(n + 1, sizeof *g->tasks);
        ok = g->runs && g->tasks;
    }
    for (size_t i = 0; ok && i < n; i++) {
        g->runs[g->nruns] = run_get(runs[i]);
        g->nsources = ++g->nruns;
        ok = add_task(g, runs[i]);
    }
    if (ok && n > 1)
        ok = add_last(g, n);
    if (ok) {
        *out = g;
        return 0;
    }
    graph_put(g);
    return error_set(err, ENOMEM, "identify: out of memory");
}
