/* SPDX-License-Identifier: MIT
 *
 * Planning of commands: from the names in braces to tasks.
 *
 *     NAME -- a file of the dataset -------------- its path and identity
 *        \--- another command's file ------------- that command's task
 *         \-- RECIPE.nii, RECIPE.nii.gz ---------- the tasks of that file
 *
 * All of it is one graph, so that independent tasks run at the same time and equal ones once. The
 * key has the text, the identity of the program and the keys or identities of all inputs; limits of
 * time and memory do not change a result and are not part of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"
#include "graph_call.h"
#include "grow.h"
#include "plan_private.h"
#include "text.h"

/* Of a series that a command gets a copy of: 256 GiB. A header may claim any number. */
enum { PARTS_MAX = 1 << 16 };

/* Where attributes prove nothing, a small file is identified by its content. Planning reads it each time, so
 * not a large one. */
static void name_by_content(const struct planner *p, struct command_input *in)
{
    enum { HASHED_MAX = 1 << 20 };
    struct names *names = p->q->nruns > 0 ? p->q->runs[0]->names : NULL;

    if (in->id.lasting || in->id.size > HASHED_MAX ||
        !file_content_key(names, p->q->rootfd, in->source, &in->id, &in->content))
        in->content.hex[0] = '\0';
}

/* Find the dataset's file of that name. -ENOENT: there is none. */
static int find_source(struct planner *p, const char *name, struct command_input *in)
{
    struct error err;
    int ret, dirfd;

    in->source = join_path(p->q->dir->path, name);
    if (!in->source)
        return plan_out_of_memory(p);
    dirfd = dir_enter(p->q->rootfd, p->q->dir);
    if (dirfd < 0) {
        ret = error_set(&err, -dirfd, "%s: cannot open its directory: %s", in->source,
                        strerrordesc_np(-dirfd));
    } else {
        ret = source_identify(p->q->rootfd, dirfd, in->source, &in->id, &err);
        dir_leave(p->q->dir, dirfd);
    }
    if (ret == 0)
        name_by_content(p, in);
    if (ret < 0) {
        if (ret != -ENOENT)
            error_set(p->err, err.code, "%s", err.text);
        free(in->source);
        in->source = NULL;
    }
    return ret;
}

/* The parts of a series' .nii. */
static int plan_series(struct planner *p, const struct expr *x, struct task *t,
                       struct command_input *in)
{
    int64_t part = plan_part_nvol(&p->q->runs[0]->nifti);
    const struct timeline *all;
    size_t task;
    int ret = plan_timeline(p, x, &all);

    if (ret < 0)
        return ret;
    in->e = x;
    in->nvol = timeline_nvol(all);
    if (in->nvol / part > PARTS_MAX)
        return error_set(p->err, EOVERFLOW, "a series of %" PRId64 " volumes is too long for it",
                         in->nvol);
    for (int64_t vol = 0; vol < in->nvol && ret == 0; vol += part) {
        ret = plan_volumes(p, TASK_CHUNK, x, vol, in->nvol - vol < part ? in->nvol - vol : part,
                           &task);
        if (ret == 0)
            ret = plan_add_dep(p, t, task);
    }
    return ret;
}

/* The recipe called name[nbytes], which the graph keeps; values in the name count. -ENOENT: none.
 */
static int find_recipe(struct planner *p, const char *name, size_t nbytes,
                       const struct recipe **out)
{
    struct graph *g = p->g;
    struct recipe_table *owner;
    struct error err;
    int ret;

    if (GROW(g->named, g->nnamed) < 0)
        return plan_out_of_memory(p);
    ret = recipe_resolve(p->q->table, name, nbytes, &owner, out, &err);
    if (ret < 0)
        return ret == -ENOENT ? ret : plan_out_of_memory(p);
    g->named[g->nnamed++] = owner;
    return 0;
}

static int plan_recipe(struct planner *p, const struct recipe *r,
                       const struct output_format *format, struct task *t, struct command_input *in)
{
    size_t task;
    int ret;

    if (r->expr->rank == EXPR_SERIES) {
        in->framing = format->framing;
        return plan_series(p, r->expr, t, in);
    }
    ret = plan_image(p, TASK_IMAGE, r->expr, &task);
    if (ret == 0 && format->operation)
        ret = plan_output(p, r, format, task, &task);
    return ret == 0 ? plan_add_dep(p, t, task) : ret;
}

/* The file of another recipe; -ENOENT where no recipe has it. */
static int plan_derived(struct planner *p, const struct command_file *f, struct task *t,
                        struct command_input *in)
{
    const struct recipe *r = recipe_find(p->q->table, f->name, strlen(f->name));
    const struct output_format *format;
    size_t stem, task;
    int ret;

