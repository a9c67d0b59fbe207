/* SPDX-License-Identifier: MIT
 *
 * Planning: from an expression over runs to tasks.
 *
 * An image expression is cut only at its reductions; all above them is one fused pass of the task
 * that needs it. The series below a reduction falls into segments (timeline.h), one for each run:
 * each gets a task (plan_stream.c), whose results the image's task merges.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "headmask.h"
#include "inputs.h"
#include "kernel.h"
#include "plan_private.h"

/* The approximate size of a part of a series: a few reads long, and small beside the memory. */
enum { PART_NBYTES = 4 << 20 };

/* op(x), or with x NULL the leaf bold, as an expression that the graph keeps; x is borrowed. NULL:
 * out of memory. */
static struct expr *make_expr(struct planner *p, enum expr_op op, const struct expr *x)
{
    struct graph *g = p->g;
    struct expr *e = calloc(1, sizeof *e);

    if (e)
        e->args = calloc(1, sizeof *e->args);
    if (!e || !e->args || GROW(g->made, g->nmade) < 0) {
        expr_free(e);
        return NULL;
    }
    e->op = op;
    e->rank = x ? EXPR_IMAGE : EXPR_SERIES;
    e->nargs = x ? 1 : 0;
    e->args[0] = (struct expr *)x;
    g->made[g->nmade++] = e;
    return e;
}

/* ---- image expressions ---- */

/* The tasks of a reduction by moments: one for each segment of its series. */
static int plan_segments(struct planner *p, const struct expr *e, struct task *t)
{
    const struct expr *x = e->args[0];
    const struct timeline *segments;
    int64_t at = 0;
    int ret = plan_timeline(p, x, &segments);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < segments->n && ret == 0; i++) {
        size_t task;

        ret = plan_segment(p, e->op, x, at, segments->nvol[i], &task);
        if (ret == 0)
            ret = plan_add_dep(p, t, task);
        at += segments->nvol[i];
    }
    return ret;
}

/* The tasks of an input: one for each file that it is for a run. */
static int plan_input_files(struct planner *p, const struct expr *e, struct reduction *r,
                            struct task *t)
{
    const struct found_input *found = plan_found_input(p->q, e);
    int ret = 0;

    if (!found) /* a recipe that a command names is another one by now */
        return error_set(p->err, ESTALE, "%s was not looked for", input_title(e->input));
    if (found->error.code)
        return error_set(p->err, found->error.code, "%s", found->error.text);
    r->input = e->input;
    for (size_t i = 0; ret == 0 && i < found->nruns; i++) {
        size_t task;

        ret = plan_file_volume(p, found->files[i], e, &task);
        for (size_t d = r->first_dep; ret == 0 && d < t->ndeps; d++)
            if (t->deps[d] == task)
                ret = 1; /* the runs share it */
        if (ret == 0)
            ret = plan_add_dep(p, t, task);
        ret = ret > 0 ? 0 : ret;
    }
    return ret;
}

/* The mask of an image by Otsu's threshold. */
static int plan_otsu(struct planner *p, const struct expr *e, size_t *task);

/* The tasks that reduction `r` comes from, as the last dependencies of `t`. */
static int plan_source(struct planner *p, struct reduction *r, struct task *t)
{
    const struct expr *e = r->e;
    size_t task;
    int ret;

    switch (expr_op_kind(e->op)) {
    case EXPR_KIND_MOMENTS:
        return plan_segments(p, e, t);
    case EXPR_KIND_PERCENTILES:
        ret = plan_percentiles(p, t->e, e, &task, &r->plane);
        return ret < 0 ? ret : plan_add_dep(p, t, task);
    case EXPR_KIND_INDEX:
        ret = plan_volume(p, e, &task);
        return ret < 0 ? ret : plan_add_dep(p, t, task);
    case EXPR_KIND_FILE:
        return plan_input_files(p, e, r, t);
    case EXPR_KIND_FOUND:
        if (plan_found(p->q, e)->input)
            return plan_input_files(p, plan_found(p->q, e), r, t);
        ret = plan_plane(p, PLAN_PLANE, plan_found(p->q, e), &task);
        return ret < 0 ? ret : plan_add_dep(p, t, task);
    case EXPR_KIND_OTSU:
        ret = plan_otsu(p, e, &task);
        return ret < 0 ? ret : plan_add_dep(p, t, task);
    case EXPR_KIND_WITHIN:
        ret = plan_within(p, e, &task);
        return ret < 0 ? ret : plan_add_dep(p, t, task);
    case EXPR_KIND_NUMBER: /* no reduction */
    case EXPR_KIND_COORDINATE:
    case EXPR_KIND_BOLD:
    case EXPR_KIND_ELEMENTWISE:
    case EXPR_KIND_SLICE:
    case EXPR_KIND_DROP:
    case EXPR_KIND_DETREND:
    case EXPR_KIND_DEMEAN:
    case EXPR_KIND_ZSCORE:
    case EXPR_KIND_CONCAT:
        break;
    }
    return error_set(p->err, EINVAL, "%s is no reduction", expr_op_name(e->op));
}

