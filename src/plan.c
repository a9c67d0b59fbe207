/* SPDX-License-Identifier: MIT
 *
 * Planning: from an expression over runs to tasks.
 *
 * An image expression is cut only at its reductions; everything above them is one fused pass of the
 * task that needs it. The series below a reduction is brought down, segment by segment, to a stream
 * (stream.h): views of time (slices, drop, concat) disappear into which volume of which run is
 * read, elementwise steps stay, and what needs a pass of its own first (the image in bold -
 * mean(bold), the fit of detrend) becomes a task that the stream's task depends on. Tasks are found
 * again by key, so that equal subexpressions are one task.
 *
 * mean, std, var and sum over detrend(x) need no second pass: the trend task has them by itself.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph_call.h"
#include "kernel.h"
#include "plan_private.h"

/* Versions of the operations: raise one when its results change. */
enum { VERSION_OF_ALL = 1 };

static int plan_plane(struct planner *p, const struct expr *e, size_t *task);
static int make_stream(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                       struct stream *out);

int out_of_memory(struct planner *p)
{
    return error_set(p->err, ENOMEM, "out of memory");
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

void task_clear(struct task *t)
{
    for (size_t i = 0; i < t->nstreams; i++)
        stream_clear(&t->streams[i]);
    free(t->streams);
    free(t->reductions);
    free(t->label);
    free(t->deps);
    command_call_free(t->call);
}

/* Put a task into the graph, or find the equal one that is there. Takes over what `t` owns. */
int add_task(struct planner *p, struct task *t, size_t *index)
{
    struct graph *g = p->g;
    struct by_key *known;
    struct task *grown;

    HASH_FIND(hh, p->by_key, t->key.hex, KEY_HEX, known);
    if (known) {
        task_clear(t);
        *index = known->task;
        return 0;
    }
    grown = realloc(g->tasks, (g->ntasks + 1) * sizeof *grown);
    if (grown)
        g->tasks = grown;
    known = grown ? calloc(1, sizeof *known) : NULL;
    if (!known) {
        task_clear(t);
        return out_of_memory(p);
    }
    known->key = t->key;
    known->task = g->ntasks;
    HASH_ADD(hh, p->by_key, key.hex[0], KEY_HEX, known);
    *index = g->ntasks;
    g->tasks[g->ntasks++] = *t;
    return 0;
}

int add_dep(struct planner *p, struct task *t, size_t task)
{
    size_t *grown = realloc(t->deps, (t->ndeps + 1) * sizeof *grown);

    if (!grown)
        return out_of_memory(p);
    t->deps = grown;
    t->deps[t->ndeps++] = task;
    return 0;
}

/* A task depends on what makes the planes and trends of its streams, once each. */
static int depend_on_leaves(struct planner *p, struct task *t)
{
    int ret = 0;

    for (size_t i = 0; i < t->nstreams; i++)
        for (size_t k = 0; k < t->streams[i].nleaves && ret == 0; k++) {
            const struct stream_leaf *leaf = &t->streams[i].leaves[k];
            bool known = leaf->kind == LEAF_SAMPLE;

            for (size_t d = 0; d < t->ndeps; d++)
                known = known || t->deps[d] == leaf->task;
            if (!known)
                ret = add_dep(p, t, leaf->task);
        }
    return ret;
}

/* ---- keys and labels ---------------------------------------------------------------------------
 */

static const char *const operation_names[] = {
    [TASK_MOMENTS] = "moments", [TASK_TREND] = "trend",   [TASK_MEDIAN] = "median",
    [TASK_VOLUME] = "volume",   [TASK_PLANE] = "plane",   [TASK_IMAGE] = "image",
    [TASK_CHUNK] = "chunk",     [TASK_OUTPUT] = "output", [TASK_COMMAND] = "command",
};

/* Planes are stored in this machine's byte order. */
static struct key_builder *begin_key(enum task_kind kind)
{
    struct key_builder *b = key_begin(operation_names[kind], VERSION_OF_ALL);

    if (b)
        key_add_text(b, "byte order", BYTE_ORDER == LITTLE_ENDIAN ? "little" : "big");
    return b;
}

static void key_add_number(struct key_builder *b, const char *name, int64_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, number);
    key_add_text(b, name, text);
}

