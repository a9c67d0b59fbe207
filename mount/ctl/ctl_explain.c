/* SPDX-License-Identifier: MIT
 *
 * derivctl explain: how a derived file comes about. Computes nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "cursor.h"
#include "describe.h"
#include "human.h"
#include "notional.h"
#include "passes.h"
#include "utf8.h"

static void print_source(const struct target *t, const struct run *run)
{
    struct notional n;
    const char *way;
    char *array;

    if (run->state != RUN_OK) {
        ctl_print("    %s: %s\n", run->path, run->error.text);
        return;
    }
    n = notional_of_run(run);
    array = notional_text(&n, true);
    way = cursor_way(engine_cache(t->engine), run);
    ctl_print("    %s: %s, %s%s", run->path, array ? array : "?", ctl_size(run->id.size).text,
              run->absent ? ", not here" : "");
    if (way)
        ctl_print(", %s, read %s", run->codec->name, way);
    ctl_print("\n");
    free(array);
}

static char *array_of(const struct graph *g, const struct task *t)
{
    struct notional n = notional_of_task(g, t);

    return notional_text(&n, true);
}

static void print_task(const struct graph *g, size_t i, const struct task_status *status)
{
    const struct task *task = &g->tasks[i];
    char *array = array_of(g, task);

    ctl_print("    %zu %-7s %s", i, task_state_name(status->state), task->label);
    if (status->state == TASK_RUNNING && status->percent >= 0)
        printf(", %.0f %% done", status->percent);
    if (task->work_nbytes > 0)
        printf(", reads %s", ctl_size(task->work_nbytes).text);
    for (size_t d = 0; d < task->ndeps; d++)
        printf("%s%zu", d == 0 ? ", needs " : " ", task->deps[d]);
    if (task->kind == TASK_COMMAND)
        printf(", gives what it writes");
    else
        printf(", gives %s, %s", array ? array : "?", ctl_size(task->result_nbytes).text);
    if (status->took_ns > 0)
        printf(", took %s", human_span(status->took_ns).text);
    printf("\n");
    free(array);
}

/* What is kept, and what is left to do. */
static void print_tasks(const struct target *t, const struct graph *g)
{
    uint64_t saved_nbytes = 0;
    size_t nsaved = 0;

    for (size_t i = 0; i < g->ntasks; i++) {
        struct task_status status;
        uint64_t nbytes = 0;

        target_task_status(t, &g->tasks[i].key, &status);
        print_task(g, i, &status);
        if (status.state != TASK_CACHED)
            continue;
        nsaved++;
        if (cache_size_of(engine_cache(t->engine), &g->tasks[i].key, &nbytes))
            saved_nbytes += nbytes;
    }
    printf("saved: %zu of %zu tasks, %s\n", nsaved, g->ntasks, ctl_size(saved_nbytes).text);
}

/* What is left to read once the results that are in the cache are taken from there. */
static uint64_t left_to_read(const struct target *t, const struct graph *g)
{
    bool *needed = calloc(g->ntasks, sizeof *needed);
    uint64_t sum = 0;

    for (size_t i = g->ntasks; needed && i-- > 0;) {
        const struct task *task = &g->tasks[i];

        needed[i] = needed[i] || i + 1 == g->ntasks;
        if (!needed[i] || cache_has(engine_cache(t->engine), &task->key))
            continue;
        sum += task->work_nbytes * passes_of_task(g, task);
        for (size_t d = 0; d < task->ndeps; d++)
            needed[task->deps[d]] = true;
    }
    free(needed);
    return sum;
}

static void print_passes(const struct target *t, const struct graph *g)
{
    struct passes p;

    if (passes_of(g, &p, NULL) < 0)
        return;
    printf("reads: %s, of which %s are left to read\n", ctl_size(p.read_nbytes).text,
           ctl_size(left_to_read(t, g)).text);
    printf("passes over the data: %u\n", p.n);
    for (size_t i = 0; p.n > 1 && i < p.ntasks; i++)
        ctl_print("    %s\n", p.tasks[i]);
    passes_free(&p);
}

static void print_graph(const struct target *t, const struct derived *d)
{
    struct parts parts;
    struct graph *g;

    if (derived_graph(d, 0, engine_config(t->engine)->memory_nbytes, &g, NULL) < 0)
        return;
    derived_parts(d, &parts);
    if (parts.n > 1)
        printf("tasks, for the first of %zu chunks:\n", parts.n);
    else
        printf("tasks:\n");
    print_tasks(t, g);
    print_passes(t, g);
    graph_put(g);
}

