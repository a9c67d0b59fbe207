/* SPDX-License-Identifier: MIT
 *
 * derivctl explain: how a derived file is computed. Computes nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "human.h"
#include "utf8.h"

static void print_run(const struct explained_run *run)
{
    if (run->error) {
        ctl_print("    %s: %s\n", run->path, run->error);
        return;
    }
    ctl_print("    %s: %s, %s%s", run->path, run->array, human_nbytes(run->nbytes).text,
              run->absent ? ", not here" : "");
    if (run->way)
        ctl_print(", %s, read %s", run->codec, run->way);
    printf("\n");
    ctl_print("        identified by %s\n", run->by);
}

static void print_inputs(const struct explanation *x)
{
    if (x->ninputs > 0)
        printf("inputs:\n");
    for (size_t i = 0; i < x->ninputs; i++) {
        const struct explained_input *in = &x->inputs[i];

        ctl_print("    %s for %s: %s%s%s\n", in->name, in->run, in->path ? in->path : "none",
                  in->array ? ", " : "", in->array ? in->array : "");
        ctl_print("        %s%s%s\n", in->text, in->looked ? ", looked for in " : "",
                  in->looked ? in->looked : "");
    }
}

static void print_task(const struct explained_task *task, size_t i,
                       const struct task_status *status)
{
    ctl_print("    %zu %-7s %s", i, task_state_name(status->state), task->label);
    if (status->state == TASK_RUNNING && status->percent >= 0)
        printf(", %.0f %% done", status->percent);
    if (task->work_nbytes > 0)
        printf(", reads %s", human_nbytes(task->work_nbytes).text);
    for (size_t d = 0; d < task->nneeds; d++)
        printf("%s%zu", d == 0 ? ", needs " : " ", task->needs[d]);
    if (task->is_command)
        printf(", gives its output");
    else
        printf(", gives %s, %s", task->array, human_nbytes(task->result_nbytes).text);
    if (status->took_ns > 0)
        printf(", took %s", human_span(status->took_ns).text);
    printf("\n");
    if (task->missing && status->state != TASK_CACHED)
        ctl_print("        not in the cache: %s\n", task->missing);
}

/* The tasks, how much of them is cached, and how much is left to read. */
static void print_tasks(const struct target *t, const struct explanation *x)
{
    uint64_t saved_nbytes = 0;
    size_t nsaved = 0;

    for (size_t i = 0; i < x->ntasks; i++) {
        struct task_status status;

        target_task_status(t, &x->tasks[i].key, &status);
        print_task(&x->tasks[i], i, &status);
        if (status.state != TASK_CACHED)
            continue;
        nsaved++;
        saved_nbytes += x->tasks[i].cached_nbytes;
    }
    printf("saved: %zu of %zu tasks, %s\n", nsaved, x->ntasks, human_nbytes(saved_nbytes).text);
    printf("reads: %s, of which %s are left to read\n", human_nbytes(x->read_nbytes).text,
           human_nbytes(x->left_nbytes).text);
    printf("passes over the data: %u\n", x->npasses);
    for (size_t i = 0; i < x->npasses_told; i++)
        ctl_print("    %s\n", x->passes[i]);
}

static void print_remarks(const struct explanation *x)
{
    for (size_t i = 0; i < x->nremarks; i++)
        ctl_print("%s: %s: %s\n", ctl_remark_title(x->remarks[i].kind), x->remarks[i].path,
                  x->remarks[i].text);
}

static void print_explanation(const struct target *t, const struct found *f,
                              const struct explanation *x)
{
    struct derived_info info = derived_info(f->derived);
    struct derived_status status;

    target_status(t, f->derived, f->path, &status);
    ctl_print("%s\n", f->path);
    ctl_print("recipe: %s\n", info.recipe);
    ctl_print("%s: %s\n", info.is_command ? "command" : "expression", info.text);
    if (x->nparams > 0)
        ctl_print("parameters: %s\n", x->params_text);
    if (*info.description)
        ctl_print("description: %s\n", info.description);
    if (!info.is_command)
        printf("array: %s\n", x->array ? x->array : "unknown");
    if (info.is_command && status.state != STATE_CACHED)
        printf("size: known when it is computed\n");
    else
        printf("size: %" PRIu64 " bytes\n", engine_derived_nbytes(t->engine, f->derived));
    printf("sources, joined in time in this order:\n");
    for (size_t i = 0; i < x->nruns; i++)
        print_run(&x->runs[i]);
    print_inputs(x);
    print_remarks(x);
    if (x->ntasks > 0 && info.nparts > 1)
        printf("tasks, for the first of %zu chunks:\n", info.nparts);
    else if (x->ntasks > 0)
        printf("tasks:\n");
    if (x->ntasks > 0)
        print_tasks(t, x);
    if (status.key.hex[0])
        printf("key: %s\n", status.key.hex);
    printf("state: %s\n", derived_state_name(status.state));
    if (status.state == STATE_FAILED)
        ctl_print("error: %s\n", status.error.text);
}