/* Which leaf stands where, in the order of the text (which says "bold" for every leaf). */
static void key_add_leaf_numbers(struct key_builder *b, const struct expr *e)
{
    if (e->op == EXPR_BOLD)
        key_add_number(b, "leaf", e->start);
    for (size_t i = 0; i < e->nargs; i++)
        key_add_leaf_numbers(b, e->args[i]);
}

static int key_add_stream(struct planner *p, struct key_builder *b, const struct stream *s)
{
    char *text = expr_print(s->e);

    if (!text)
        return out_of_memory(p);
    key_add_text(b, "stream", text);
    free(text);
    key_add_leaf_numbers(b, s->e);
    key_add_number(b, "volumes", s->nvol);
    for (size_t i = 0; i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];
        char id[SOURCE_ID_TEXT_MAX];

        key_add_number(b, "kind", leaf->kind);
        key_add_number(b, "from", leaf->vol0);
        if (leaf->kind == LEAF_SAMPLE) {
            source_id_text(&leaf->run->id, id);
            key_add_text(b, "source", id);
            continue;
        }
        key_add_key(b, "task", &p->g->tasks[leaf->task].key);
        key_add_number(b, "plane", (int64_t)leaf->plane);
        key_add_number(b, "order", leaf->order);
        key_add_number(b, "fitted", leaf->fit_nvol);
    }
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* The run that a stream reads first, for its label. */
static const struct stream_leaf *first_sample(const struct stream *s)
{
    for (size_t i = 0; i < s->nleaves; i++)
        if (s->leaves[i].kind == LEAF_SAMPLE)
            return &s->leaves[i];
    return NULL;
}

/* "moments sub-01_bold.nii.gz", "moments sub-01_bold.nii.gz[4:173] of sqrt(bold)". */
static char *label_stream(enum task_kind kind, const struct stream *s, const struct expr *x)
{
    const struct stream_leaf *leaf = first_sample(s);
    char *text = expr_print(x), *label = NULL, range[64] = "";
    int n = -1;

    if (leaf && (leaf->vol0 != 0 || s->nvol != leaf->run->nifti.nvol))
        snprintf(range, sizeof range, "[%" PRId64 ":%" PRId64 "]", leaf->vol0,
                 leaf->vol0 + s->nvol);
    if (text)
        n = asprintf(&label, "%s %s%s%s%s", operation_names[kind],
                     leaf ? base_name(leaf->run->path) : "", range, stream_is_raw(s) ? "" : " of ",
                     stream_is_raw(s) ? "" : text);
    free(text);
    return n < 0 ? NULL : label;
}

/* ---- streams -----------------------------------------------------------------------------------
 */

static struct expr *new_node(enum expr_op op, size_t nargs)
{
    struct expr *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->op = op;
    e->rank = EXPR_SERIES;
    e->nargs = nargs;
    e->args = calloc(nargs + 1, sizeof(struct expr *));
    if (!e->args) {
        free(e);
        return NULL;
    }
    return e;
}

static struct expr *clone(const struct expr *e)
{
    struct expr *copy = new_node(e->op, e->nargs);
    struct expr **args;

