/* SPDX-License-Identifier: MIT
 *
 * derivctl list and explain: what there is, and how it comes about. Both compute nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "describe.h"

static json_t *shape_json(const struct derived *d)
{
    const int64_t *dim;

    if (!d->first)
        return json_null();
    dim = d->first->nifti.dim;
    return json_pack("[I, I, I]", (json_int_t)dim[0], (json_int_t)dim[1], (json_int_t)dim[2]);
}

static json_t *sources_json(const struct derived *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->nruns; i++)
        json_array_append_new(list, json_string(d->runs[i]->path));
    return list;
}

static json_t *summary_json(const struct target *t, const struct found *f)
{
    struct derived_status status;
    json_t *o;

    target_status(t, f->derived, f->path, &status);
    o = json_pack("{s:s, s:s, s:o, s:I, s:o}", "path", f->path, "state",
                  derived_state_name(status.state), "shape", shape_json(f->derived), "bytes",
                  (json_int_t)engine_derived_nbytes(t->engine, f->derived), "sources",
                  sources_json(f->derived));
    if (status.state == STATE_FAILED)
        json_object_set_new(o, "error", json_string(status.error.text));
    return o;
}

static void print_summary(const struct target *t, const struct found *f)
{
    struct derived_status status;
    char shape[96] = "?";

    target_status(t, f->derived, f->path, &status);
    if (f->derived->first) {
        const int64_t *dim = f->derived->first->nifti.dim;

        snprintf(shape, sizeof shape, "%" PRId64 "x%" PRId64 "x%" PRId64, dim[0], dim[1], dim[2]);
    }
    printf("%-9s %-12s %3zu run%s  %s\n", derived_state_name(status.state), shape,
           f->derived->nruns, f->derived->nruns == 1 ? " " : "s", f->path);
}

int ctl_list(const struct ctl *ctl)
{
    struct target t;
    struct found *list;
    size_t n;
    int ret;

    if (ctl->npaths > 1)
        return CTL_USAGE;
    ret = target_open(ctl, ctl->npaths ? ctl->paths[0] : ".", &t);
    if (ret != CTL_OK)
        return ret;
    ret = target_find(&t, &list, &n);
    if (ret == CTL_OK && ctl->json) {
        json_t *all = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(all, summary_json(&t, &list[i]));
        ctl_print_json(all);
    } else if (ret == CTL_OK) {
        for (size_t i = 0; i < n; i++)
            print_summary(&t, &list[i]);
    }
    found_free(list, n);
    target_close(&t);
    return ret;
}

/* ---- explain -----------------------------------------------------------------------------------
 */

static const char *const datatype_names[] = {
    [SAMPLE_UINT8] = "uint8",     [SAMPLE_INT8] = "int8",     [SAMPLE_UINT16] = "uint16",
    [SAMPLE_INT16] = "int16",     [SAMPLE_UINT32] = "uint32", [SAMPLE_INT32] = "int32",
    [SAMPLE_UINT64] = "uint64",   [SAMPLE_INT64] = "int64",   [SAMPLE_FLOAT32] = "float32",
    [SAMPLE_FLOAT64] = "float64",
};

static void print_source(const struct run *run)
{
    const struct nifti *h = &run->nifti;

    if (run->state == RUN_OK)
        printf("    %s: %s (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "), %s\n", run->path,
               datatype_names[h->sample], h->dim[0], h->dim[1], h->dim[2], h->nvol,
               ctl_size(run->id.size).text);
    else
        printf("    %s: %s\n", run->path, run->error.text);
}

static void print_tasks(const struct target *t, const struct graph *g)
{
    printf("tasks:\n");
    for (size_t i = 0; i < g->ntasks; i++) {
        const struct task *task = &g->tasks[i];

        printf("    %zu %-7s %s", i,
               cache_has(engine_cache(t->engine), &task->key) ? "cached" : "to do", task->label);
        if (task->work_nbytes > 0)
            printf(", reads %s", ctl_size(task->work_nbytes).text);
        for (size_t d = 0; d < task->ndeps; d++)
            printf("%s%zu", d == 0 ? ", needs " : " ", task->deps[d]);
        if (task->kind == TASK_COMMAND)
            printf(", gives what it writes\n");
        else
            printf(", gives %s\n", ctl_size(task->result_nbytes).text);
    }
}