    if (r && r->command) {
        ret = plan_command(p, r, &task);
        return ret == 0 ? plan_add_dep(p, t, task) : ret;
    }
    format = output_find(f->name, &stem);
    ret = format ? find_recipe(p, f->name, stem, &r) : -ENOENT;
    if (ret < 0)
        return ret;
    if (r->command || recipe_is_number(r) || !output_is_computed(format) ||
        (r->expr->rank == EXPR_SERIES && !format->framing))
        return -ENOENT;
    if (r->wrong)
        return error_set(p->err, EIO, "%s: %s", f->place, r->wrong);
    return plan_recipe(p, r, format, t, in);
}

/* As in the mount, the dataset's own file goes before a derived one of its name. */
static int plan_input(struct planner *p, const struct command_file *f, struct task *t,
                      struct command_input *in)
{
    int ret = find_source(p, f->name, in);

    if (ret != -ENOENT)
        return ret;
    in->first_dep = t->ndeps;
    ret = plan_derived(p, f, t, in);
    in->ndeps = t->ndeps - in->first_dep;
    if (ret == -ENOENT)
        return error_set(p->err, EIO, "%s: there is no file '%s' beside the runs", f->place,
                         f->name);
    return ret;
}

static void key_add_input(struct planner *p, struct key_builder *b, const struct task *t,
                          const struct command_input *in, const char *name)
{
    key_add_text(b, "file", name);
    if (in->source) {
        if (in->content.hex[0])
            key_add_key(b, "content", &in->content);
        else
            source_id_add_to_key(&in->id, b);
        key_add_text(b, "path", in->source);
    }
    if (in->e) { /* its header depends on these */
        key_add_numbers(b, "volumes", &in->nvol, 1);
        run_add_to_key(p->g->runs[0], b);
    }
    for (size_t i = 0; i < in->ndeps; i++)
        key_add_key(b, "task", &p->g->tasks[t->deps[in->first_dep + i]].key);
}

static int make_key(struct planner *p, const struct recipe *r, struct task *t)
{
    struct key_builder *b = task_begin_key(TASK_COMMAND);

    if (!b)
        return plan_out_of_memory(p);
    key_add_text(b, "name", r->name);
    key_add_text(b, "text", r->text);
    key_add_text(b, "shell", r->command->shell ? "yes" : "no");
    key_add_text(b, "program", t->call->program.path);
    key_add_text(b, "identity", t->call->program.id);
    for (size_t i = 0; i < t->call->ninputs; i++)
        key_add_input(p, b, t, &t->call->inputs[i], r->command->files[i].name);
    for (size_t i = 0; r->command->uses_runs && i < p->g->nruns; i++) {
        run_add_to_key(p->g->runs[i], b);
        key_add_text(b, "path", p->g->runs[i]->path);
    }
    key_end(b, &t->key);
    return 0;
}

static int find_program(struct planner *p, const struct recipe *r, struct command_call *call)
{
    const struct command *c = r->command;
    const char *name = c->shell ? "/bin/sh" : c->words[0].pieces[0].text;
    int ret = program_find(name, p->q->rootfd, &call->program, p->err);

    return ret == 0 || ret == -ENOMEM ? ret : error_set(p->err, EIO, "%s", p->err->text);
}

static int plan_call(struct planner *p, const struct recipe *r, struct task *t)
{
    struct command_call *call = t->call;
    int ret = find_program(p, r, call);

    call->recipe = r;
    call->inputs = calloc(r->command->nfiles + 1, sizeof *call->inputs);
    if (ret == 0 && !call->inputs)
        ret = plan_out_of_memory(p);
    for (size_t i = 0; i < r->command->nfiles && ret == 0; i++) {
        call->ninputs++;
        ret = plan_input(p, &r->command->files[i], t, &call->inputs[i]);
    }
    for (size_t i = 0; r->command->uses_runs && i < p->g->nruns; i++)
        t->work_nbytes += p->g->runs[i]->id.size;
    return ret == 0 ? make_key(p, r, t) : ret;
}

int plan_command(struct planner *p, const struct recipe *recipe, size_t *task)
{
    struct task t = {.kind = TASK_COMMAND, .mem_nbytes = TASK_BUFFER_NBYTES};
    const void *part = recipe; /* no expression, but its address identifies it */
    int ret;

    if (plan_known(p, PLAN_COMMAND, part, 0, task))
        return 0;
    /* a table is checked for this, but not where it keeps earlier commands beside new ones */
    if (p->depth == p->q->table->nrecipes)
        return error_set(p->err, EIO, "making '%s' would wait for itself", recipe->name);
    p->depth++;
    t.call = calloc(1, sizeof *t.call);
    ret = t.call ? plan_call(p, recipe, &t) : plan_out_of_memory(p);
    p->depth--;
    if (ret == 0 && asprintf(&t.label, "command %s", recipe->name) < 0) {
        t.label = NULL;
        ret = plan_out_of_memory(p);
    }
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    ret = plan_add_task(p, &t, task);
    return ret < 0 ? ret : plan_remember(p, PLAN_COMMAND, part, 0, *task);
}