    if (!copy)
        return NULL;
    args = copy->args;
    *copy = *e;
    copy->args = args;
    for (size_t i = 0; i < e->nargs; i++) {
        args[i] = clone(e->args[i]);
        if (!args[i]) {
            copy->nargs = i;
            expr_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* op(x) as an image expression that the graph keeps. */
static const struct expr *make_reduction(struct planner *p, enum expr_op op, const struct expr *x)
{
    struct graph *g = p->g;
    struct expr **grown = realloc(g->made, (g->nmade + 1) * sizeof *grown);
    struct expr *e;

    if (!grown)
        return NULL;
    g->made = grown;
    e = new_node(op, 1);
    if (!e)
        return NULL;
    e->rank = EXPR_IMAGE;
    e->args[0] = clone(x);
    if (!e->args[0]) {
        e->nargs = 0;
        expr_free(e);
        return NULL;
    }
    g->made[g->nmade++] = e;
    return e;
}

/* A node that stands for a leaf. */
static int lower_leaf(struct planner *p, struct stream *s, struct stream_leaf leaf,
                      struct expr **out)
{
    size_t number = stream_add_leaf(s, leaf);

    *out = number == SIZE_MAX ? NULL : new_node(EXPR_BOLD, 0);
    if (!*out)
        return out_of_memory(p);
    (*out)->start = (int64_t)number;
    return 0;
}

static int lower(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                 struct expr **out);

static int lower_bold(struct planner *p, int64_t vol, struct stream *s, struct expr **out)
{
    size_t i = 0;

    while (i + 1 < p->bold.nruns && vol >= p->bold.runs[i]->nifti.nvol)
        vol -= p->bold.runs[i++]->nifti.nvol;
    return lower_leaf(
        p, s,
        (struct stream_leaf){.kind = LEAF_SAMPLE, .run = run_get(p->bold.runs[i]), .vol0 = vol},
        out);
}

static int lower_image(struct planner *p, const struct expr *x, struct stream *s, struct expr **out)
{
    size_t task;
    int ret = plan_plane(p, x, &task);

    if (ret < 0)
        return ret;
    return lower_leaf(p, s, (struct stream_leaf){.kind = LEAF_PLANE, .task = task}, out);
}

static int lower_elementwise(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                             struct expr **out)
{
    struct expr *e = new_node(x->op, x->nargs);
    int ret = e ? 0 : out_of_memory(p);

    if (e)
        e->number = x->number;
    for (size_t i = 0; ret == 0 && i < x->nargs; i++)
        ret = lower(p, x->args[i], vol, s, &e->args[i]);
    if (ret < 0 && e) {
        for (size_t i = 0; i < x->nargs; i++)
            expr_free(e->args[i]);
        e->nargs = 0;
        expr_free(e);
        return ret;
    }
    *out = e;
    return ret;
}

/* a op b, of nodes that exist. Takes both over. */
static int combine(struct planner *p, enum expr_op op, struct expr *a, struct expr *b,
                   struct expr **out)
{
    *out = new_node(op, 2);
    if (!*out) {
        expr_free(a);
        expr_free(b);
        return out_of_memory(p);
    }
    (*out)->args[0] = a;
    (*out)->args[1] = b;
    return 0;
}

/* The trend task of a segment of x. */
static int plan_trend(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                      unsigned order, size_t *task);
static int plan_moments(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                        size_t *task);

/* detrend(x) and demean(x): x less something that a task finds for the whole segment first. */
static int lower_fitted(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    struct stream_leaf leaf = {.kind = LEAF_PLANE, .plane = MOMENTS_MEAN};
    struct expr *inner = NULL, *fitted = NULL;
    struct timeline segments;
    int64_t start, nvol;
    int ret = timeline_of(x->args[0], &p->bold, &segments, p->err);

    if (ret < 0)
        return ret;
    nvol = segments.nvol[timeline_find(&segments, vol, &start)];
    timeline_free(&segments);
    if (x->op == EXPR_DETREND) {
        leaf.kind = LEAF_TREND;
        leaf.plane = 0;
        leaf.order = (unsigned)x->number;
        leaf.vol0 = vol - start;
        leaf.fit_nvol = nvol;
        ret = plan_trend(p, x->args[0], start, nvol, leaf.order, &leaf.task);
    } else {
        ret = plan_moments(p, x->args[0], start, nvol, &leaf.task);
    }
    if (ret == 0)
        ret = lower(p, x->args[0], vol, s, &inner);
    if (ret == 0)
        ret = lower_leaf(p, s, leaf, &fitted);
    if (ret < 0) {
        expr_free(inner);
        return ret;
    }
    return combine(p, EXPR_SUB, inner, fitted, out);
}

/* (x - mean(x)) / std(x), over all runs joined */
static int lower_zscore(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    const struct expr *mean = make_reduction(p, EXPR_MEAN, x->args[0]);
    const struct expr *std = mean ? make_reduction(p, EXPR_STD, x->args[0]) : NULL;
    struct expr *value = NULL, *centre = NULL, *spread = NULL;
    int ret = std ? lower(p, x->args[0], vol, s, &value) : out_of_memory(p);

    if (ret == 0)
        ret = lower_image(p, mean, s, &centre);
    if (ret == 0)
        ret = lower_image(p, std, s, &spread);
    if (ret < 0) {
        expr_free(value);
        expr_free(centre);
        return ret;
    }
    ret = combine(p, EXPR_SUB, value, centre, &value);
    if (ret < 0) {
        expr_free(spread);
        return ret;
    }
    return combine(p, EXPR_DIV, value, spread, out);
}

static int lower_view(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                      struct expr **out)
{
    struct timeline arg;
    int64_t start, stop;

    for (size_t i = 0; i < x->nargs; i++) {
        int ret = timeline_of(x->args[i], &p->bold, &arg, p->err);

        if (ret < 0)
            return ret;
        if (x->op == EXPR_CONCAT && vol >= timeline_nvol(&arg)) {
            vol -= timeline_nvol(&arg);
            timeline_free(&arg);
            continue;
        }
        if (x->op == EXPR_SLICE) {
            timeline_slice(x, timeline_nvol(&arg), &start, &stop);
            vol += start;
        } else if (x->op == EXPR_DROP) {
            vol = timeline_undrop(&arg, (int64_t)x->number, vol);
        }
        timeline_free(&arg);
        return lower(p, x->args[i], vol, s, out);
    }
    return error_set(p->err, EINVAL, "volume %" PRId64 " is behind the end", vol);
}

/* Bring `x` down at the segment that starts at volume `vol`. */
static int lower(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                 struct expr **out)
{
    *out = NULL;
    if (x->rank == EXPR_IMAGE)
        return lower_image(p, x, s, out);
    switch (x->op) {
    case EXPR_BOLD:
        return lower_bold(p, vol, s, out);
    case EXPR_SLICE:
    case EXPR_DROP:
    case EXPR_CONCAT:
        return lower_view(p, x, vol, s, out);
    case EXPR_DETREND:
    case EXPR_DEMEAN:
        return lower_fitted(p, x, vol, s, out);
    case EXPR_ZSCORE:
        return lower_zscore(p, x, vol, s, out);
    default:
        return lower_elementwise(p, x, vol, s, out);
    }
}

static int make_stream(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                       struct stream *out)
{
    int ret;

    *out = (struct stream){.nvol = nvol};
    ret = lower(p, x, vol0, out, &out->e);
    if (ret < 0)
        stream_clear(out);
    return ret;
}

/* Add the stream of volumes [vol0, vol0 + nvol) of x, which lie in one segment. */
static int add_stream(struct planner *p, struct task *t, const struct expr *x, int64_t vol0,
                      int64_t nvol)
{
    struct stream *grown = realloc(t->streams, (t->nstreams + 1) * sizeof *grown);
    int ret;

    if (!grown)
        return out_of_memory(p);
    t->streams = grown;
    ret = make_stream(p, x, vol0, nvol, &t->streams[t->nstreams]);
    if (ret == 0)
        t->nstreams++;
    return ret;
}

/* Add the streams of volumes [from, to) of x, segment by segment. */
static int add_streams(struct planner *p, struct task *t, const struct expr *x, int64_t from,
                       int64_t to)
{
    struct timeline segments;
    int64_t at = 0;
    int ret = timeline_of(x, &p->bold, &segments, p->err);

    for (size_t i = 0; ret == 0 && i < segments.n; i++) {
        int64_t begin = at > from ? at : from;
        int64_t end = at + segments.nvol[i] < to ? at + segments.nvol[i] : to;

        if (begin < end)
            ret = add_stream(p, t, x, begin, end - begin);
        at += segments.nvol[i];
    }
    if (ret == 0 || segments.n > 0)
        timeline_free(&segments);
    return ret;
}

/* Bytes of buffers for reading a stream volume by volume. */
static size_t stream_mem_nbytes(const struct planner *p, const struct stream *s)
{
    size_t sum = p->nvox * sizeof(double);

    for (size_t i = 0; i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];

        if (leaf->kind == LEAF_SAMPLE)
            sum += p->nvox * leaf->run->nifti.sample_nbytes + TASK_BUFFER_NBYTES;
        else if (leaf->kind == LEAF_PLANE)
            sum += p->nvox * sizeof(double);
        else
            sum += p->nvox * leaf->order * sizeof(double);
    }
    return sum;
}

/* ---- tasks over streams ------------------------------------------------------------------------
 */

/* Key, label, dependencies, work and memory of a task whose streams are complete; then add it. */
static int finish_stream_task(struct planner *p, struct task *t, const struct expr *x,
                              size_t *index)
{
    struct key_builder *b = begin_key(t->kind);
    int ret = b ? depend_on_leaves(p, t) : out_of_memory(p);

    t->label = label_stream(t->kind, &t->streams[0], x);
    if (!t->label)
        ret = out_of_memory(p);
    for (size_t i = 0; i < t->nstreams; i++) {
        size_t mem = stream_mem_nbytes(p, &t->streams[i]);

        if (b && ret == 0)
            ret = key_add_stream(p, b, &t->streams[i]);
        t->work_nbytes += stream_work_nbytes(&t->streams[i]);
        t->mem_nbytes = mem > t->mem_nbytes ? mem : t->mem_nbytes;
    }
    if (b) {
        key_add_number(b, "order", t->order);
        key_end(b, &t->key);
    }
    if (ret < 0) {
        task_clear(t);
        return ret;
    }
    return add_task(p, t, index);
}

static int plan_moments(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                        size_t *task)
{
    struct task t = {.kind = TASK_MOMENTS};
    int ret = add_stream(p, &t, x, vol0, nvol);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * MOMENTS_NPLANES * sizeof(double);
    ret = finish_stream_task(p, &t, x, task);
    if (ret == 0) {
        struct task *added = &p->g->tasks[*task];
        const struct stream *s = &added->streams[0];

        /* the exact accumulators of a raw stream need no volume-sized buffers */
        added->mem_nbytes =
            stream_is_raw(s)
                ? moments_nbytes(s->leaves[0].run->nifti.sample, p->nvox) + TASK_BUFFER_NBYTES
                : stream_mem_nbytes(p, s) + moments_nbytes(SAMPLE_FLOAT64, p->nvox);
    }
    return ret;
}

static int plan_trend(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                      unsigned order, size_t *task)
{
    struct task t = {.kind = TASK_TREND, .order = order};
    int ret = add_stream(p, &t, x, vol0, nvol);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * (2 + order) * sizeof(double);
    /* the moments' accumulators and one sum for each polynomial */
    t.mem_nbytes = stream_mem_nbytes(p, &t.streams[0]) + moments_nbytes(SAMPLE_FLOAT64, p->nvox) +
                   p->nvox * (order + 1) * sizeof(double);
    return finish_stream_task(p, &t, x, task);
}

static int plan_median(struct planner *p, const struct expr *x, size_t *task)
{
    struct task t = {.kind = TASK_MEDIAN};
    struct timeline all;
    size_t column, wanted;
    int ret = timeline_of(x, &p->bold, &all, p->err);

    if (ret < 0)
        return ret;
    ret = add_streams(p, &t, x, 0, timeline_nvol(&all));
    /* all volumes of as many voxels as fit into half of the memory; more passes if that is few */
    column = (size_t)timeline_nvol(&all) * sizeof(double);
    timeline_free(&all);
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    wanted = p->nvox * column;
    t.mem_nbytes = wanted < p->q->memory_nbytes / 2 ? wanted : p->q->memory_nbytes / 2;
    if (t.mem_nbytes < column)
        t.mem_nbytes = column;
    t.result_nbytes = (uint64_t)p->nvox * sizeof(double);
    return finish_stream_task(p, &t, x, task);
}

static int plan_volume(struct planner *p, const struct expr *index, size_t *task)
{
    struct task t = {.kind = TASK_VOLUME};
    const struct expr *x = index->args[0];
    struct timeline all;
    int64_t nvol, vol;
    int ret = timeline_of(x, &p->bold, &all, p->err);

    if (ret < 0)
        return ret;
    nvol = timeline_nvol(&all);
    timeline_free(&all);
    vol = index->start < 0 ? index->start + nvol : index->start;
    if (vol < 0 || vol >= nvol)
        return error_set(p->err, EINVAL, "there is no volume %" PRId64 ": the series has %" PRId64,
                         index->start, nvol);
    ret = add_stream(p, &t, x, vol, 1);
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * sizeof(double);
    return finish_stream_task(p, &t, x, task);
}

/* ---- image expressions -------------------------------------------------------------------------
 */

/* Moments, or trends, of every segment of the reduction's series. */
static int plan_segments(struct planner *p, const struct expr *e, struct task *t)
{
    const struct expr *x = e->args[0];
    bool trend = x->op == EXPR_DETREND && e->op != EXPR_MIN && e->op != EXPR_MAX;
    const struct expr *below = trend ? x->args[0] : x;
    struct timeline segments;
    int64_t at = 0;
    int ret = timeline_of(below, &p->bold, &segments, p->err);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < segments.n && ret == 0; i++) {
        size_t task;

        ret = trend ? plan_trend(p, below, at, segments.nvol[i], (unsigned)x->number, &task)
                    : plan_moments(p, below, at, segments.nvol[i], &task);
        if (ret == 0)
            ret = add_dep(p, t, task);
        at += segments.nvol[i];
    }
    timeline_free(&segments);
    return ret;
}

/* Do the last `n` dependencies of `t` repeat earlier ones? Then they are shared. */
static void share_deps(struct task *t, struct reduction *r)
{
    for (size_t at = 0; at + r->ndeps <= r->first_dep; at++)
        if (memcmp(t->deps + at, t->deps + r->first_dep, r->ndeps * sizeof *t->deps) == 0) {
            t->ndeps = r->first_dep;
            r->first_dep = at;
            return;
        }
}

static int plan_reduction(struct planner *p, const struct expr *e, struct task *t)
{
    struct reduction *grown = realloc(t->reductions, (t->nreductions + 1) * sizeof *grown);
    struct reduction r = {.e = e, .first_dep = t->ndeps};
    size_t task;
    int ret;

    if (!grown)
        return out_of_memory(p);
    t->reductions = grown;
    if (e->op == EXPR_MEDIAN || e->op == EXPR_INDEX) {
        ret = e->op == EXPR_MEDIAN ? plan_median(p, e->args[0], &task) : plan_volume(p, e, &task);
        if (ret == 0)
            ret = add_dep(p, t, task);
    } else {
        ret = plan_segments(p, e, t);
    }
    if (ret < 0)
        return ret;
    r.ndeps = t->ndeps - r.first_dep;
    share_deps(t, &r);
    t->reductions[t->nreductions++] = r;
    return 0;
}

static int plan_reductions(struct planner *p, const struct expr *e, struct task *t)
{
    int ret = 0;

    if (expr_is_reduction(e->op))
        return plan_reduction(p, e, t);
    for (size_t i = 0; i < e->nargs && ret == 0; i++)
        ret = plan_reductions(p, e->args[i], t);
    return ret;
}

/* The key says the expression and, for each reduction in its order, the tasks it comes from. */
static int finish_image(struct planner *p, struct task *t, size_t *task)
{
    struct key_builder *b = begin_key(t->kind);

    t->label = expr_print(t->e);
    if (!b || !t->label) {
        if (b)
            key_end(b, &t->key);
        task_clear(t);
        return out_of_memory(p);
    }
    key_add_text(b, "expression", t->label);
    for (size_t i = 0; i < t->nreductions; i++) {
        const struct reduction *r = &t->reductions[i];

        key_add_number(b, "tasks", (int64_t)r->ndeps);
        for (size_t d = 0; d < r->ndeps; d++)
            key_add_key(b, "task", &p->g->tasks[t->deps[r->first_dep + d]].key);
    }
    key_end(b, &t->key);
    t->mem_nbytes = 2 * (size_t)TASK_BUFFER_NBYTES;
    return add_task(p, t, task);
}

int plan_image(struct planner *p, enum task_kind kind, const struct expr *e, size_t *task)
{
    struct task t = {.kind = kind, .e = e};
    int ret = plan_reductions(p, e, &t);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = kind == TASK_IMAGE ? graph_image_nbytes(&p->g->runs[0]->nifti, 1)
                                         : (uint64_t)p->nvox * sizeof(double);
    return finish_image(p, &t, task);
}

static int plan_plane(struct planner *p, const struct expr *e, size_t *task)
{
    return plan_image(p, TASK_PLANE, e, task);
}

/* ---- files -------------------------------------------------------------------------------------
 */

int plan_output(struct planner *p, const struct output_format *format, size_t image, size_t *task)
{
    struct key_builder *b = key_begin(format->operation, format->version);
    struct task t = {.kind = TASK_OUTPUT, .format = format, .mem_nbytes = TASK_BUFFER_NBYTES};
    int ret = b ? add_dep(p, &t, image) : out_of_memory(p);

    if (b) {
        key_add_key(b, "image", &p->g->tasks[image].key);
        key_end(b, &t.key);
    }
    if (ret == 0 && asprintf(&t.label, "%s %s", format->operation, p->g->tasks[image].label) < 0) {
        t.label = NULL;
        ret = out_of_memory(p);
    }
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = format->nbytes(p->g->tasks[image].result_nbytes);
    return add_task(p, &t, task);
}

int plan_chunk(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol, size_t *task)
{
    struct task t = {.kind = TASK_CHUNK};
    int ret = add_streams(p, &t, x, vol0, vol0 + nvol);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * (uint64_t)nvol * sizeof(float);
    return finish_stream_task(p, &t, x, task);
}

/* A graph without tasks, and a planner for it. */
static int begin(const struct graph_request *q, struct planner *p, struct error *err)
{
    struct graph *g = calloc(1, sizeof *g);

    *p = (struct planner){.q = q, .g = g, .bold = {q->runs, q->nruns}, .err = err};
    if (!g)
        return out_of_memory(p);
    atomic_init(&g->refs, 1);
    g->table = recipe_table_get(q->table);
    g->recipe = q->recipe;
    g->format = q->format;
    g->runs = calloc(q->nruns, sizeof(struct run *));
    if (!g->runs)
        return out_of_memory(p);
    for (size_t i = 0; i < q->nruns; i++)
        g->runs[g->nruns++] = run_get(q->runs[i]);
    p->nvox = (size_t)nifti_nvox(&q->runs[0]->nifti);
    return 0;
}

static int end(struct planner *p, int ret, struct graph **out)
{
    struct by_key *k, *next;

    HASH_ITER(hh, p->by_key, k, next)
    {
        HASH_DEL(p->by_key, k);
        free(k);
    }
    if (ret < 0) {
        graph_put(p->g);
        return error_wrap(p->err, ret, "%s", p->q->recipe->name);
    }
    *out = p->g;
    return 0;
}

int graph_build(const struct graph_request *q, struct graph **out, struct error *err)
{
    struct planner p;
    size_t task;
    int ret = begin(q, &p, err);

    if (ret == 0)
        ret = plan_image(&p, TASK_IMAGE, q->recipe->expr, &task);
    if (ret == 0 && q->format->operation)
        ret = plan_output(&p, q->format, task, &task);
    return end(&p, ret, out);
}

int graph_build_command(const struct graph_request *q, struct graph **out, struct error *err)
{
    struct planner p;
    size_t task;
    int ret = begin(q, &p, err);

    if (ret == 0)
        ret = plan_command(&p, q->recipe, &task);
    return end(&p, ret, out);
}

int graph_build_chunk(const struct graph_request *q, int64_t vol0, int64_t nvol, struct graph **out,
                      struct error *err)
{
    struct planner p;
    size_t task;
    int ret = begin(q, &p, err);

    if (ret == 0)
        ret = plan_chunk(&p, q->recipe->expr, vol0, nvol, &task);
    return end(&p, ret, out);
}

int graph_nvol(const struct graph_request *q, int64_t *out, struct error *err)
{
    struct joined_runs bold = {q->runs, q->nruns};
    struct timeline all;
    int ret;

    *out = 1;
    if (q->recipe->expr->rank != EXPR_SERIES)
        return 0;
    ret = timeline_of(q->recipe->expr, &bold, &all, err);
    if (ret < 0)
        return error_wrap(err, ret, "%s", q->recipe->name);
    *out = timeline_nvol(&all);
    timeline_free(&all);
    return 0;
}