static int plan_reduction(struct planner *p, const struct expr *e, struct task *t)
{
    struct reduction r = {.e = e, .first_dep = t->ndeps};
    int ret =
        GROW(t->reductions, t->nreductions) < 0 ? plan_out_of_memory(p) : plan_source(p, &r, t);

    if (ret < 0)
        return ret;
    r.ndeps = t->ndeps - r.first_dep;
    /* dependencies that repeat earlier ones are shared */
    for (size_t at = 0; at + r.ndeps <= r.first_dep; at++)
        if (r.ndeps > 0 &&
            memcmp(t->deps + at, t->deps + r.first_dep, r.ndeps * sizeof *t->deps) == 0) {
            t->ndeps = r.first_dep;
            r.first_dep = at;
            break;
        }
    t->reductions[t->nreductions++] = r;
    return 0;
}

/* Is it what other tasks give, beside reductions? */
static bool is_task(const struct expr *e)
{
    enum expr_kind kind = expr_op_kind(e->op);

    return e->input || kind == EXPR_KIND_WITHIN || kind == EXPR_KIND_OTSU ||
           kind == EXPR_KIND_FOUND;
}

static int plan_reductions(struct planner *p, const struct expr *e, struct task *t)
{
    int ret = 0;

    if (expr_is_reduction(e->op) || is_task(e))
        return plan_reduction(p, e, t);
    for (size_t i = 0; i < e->nargs && ret == 0; i++)
        ret = plan_reductions(p, e->args[i], t);
    return ret;
}

/* The key has the expression and, for each reduction in its order, the tasks it comes from. */
static int key_of_image(struct planner *p, struct task *t)
{
    struct key_builder *b = plan_begin_key(p, t->kind);

    if (!b)
        return plan_out_of_memory(p);
    key_add_text(b, "expression", t->label);
    for (size_t i = 0; i < t->nreductions; i++) {
        const struct reduction *r = &t->reductions[i];

        key_add_numbers(b, "tasks", (const int64_t[]){(int64_t)r->ndeps}, 1);
        for (size_t d = 0; d < r->ndeps; d++)
            key_add_key(b, "task", &p->g->tasks[t->deps[r->first_dep + d]].key);
    }
    if (expr_has_coordinate(t->e))
        key_add(b, "affine", p->g->runs[0]->nifti.affine, sizeof p->g->runs[0]->nifti.affine);
    if (expr_has_coordinate(t->e))
        key_add_numbers(b, "grid", p->g->runs[0]->nifti.dim, 3);
    if (t->kind == TASK_IMAGE) /* the header is that of the first run */
        run_add_to_key(p->g->runs[0], b);
    key_end(b, &t->key);
    return 0;
}

/* The numbers of its result. */
static uint64_t result_nvox(const struct planner *p, const struct task *t)
{
    return task_kind_info(t->kind)->result == RESULT_NUMBER ? 1 : p->nvox;
}

/* Add a task whose expression and reductions are complete; where `ret` is an error, release what
 * `t` owns and return `ret`. */