static json_t *task_json(const struct target *t, const struct explained_task *task)
{
    json_t *needs = json_array();
    struct task_status status;
    json_t *o;

    target_task_status(t, &task->key, &status);
    for (size_t d = 0; d < task->nneeds; d++)
        json_array_append_new(needs, json_integer((json_int_t)task->needs[d]));
    o = json_pack("{s:o, s:s, s:s, s:b, s:s*, s:o, s:s, s:I, s:I}", "task", utf8_json(task->label),
                  "key", task->key.hex, "state", task_state_name(status.state), "cached",
                  (int)(status.state == TASK_CACHED), "missing", task->missing, "needs", needs,
                  "array", task->array, "work_bytes", (json_int_t)task->work_nbytes, "result_bytes",
                  (json_int_t)task->result_nbytes);
    if (status.took_ns > 0)
        json_object_set_new(o, "seconds", json_real((double)status.took_ns / 1e9));
    return o;
}

static json_t *inputs_json(const struct explanation *x)
{
    json_t *list = json_array();

    for (size_t i = 0; i < x->ninputs; i++) {
        const struct explained_input *in = &x->inputs[i];

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", in->name, "input",
                                        in->text, "run", utf8_json(in->run), "path",
                                        in->path ? utf8_json(in->path) : json_null(), "looked_in",
                                        in->looked ? utf8_json(in->looked) : json_null()));
    }
    return list;
}

static void add_tasks_json(json_t *o, const struct target *t, const struct explanation *x)
{
    json_t *tasks = json_array(), *passes = json_array();

    for (size_t i = 0; i < x->ntasks; i++)
        json_array_append_new(tasks, task_json(t, &x->tasks[i]));
    for (size_t i = 0; i < x->npasses_told; i++)
        json_array_append_new(passes, utf8_json(x->passes[i]));
    json_object_update_new(o, json_pack("{s:o, s:i, s:I, s:I, s:o}", "tasks", tasks, "passes",
                                        (int)x->npasses, "read_bytes", (json_int_t)x->read_nbytes,
                                        "left_bytes", (json_int_t)x->left_nbytes, "passes_of",
                                        passes));
}

static json_t *explanation_json(const struct target *t, const struct found *f,
                                const struct explanation *x)
{
    struct derived_info info = derived_info(f->derived);
    struct derived_status status;
    json_t *o = ctl_summary_json(t, f, &status), *params = json_object(), *ways = json_array();
    json_t *by = json_array();

    for (size_t i = 0; i < x->nparams; i++)
        json_object_set_new(params, x->params[i].name, json_real(x->params[i].value));
    for (size_t i = 0; i < x->nruns; i++)
        json_array_append_new(ways, json_pack("s?", x->runs[i].way));
    for (size_t i = 0; i < x->nruns; i++)
        json_array_append_new(by, json_pack("s?", x->runs[i].by));
    json_object_update_new(
        o, json_pack("{s:o, s:o, s:o, s:o, s:o, s:s?, s:s?, s:b}", "recipe", utf8_json(info.recipe),
                     info.is_command ? "command" : "expression", utf8_json(info.text), "parameters",
                     params, "sources_read", ways, "sources_identified_by", by, "array", x->array,
                     "key", status.key.hex[0] ? status.key.hex : NULL, "cached",
                     (int)(status.state == STATE_CACHED)));
    if (x->ninputs > 0)
        json_object_set_new(o, "resolved", inputs_json(x));
    if (x->ntasks > 0)
        add_tasks_json(o, t, x);
    return o;
}

static int explain(const struct ctl *ctl, const struct target *t, const struct found *f)
{
    struct derived_status status;
    struct explanation *x;
    struct error err;

    /* of a wrong parameter there is nothing else to show */
    engine_derived_status(t->engine, f->derived, f->path, &status);
    if (status.state == STATE_FAILED && status.error.code == EDOM)
        return ctl_say("%s: %s", f->path, status.error.text);
    if (engine_explain(t->engine, f->derived, &x, &err) < 0)
        return ctl_say("%s: %s", f->path, err.text);
    if (ctl->json)
        ctl_print_json(explanation_json(t, f, x));
    else
        print_explanation(t, f, x);
    explanation_free(x);
    return CTL_OK;
}

static int explain_files(const struct ctl *ctl, const struct target *t,
                         const struct found_list *list)
{
    int ret = CTL_OK;

    for (size_t i = 0; i < list->n && ret == CTL_OK; i++) {
        printf("%s", i > 0 && !ctl->json ? "\n" : "");
        ret = explain(ctl, t, &list->files[i]);
    }
    if (!ctl->json && (list->n == 0 || target_is_dir(t)))
        ctl_show_remarks(t, NULL, true);
    return ret;
}

int ctl_explain(const struct ctl *ctl)
{
    return ctl->npaths == 1 ? ctl_with_files(ctl, ctl->paths[0], explain_files) : CTL_USAGE;
}