static void print_explanation(const struct target *t, const struct found *f)
{
    const struct derived *d = f->derived;
    struct derived_status status;
    char *array = describe_array(d);

    target_status(t, d, f->path, &status);
    ctl_print("%s\n", f->path);
    ctl_print("recipe: %s\n", d->recipe->name);
    ctl_print("%s: %s\n", d->recipe->command ? "command" : "expression", d->recipe->text);
    if (d->recipe->nparams > 0) {
        char *params = recipe_params_text(d->recipe);

        ctl_print("parameters: %s\n", params ? params : "");
        free(params);
    }
    if (*d->recipe->description)
        ctl_print("description: %s\n", d->recipe->description);
    if (!d->recipe->command)
        printf("array: %s\n", array ? array : "unknown");
    if (d->recipe->command && status.state != STATE_CACHED)
        printf("size: known when it is computed\n");
    else
        printf("size: %" PRIu64 " bytes\n", engine_derived_nbytes(t->engine, d));
    printf("sources, joined in time in this order:\n");
    for (size_t i = 0; i < d->nruns; i++)
        print_source(t, d->runs[i]);
    print_graph(t, d);
    if (status.key.hex[0])
        printf("key: %s\n", status.key.hex);
    printf("state: %s\n", derived_state_name(status.state));
    if (status.state == STATE_FAILED)
        ctl_print("error: %s\n", status.error.text);
    free(array);
}

static json_t *task_json(const struct target *t, const struct graph *g, const struct task *task)
{
    json_t *needs = json_array();
    struct task_status status;
    char *array = array_of(g, task);
    json_t *o;

    target_task_status(t, &task->key, &status);
    for (size_t d = 0; d < task->ndeps; d++)
        json_array_append_new(needs, json_integer((json_int_t)task->deps[d]));
    o = json_pack("{s:o, s:s, s:s, s:b, s:o, s:s?, s:I, s:I}", "task", utf8_json(task->label),
                  "key", task->key.hex, "state", task_state_name(status.state), "cached",
                  (int)(status.state == TASK_CACHED), "needs", needs, "array", array, "work_bytes",
                  (json_int_t)task->work_nbytes, "result_bytes", (json_int_t)task->result_nbytes);
    if (status.took_ns > 0)
        json_object_set_new(o, "seconds", json_real((double)status.took_ns / 1e9));
    free(array);
    return o;
}

static void add_graph_json(json_t *o, const struct target *t, const struct graph *g)
{
    json_t *tasks = json_array(), *reasons = json_array();
    struct passes p;

    for (size_t i = 0; i < g->ntasks; i++)
        json_array_append_new(tasks, task_json(t, g, &g->tasks[i]));
    json_object_set_new(o, "tasks", tasks);
    if (passes_of(g, &p, NULL) == 0) {
        for (size_t i = 0; p.n > 1 && i < p.ntasks; i++)
            json_array_append_new(reasons, utf8_json(p.tasks[i]));
        json_object_set_new(o, "passes", json_integer(p.n));
        json_object_set_new(o, "read_bytes", json_integer((json_int_t)p.read_nbytes));
        json_object_set_new(o, "left_bytes", json_integer((json_int_t)left_to_read(t, g)));
        passes_free(&p);
    }
    json_object_set_new(o, "passes_of", reasons);
}

static json_t *explanation_json(const struct target *t, const struct found *f)
{
    const struct derived *d = f->derived;
    struct derived_status status;
    struct graph *g;
    json_t *o = ctl_summary_json(t, f), *params = json_object(), *ways = json_array();
    char *array = describe_array(d);

    target_status(t, d, f->path, &status);
    json_object_set_new(o, "recipe", utf8_json(d->recipe->name));
    json_object_set_new(o, d->recipe->command ? "command" : "expression",
                        utf8_json(d->recipe->text));
    for (size_t i = 0; i < d->recipe->nparams; i++)
        json_object_set_new(params, d->recipe->params[i].name,
                            json_real(d->recipe->params[i].value));
    json_object_set_new(o, "parameters", params);
    for (size_t i = 0; i < d->nruns; i++) {
        const struct run *run = d->runs[i];
        const char *way = run->state == RUN_OK ? cursor_way(engine_cache(t->engine), run) : NULL;

        json_array_append_new(ways, way ? json_string(way) : json_null());
    }
    json_object_set_new(o, "sources_read", ways);
    json_object_set_new(o, "array", array ? json_string(array) : json_null());
    json_object_set_new(o, "key", status.key.hex[0] ? json_string(status.key.hex) : json_null());
    json_object_set_new(o, "cached", json_boolean(status.state == STATE_CACHED));
    if (derived_graph(d, 0, engine_config(t->engine)->memory_nbytes, &g, NULL) == 0) {
        add_graph_json(o, t, g);
        graph_put(g);
    }
    free(array);
    return o;
}

int ctl_explain(const struct ctl *ctl)
{
    struct target t;
    struct found *list;
    size_t n;
    int ret;

    if (ctl->npaths != 1)
        return CTL_USAGE;
    ret = target_open_files(ctl, ctl->paths[0], &t, &list, &n);
    if (ret != CTL_OK)
        return ret;
    for (size_t i = 0; i < n; i++) {
        if (ctl->json) {
            ctl_print_json(explanation_json(&t, &list[i]));
        } else {
            printf("%s", i > 0 ? "\n" : "");
            print_explanation(&t, &list[i]);
        }
    }
    target_close_files(&t, list, n);
    return ret;
}