static int finish_image(struct planner *p, int ret, struct task *t, size_t *task)
{
    if (ret == 0) {
        t->label = expr_print(t->e);
        ret = t->label ? key_of_image(p, t) : plan_out_of_memory(p);
    }
    if (ret < 0) {
        task_clear(t);
        return ret;
    }
    if (t->kind == TASK_IMAGE)
        t->result_nbytes = graph_image_nbytes(&p->g->runs[0]->nifti, 1);
    else
        t->result_nbytes =
            result_nvox(p, t) * (t->kind == TASK_SLICES ? sizeof(float) : sizeof(double));
    t->mem_nbytes = (t->nreductions + 1) * MOMENTS_NPLANES * TASK_BLOCK_NVOX * sizeof(double) +
                    TASK_BUFFER_NBYTES;
    if (t->kind == TASK_WITHIN) /* the values, and the C library's memory for sorting */
        t->mem_nbytes += 2 * p->nvox * sizeof(double);
    return plan_add_task(p, t, task);
}

int plan_within(struct planner *p, const struct expr *e, size_t *task)
{
    struct task t = {.kind = TASK_WITHIN, .e = e};
    int ret = 0;

    if (plan_known(p, PLAN_WITHIN, e, 0, task))
        return 0;
    for (size_t i = 0; i < e->nargs && ret == 0; i++)
        ret = plan_reductions(p, e->args[i], &t);
    ret = finish_image(p, ret, &t, task);
    return ret < 0 ? ret : plan_remember(p, PLAN_WITHIN, e, 0, *task);
}

static int plan_otsu(struct planner *p, const struct expr *e, size_t *task)
{
    struct task t = {.kind = TASK_OTSU, .e = e};
    struct key_builder *b;
    size_t plane;
    int ret = plan_plane(p, PLAN_PLANE, e->args[0], &plane);

    if (ret == 0)
        ret = plan_add_dep(p, &t, plane); /* NOLINT(clang-analyzer-core.*): set where ret is 0 */
    b = ret == 0 ? plan_begin_key(p, t.kind) : NULL;
    if (b) {
        key_add_key(b, "plane", &p->g->tasks[plane].key);
        key_end(b, &t.key);
        t.label = expr_print(e);
    }
    if (ret == 0 && !t.label)
        ret = plan_out_of_memory(p);
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * sizeof(double);
    t.mem_nbytes = p->nvox * (sizeof(double) + 1) + headmask_mem_nbytes(p->nvox);
    return plan_add_task(p, &t, task);
}

/* The number of a recipe. */
static int plan_number(struct planner *p, const struct expr *e, size_t *task)
{
    return expr_op_kind(e->op) == EXPR_KIND_WITHIN ? plan_within(p, e, task)
                                                   : plan_image(p, TASK_NUMBER, e, task);
}

int plan_image(struct planner *p, enum task_kind kind, const struct expr *e, size_t *task)
{
    struct task t = {.kind = kind, .e = e};

    return finish_image(p, plan_reductions(p, e, &t), &t, task);
}

int plan_plane(struct planner *p, enum plan_known_as what, const struct expr *x, size_t *task)
{
    const struct expr *e = x;
    int ret;

    if (plan_known(p, what, x, 0, task))
        return 0;
    if (what != PLAN_PLANE)
        e = make_expr(p, what == PLAN_MEAN ? EXPR_MEAN : EXPR_STD, x);
    ret = e ? plan_image(p, TASK_PLANE, e, task) : plan_out_of_memory(p);
    return ret < 0 ? ret : plan_remember(p, what, x, 0, *task);
}

int plan_segment_mean(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                      size_t *task)
{
    struct task t = {.kind = TASK_PLANE};
    size_t segment;
    int ret;

    if (plan_known(p, PLAN_SEGMENT_MEAN, x, vol0, task))
        return 0;
    ret = plan_segment(p, EXPR_MEAN, x, vol0, nvol, &segment);
    if (ret == 0)
        ret = plan_add_dep(p, &t, segment);
    t.e = make_expr(p, EXPR_MEAN, x);
    if (ret == 0 && (!t.e || GROW(t.reductions, t.nreductions) < 0))
        ret = plan_out_of_memory(p);
    if (ret == 0)
        t.reductions[t.nreductions++] = (struct reduction){.e = t.e, .ndeps = 1};
    ret = finish_image(p, ret, &t, task);
    return ret < 0 ? ret : plan_remember(p, PLAN_SEGMENT_MEAN, x, vol0, *task);
}

/* ---- files ---- */