static void print_explanation(const struct target *t, const struct found *f)
{
    const struct derived *d = f->derived;
    struct derived_status status;
    struct graph *g = NULL;
    char *array = describe_array(d);

    target_status(t, d, f->path, &status);
    printf("%s\n", f->path);
    printf("recipe: %s\n%s: %s\n", d->recipe->name, d->recipe->command ? "command" : "expression",
           d->recipe->text);
    if (*d->recipe->description)
        printf("description: %s\n", d->recipe->description);
    if (!d->recipe->command)
        printf("array: %s\n", array ? array : "unknown");
    if (d->recipe->command && status.state != STATE_CACHED)
        printf("size: known when it is computed\n");
    else
        printf("size: %" PRIu64 " bytes\n", engine_derived_nbytes(t->engine, d));
    printf("sources, joined in time in this order:\n");
    for (size_t i = 0; i < d->nruns; i++)
        print_source(d->runs[i]);
    if (derived_graph(d, 0, engine_config(t->engine)->memory_nbytes, &g, NULL) == 0)
        print_tasks(t, g);
    graph_put(g);
    if (status.key.hex[0])
        printf("key: %s\n", status.key.hex);
    printf("state: %s\n", derived_state_name(status.state));
    if (status.state == STATE_FAILED)
        printf("error: %s\n", status.error.text);
    free(array);
}

static json_t *tasks_json(const struct target *t, const struct graph *g)
{
    json_t *list = json_array();

    for (size_t i = 0; i < g->ntasks; i++) {
        const struct task *task = &g->tasks[i];
        json_t *needs = json_array();

        for (size_t d = 0; d < task->ndeps; d++)
            json_array_append_new(needs, json_integer((json_int_t)task->deps[d]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:b, s:o, s:I, s:I}", "task", task->label,
                                        "key", task->key.hex, "cached",
                                        (int)cache_has(engine_cache(t->engine), &task->key),
                                        "needs", needs, "work_bytes", (json_int_t)task->work_nbytes,
                                        "result_bytes", (json_int_t)task->result_nbytes));
    }
    return list;
}

static json_t *explanation_json(const struct target *t, const struct found *f)
{
    const struct derived *d = f->derived;
    struct derived_status status;
    struct graph *g = NULL;
    json_t *o = summary_json(t, f);
    char *array = describe_array(d);

    target_status(t, d, f->path, &status);
    json_object_set_new(o, "recipe", json_string(d->recipe->name));
    json_object_set_new(o, d->recipe->command ? "command" : "expression",
                        json_string(d->recipe->text));
    json_object_set_new(o, "array", array ? json_string(array) : json_null());
    json_object_set_new(o, "key", status.key.hex[0] ? json_string(status.key.hex) : json_null());
    json_object_set_new(o, "cached", json_boolean(status.state == STATE_CACHED));
    if (derived_graph(d, 0, engine_config(t->engine)->memory_nbytes, &g, NULL) == 0)
        json_object_set_new(o, "tasks", tasks_json(t, g));
    graph_put(g);
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
    ret = target_open(ctl, ctl->paths[0], &t);
    if (ret != CTL_OK)
        return ret;
    ret = target_find(&t, &list, &n);
    for (size_t i = 0; ret == CTL_OK && i < n; i++) {
        if (ctl->json) {
            ctl_print_json(explanation_json(&t, &list[i]));
        } else {
            printf("%s", i > 0 ? "\n" : "");
            print_explanation(&t, &list[i]);
        }
    }
    found_free(list, n);
    target_close(&t);
    return ret;
}
