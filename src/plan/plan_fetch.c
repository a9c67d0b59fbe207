/* SPDX-License-Identifier: MIT
 *
 * Planning of fetches.
 *
 *     prepare the repository --+-- get a file --+-- all of them
 *                              '-- get a file --'
 *
 * A task's key is made from repository and annex key: a file is fetched once, for all its readers
 * and names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annex.h"
#include "grow.h"
#include "plan.h"

static void name_task(struct task *t, const struct annex_content *c)
{
    struct key_builder *b = task_begin_key(TASK_FETCH);

    if (!b)
        return;
    key_add(b, "dev", &c->dev, sizeof c->dev);
    key_add(b, "ino", &c->ino, sizeof c->ino);
    if (c->ino == 0) /* no .git was found: the directory identifies it */
        key_add_text(b, "dir", c->dir);
    key_add_text(b, "key", c->key.text);
    key_end(b, &t->key);
}

/* Enter a task that owns `c`, or find the equal one: two names of one key are one task. */
static bool add_task(struct graph *g, struct annex_content *c, size_t *index)
{
    struct task *t = &g->tasks[g->ntasks];
    const char *verb = *c->key.text ? "git-annex get" : "prepare git-annex for";

    *t = (struct task){.kind = TASK_FETCH, .content = malloc(sizeof *c)};
    if (!t->content)
        return false;
    g->ntasks++;
    *t->content = *c;
    *c = (struct annex_content){.path = NULL};
    t->work_nbytes = t->content->key.size > 0 ? (uint64_t)t->content->key.size : 0;
    name_task(t, t->content);
    if (asprintf(&t->label, "%s %s", verb, t->content->path) < 0)
        t->label = NULL;
    for (*index = 0; !key_equal(&g->tasks[*index].key, &t->key);)
        ++*index;
    if (*index + 1 == g->ntasks)
        return t->label && t->key.hex[0];
    task_clear(t);
    g->ntasks--;
    return true;
}

static bool depend(struct task *t, size_t dep)
{
    if (GROW(t->deps, t->ndeps) < 0)
        return false;
    t->deps[t->ndeps++] = dep;
    return true;
}

/* Of one file: its repository is prepared first. */
static bool add_fetch(struct graph *g, struct annex_content *c, size_t *index)
{
    struct annex_content first = *c;
    size_t before, prepared;
    bool ok;

    first.key = (struct annex_key){.size = -1};
    first.path = strdup(c->path);
    first.dir = strdup(c->dir);
    ok = first.path && first.dir && add_task(g, &first, &prepared);
    annex_content_clear(&first);
    before = g->ntasks;
    return ok && add_task(g, c, index) &&
           (g->ntasks == before || depend(&g->tasks[*index], prepared));
}

static bool fill_plan(struct graph *g, struct annex_content *list, size_t n)
{
    struct key_builder *b = key_begin("fetch all", 1);
    struct task all = {.kind = TASK_FETCH};
    size_t index;
    bool ok = b;

    g->tasks = calloc(2 * n + 1, sizeof *g->tasks);
    ok = ok && g->tasks && asprintf(&all.label, "git-annex get of %zu files", n) >= 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = add_fetch(g, &list[i], &index) && depend(&all, index);
        if (ok)
            key_add_key(b, "fetch", &g->tasks[index].key);
    }
    if (b)
        key_end(b, &all.key);
    if (ok && n > 1) /* one fetch needs no task that waits for all */
        g->tasks[g->ntasks++] = all;
    else
        task_clear(&all);
    return ok;
}

int plan_fetch(struct annex_content *list, size_t n, struct graph **out, struct error *err)
{
    struct graph *g = graph_new();
    bool ok = g && fill_plan(g, list, n);

    for (size_t i = 0; i < n; i++)
        annex_content_clear(&list[i]);
    if (ok) {
        *out = g;
        return 0;
    }
    graph_put(g);
    return error_set(err, ENOMEM, "git-annex get: out of memory");
}