/* The plane of the mask, unless it follows from the mean, and the caption. */
static int plan_brain(struct planner *p, const struct recipe *recipe, struct task *t)
{
    const struct expr *mask = NULL;
    char *text = NULL;
    size_t plane = 0;
    int ret = plan_mask(p->q, &mask, p->err);

    if (ret == 0 && mask) {
        text = plan_mask_text(p->q);
        ret = text ? plan_plane(p, PLAN_PLANE, mask, &plane) : plan_out_of_memory(p);
        if (ret == 0)
            ret = plan_add_dep(p, t, plane);
    }
    if (ret == 0)
        ret = caption_new(recipe, p->g->runs, p->g->nruns, text, &t->caption, p->err);
    free(text);
    return ret;
}

/* The plane of mean(bold), the mask and the caption. */
static int plan_portrait(struct planner *p, const struct recipe *recipe, struct task *t)
{
    const struct expr *bold = make_expr(p, EXPR_BOLD, NULL);
    size_t mean;
    int ret = bold ? plan_plane(p, PLAN_MEAN, bold, &mean) : plan_out_of_memory(p);

    if (ret == 0)
        ret = plan_add_dep(p, t, mean); /* NOLINT(clang-analyzer-core.*): set where ret is 0 */
    return ret == 0 ? plan_brain(p, recipe, t) : ret;
}

static int key_of_output(struct planner *p, struct task *t)
{
    struct key_builder *b = key_begin(t->format->operation, t->format->version);

    if (!b)
        return plan_out_of_memory(p);
    key_add_key(b, "image", &p->g->tasks[t->deps[0]].key);
    if (t->format->needs_mean) {
        key_add_key(b, "mean", &p->g->tasks[t->deps[1]].key);
        if (t->ndeps > 2)
            key_add_key(b, "mask", &p->g->tasks[t->deps[2]].key);
        caption_add_to_key(t->caption, b);
    }
    key_end(b, &t->key);
    return 0;
}

int plan_output(struct planner *p, const struct recipe *recipe, const struct output_format *format,
                size_t image, size_t *task)
{
    const struct nifti *grid = &p->g->runs[0]->nifti;
    struct task t = {.kind = TASK_OUTPUT, .format = format};
    int ret = plan_add_dep(p, &t, image);

    if (ret == 0 && format->needs_mean)
        ret = plan_portrait(p, recipe, &t);
    if (ret == 0)
        ret = key_of_output(p, &t);
    if (ret == 0 && asprintf(&t.label, "%s %s", format->operation, p->g->tasks[image].label) < 0) {
        t.label = NULL;
        ret = plan_out_of_memory(p);
    }
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.mem_nbytes = format->mem_nbytes ? format->mem_nbytes(grid) : TASK_BUFFER_NBYTES;
    t.result_nbytes = format->nbytes(grid, p->g->tasks[image].result_nbytes);
    return plan_add_task(p, &t, task);
}

/* Can the bytes of all volumes be counted, in any format? Each run's can (nifti.h). */
static int check_size(const struct plan_request *q, struct error *err)
{
    int64_t nvol = 0, nbytes = 4 * sizeof(double);

    for (size_t i = 0; i < q->nruns; i++)
        nvol += q->runs[i]->nifti.nvol;
    if (__builtin_mul_overflow(nbytes, nifti_nvox(&q->runs[0]->nifti), &nbytes) ||
        __builtin_mul_overflow(nbytes, nvol, &nbytes))
        return error_set(err, EOVERFLOW, "%s: the runs joined have more than 2^58 voxels",
                         q->runs[0]->path);
    return 0;
}

/* The runs, then each file of an input that can be used. */
static int add_sources(const struct plan_request *q, struct graph *g)
{
    size_t ninputs = q->inputs ? q->inputs->n : 0;

    g->runs = calloc(q->nruns * (1 + ninputs), sizeof(struct run *));
    if (!g->runs)
        return -ENOMEM;
    for (size_t i = 0; i < q->nruns; i++)
        g->runs[g->nsources++] = run_get(q->runs[i]);
    g->nruns = g->nsources;
    for (size_t i = 0; i < ninputs; i++)
        for (size_t k = 0; q->inputs->list[i].error.code == 0 && k < q->inputs->list[i].nruns;
             k++) {
            struct run *file = q->inputs->list[i].files[k];
            size_t s = 0;

            while (s < g->nsources && g->runs[s] != file)
                s++;
            if (s == g->nsources)
                g->runs[g->nsources++] = run_get(file);
        }
    return 0;
}

/* Make a graph without tasks, and a planner for it. */
static int begin(const struct plan_request *q, struct planner *p, struct error *err)
{
    struct graph *g = graph_new();

    *p = (struct planner){.q = q, .g = g, .bold = {q->runs, q->nruns}, .err = err};
    if (!g)
        return plan_out_of_memory(p);
    g->table = recipe_table_get(q->table);
    g->recipe = q->recipe;
    g->format = q->format;
    p->starts = calloc(q->nruns, sizeof *p->starts);
    if (!p->starts || add_sources(q, g) < 0)
        return plan_out_of_memory(p);
    for (size_t i = 1; i < q->nruns; i++)
        p->starts[i] = p->starts[i - 1] + q->runs[i - 1]->nifti.nvol;
    g->nvox = p->nvox = (size_t)nifti_nvox(&q->runs[0]->nifti);
    return check_size(q, err);
}

static const char not_by_slices[] = "it cannot be computed slice by slice";

static int plan_slices(struct planner *p, int64_t first, int64_t n, size_t *task)
{
    const struct expr *e = p->q->recipe->expr;
    int ret;

    if (!e || e->rank != EXPR_IMAGE || p->q->format->operation)
        return error_set(p->err, ENOTSUP, "%s", not_by_slices);
    p->g->is_slices = true;
    p->g->vox0 = (size_t)first * graph_slice_nvox(p->g);
    p->g->nvox = p->nvox = (size_t)n * graph_slice_nvox(p->g);
    ret = plan_image(p, TASK_SLICES, e, task);
    if (ret == 0 && !graph_is_by_slices(p->g))
        ret = error_set(p->err, ENOTSUP, "%s", not_by_slices);
    return ret;
}

static int plan_what(struct planner *p, struct plan_extent what, size_t *task)
{
    const struct recipe *recipe = p->q->recipe;
    const struct output_format *format = p->q->format;
    int ret;

    switch (what.kind) {
    case PLAN_ALL:
        if (recipe->command)
            return plan_command(p, recipe, task);
        if (recipe_is_number(recipe))
            return plan_number(p, recipe->expr, task);
        ret = plan_image(p, TASK_IMAGE, recipe->expr, task);
        return ret == 0 && format->operation ? plan_output(p, recipe, format, *task, task) : ret;
    case PLAN_SLICES:
        return plan_slices(p, what.first, what.n, task);
    case PLAN_VOLUMES:
        return plan_volumes(p, TASK_CHUNK, recipe->expr, what.first, what.n, task);
    case PLAN_CHECKSUM:
        break;
    }
    return plan_volumes(p, TASK_CHECKSUM, recipe->expr, 0, INT64_MAX, task);
}

int plan_file(const struct plan_request *q, struct plan_extent what, struct graph **out,
              struct error *err)
{
    struct planner p;
    size_t task;
    int ret = begin(q, &p, err);

    if (ret == 0)
        ret = plan_what(&p, what, &task);
    planner_clear(&p);
    if (ret < 0) {
        graph_put(p.g);
        return error_wrap(err, ret, "%s", q->recipe->name);
    }
    *out = p.g;
    return 0;
}

int64_t plan_part_nvol(const struct nifti *first)
{
    uint64_t volume = (uint64_t)nifti_nvox(first) * sizeof(float);

    return volume < PART_NBYTES ? (int64_t)(PART_NBYTES / volume) : 1;
}

int plan_nvol(const struct plan_request *q, int64_t *out, struct error *err)
{
    struct joined_runs bold = {q->runs, q->nruns};
    struct timeline all;
    int ret = check_size(q, err);

    *out = 1;
    if (ret < 0 || q->recipe->expr->rank != EXPR_SERIES)
        return ret;
    ret = timeline_of(q->recipe->expr, &bold, &all, err);
    if (ret < 0)
        return error_wrap(err, ret, "%s", q->recipe->name);
    *out = timeline_nvol(&all);
    timeline_free(&all);
    return 0;
}
