/* SPDX-License-Identifier: MIT
 *
 * From a series to streams (stream.h), segment by segment, and the tasks over them: the reads that
 * come before the evaluation of an image.
 *
 *     zscore(bold[..., 4:]) at the start of run 1     (#0 - #1) / #2     #0: run 1 from volume 4 on
 *
 * Slices, drop and concat only choose the volume to read; elementwise steps stay. An image (as in
 * bold - mean(bold)) or fit (of detrend) is a task that the stream's task depends on. mean, std, var
 * and sum over detrend(x) need no second pass: the trend task gives them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "kernel.h"
#include "legendre.h"
#include "plan_private.h"
#include "timecourses.h"

/* ---- streams ---- */

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

/* Add a leaf, and a node for it. */
static int lower_leaf(struct planner *p, struct stream *s, struct stream_leaf leaf,
                      struct expr **out)
{
    size_t number = stream_add_leaf(s, leaf);

    *out = number == SIZE_MAX ? NULL : new_node(EXPR_BOLD, 0);
    if (!*out)
        return plan_out_of_memory(p);
    (*out)->start = (int64_t)number;
    return 0;
}

static int lower(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                 struct expr **out);

static int lower_bold(struct planner *p, int64_t vol, struct stream *s, struct expr **out)
{
    size_t i = 0, end = p->bold.nruns;

    while (end - i > 1) { /* the last run that starts at `vol` or before */
        size_t middle = i + (end - i) / 2;

        if (p->starts[middle] <= vol)
            i = middle;
        else
            end = middle;
    }
    return lower_leaf(p, s,
                      (struct stream_leaf){.kind = LEAF_SAMPLE,
                                           .run = run_get(p->bold.runs[i]),
                                           .vol0 = vol - p->starts[i]},
                      out);
}

/* A leaf that is the plane of task `task`. */
static int lower_plane(struct planner *p, size_t task, struct stream *s, struct expr **out)
{
    return lower_leaf(p, s, (struct stream_leaf){.kind = LEAF_PLANE, .task = task}, out);
}

static int lower_image(struct planner *p, const struct expr *x, struct stream *s, struct expr **out)
{
    size_t task;
    int ret = plan_plane(p, PLAN_PLANE, x, &task);

    return ret < 0 ? ret : lower_plane(p, task, s, out);
}

static int lower_number(struct planner *p, const struct expr *x, struct stream *s,
                        struct expr **out)
{
    size_t task;
    int ret = plan_within(p, x, &task);

    return ret < 0 ? ret
                   : lower_leaf(p, s, (struct stream_leaf){.kind = LEAF_NUMBER, .task = task}, out);
}

static int lower_elementwise(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                             struct expr **out)
{
    struct expr *e = new_node(x->op, x->nargs);
    int ret = 0;

    if (!e)
        return plan_out_of_memory(p);
    e->number = x->number;
    e->rank = x->rank; /* the meaning of a power depends on it (eval.c) */
    for (size_t i = 0; ret == 0 && i < x->nargs; i++)
        ret = lower(p, x->args[i], vol, s, &e->args[i]);
    if (ret < 0)
        expr_free(e);
    else
        *out = e;
    return ret;
}

/* a op b. Takes both over; where `ret` is an error, frees them (either may be NULL) and returns
 * it. */
static int combine(struct planner *p, int ret, enum expr_op op, struct expr *a, struct expr *b,
                   struct expr **out)
{
    struct expr *e = ret == 0 ? new_node(op, 2) : NULL;

    if (!e) {
        expr_free(a);
        expr_free(b);
        return ret < 0 ? ret : plan_out_of_memory(p);
    }
    e->args[0] = a;
    e->args[1] = b;
    *out = e;
    return 0;
}

/* The trend of the segment of detrend's argument that starts at volume vol0. */
static int plan_trend(struct planner *p, const struct expr *detrend, int64_t vol0, int64_t nvol,
                      size_t *task);

/* A leaf: what detrend or demean `x` subtracts at volume `vol`, which a task computes for the whole
 * segment first. */
static int lower_fit(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                     struct expr **out)
{
    struct stream_leaf leaf = {.kind = LEAF_PLANE};
    const struct timeline *segments;
    int64_t start, nvol;
    int ret = plan_timeline(p, x->args[0], &segments);

    if (ret < 0)
        return ret;
    nvol = segments->nvol[timeline_find(segments, vol, &start)];
    if (x->op == EXPR_DETREND) {
        leaf.kind = LEAF_TREND;
        leaf.order = (unsigned)x->number;
        leaf.vol0 = vol - start;
        leaf.fit_nvol = nvol;
        ret = plan_trend(p, x, start, nvol, &leaf.task);
    } else {
        ret = plan_segment_mean(p, x->args[0], start, nvol, &leaf.task);
    }
    return ret < 0 ? ret : lower_leaf(p, s, leaf, out);
}

static int lower_fitted(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    struct expr *inner = NULL, *fit = NULL;
    int ret = lower(p, x->args[0], vol, s, &inner);

    if (x->op == EXPR_DETREND && x->number == 0) { /* nothing to subtract */
        *out = inner;
        return ret;
    }
    if (ret == 0)
        ret = lower_fit(p, x, vol, s, &fit);
    return combine(p, ret, EXPR_SUB, inner, fit, out);
}

/* (x - mean(x)) / std(x), over all runs joined */
static int lower_zscore(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    struct expr *value = NULL, *centre = NULL, *spread = NULL, *centred = NULL;
    size_t mean, std;
    int ret = plan_plane(p, PLAN_MEAN, x->args[0], &mean);

    if (ret == 0)
        ret = plan_plane(p, PLAN_STD, x->args[0], &std);
    if (ret == 0)
        ret = lower(p, x->args[0], vol, s, &value);
    if (ret == 0)
        ret = lower_plane(p, mean, s, &centre);
    if (ret == 0)
        ret = lower_plane(p, std, s, &spread);
    ret = combine(p, ret, EXPR_SUB, value, centre, &centred);
    return combine(p, ret, EXPR_DIV, centred, spread, out);
}

/* A slice or drop: other volumes of the same series. */
static int lower_view(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                      struct expr **out)
{
    const struct timeline *arg;
    int64_t start, end;
    int ret = plan_timeline(p, x->args[0], &arg);

    if (ret < 0)
        return ret;
    if (x->op == EXPR_DROP)
        return lower(p, x->args[0], timeline_undrop(arg, (int64_t)x->number, vol), s, out);
    timeline_slice(x, timeline_nvol(arg), &start, &end);
    return lower(p, x->args[0], start + vol, s, out);
}

static int lower_concat(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    for (size_t i = 0; i < x->nargs; i++) {
        const struct timeline *arg;
        int ret = plan_timeline(p, x->args[i], &arg);

        if (ret < 0)
            return ret;
        if (vol < timeline_nvol(arg))
            return lower(p, x->args[i], vol, s, out);
        vol -= timeline_nvol(arg);
    }
    return error_set(p->err, EINVAL, "volume %" PRId64 " is behind the end", vol);
}

/* Lower `x` at the segment that starts at volume `vol`. */
static int lower(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                 struct expr **out)
{
    *out = NULL;
    switch (expr_op_kind(x->op)) {
    case EXPR_KIND_ELEMENTWISE:
        if (x->rank == EXPR_IMAGE)
            return lower_image(p, x, s, out);
        return lower_elementwise(p, x, vol, s, out);
    case EXPR_KIND_NUMBER:
        return lower_elementwise(p, x, vol, s, out);
    case EXPR_KIND_MOMENTS:
    case EXPR_KIND_PERCENTILES:
    case EXPR_KIND_INDEX:
    case EXPR_KIND_FILE:
    case EXPR_KIND_OTSU:
    case EXPR_KIND_FOUND:
    case EXPR_KIND_COORDINATE:
        return lower_image(p, x, s, out);
    case EXPR_KIND_WITHIN:
        return lower_number(p, x, s, out);
    case EXPR_KIND_BOLD:
        return lower_bold(p, vol, s, out);
    case EXPR_KIND_SLICE:
    case EXPR_KIND_DROP:
        return lower_view(p, x, vol, s, out);
    case EXPR_KIND_CONCAT:
        return lower_concat(p, x, vol, s, out);
    case EXPR_KIND_DETREND:
    case EXPR_KIND_DEMEAN:
        return lower_fitted(p, x, vol, s, out);
    case EXPR_KIND_ZSCORE:
        break;
    }
    return lower_zscore(p, x, vol, s, out);
}

/* Add the stream of volumes [vol0, vol0 + nvol) of x, which lie in one segment. */
static int add_stream(struct planner *p, struct task *t, const struct expr *x, int64_t vol0,
                      int64_t nvol)
{
    struct stream s = {.nvol = nvol};
    int ret =
        GROW(t->streams, t->nstreams) < 0 ? plan_out_of_memory(p) : lower(p, x, vol0, &s, &s.e);

    if (ret < 0)
        stream_clear(&s);
    else
        t->streams[t->nstreams++] = s;
    return ret;
}

/* Add the streams of volumes [from, to) of x, segment by segment; `to` may lie behind its end. */
static int add_streams(struct planner *p, struct task *t, const struct expr *x, int64_t from,
                       int64_t to)
{
    const struct timeline *segments;
    int64_t at = 0;
    int ret = plan_timeline(p, x, &segments);

    for (size_t i = 0; ret == 0 && i < segments->n; i++) {
        int64_t begin = at > from ? at : from;
        int64_t end = at + segments->nvol[i] < to ? at + segments->nvol[i] : to;

        if (begin < end)
            ret = add_stream(p, t, x, begin, end - begin);
        at += segments->nvol[i];
    }
    return ret;
}

/* ---- tasks ---- */

static int plan_trend(struct planner *p, const struct expr *detrend, int64_t vol0, int64_t nvol,
                      size_t *task)
{
    struct task t = {.kind = TASK_TREND, .order = (unsigned)detrend->number};
    int ret;

    if (plan_known(p, PLAN_TREND, detrend, vol0, task))
        return 0;
    t.result_nbytes = (uint64_t)p->nvox * (MOMENTS_NPLANES + t.order) * sizeof(double);
    /* beside the moments; the planes when the buffers for reading are gone */
    t.mem_nbytes = legendre_nbytes(nvol, t.order) + (size_t)t.result_nbytes;
    ret = add_stream(p, &t, detrend->args[0], vol0, nvol);
    ret = plan_finish_stream_task(p, ret, &t, detrend->args[0], task);
    return ret < 0 ? ret : plan_remember(p, PLAN_TREND, detrend, vol0, *task);
}

int plan_segment(struct planner *p, enum expr_op op, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task)
{
    struct task t = {.kind = TASK_MOMENTS,
                     .result_nbytes = (uint64_t)p->nvox * MOMENTS_NPLANES * sizeof(double)};
    int ret;

    if (x->op == EXPR_DETREND && x->number > 0 && op != EXPR_MIN && op != EXPR_MAX)
        return plan_trend(p, x, vol0, nvol, task);
    if (plan_known(p, PLAN_MOMENTS, x, vol0, task)) /* mean(x) and std(x) need the same */
        return 0;
    ret = add_stream(p, &t, x, vol0, nvol);
    ret = plan_finish_stream_task(p, ret, &t, x, task);
    return ret < 0 ? ret : plan_remember(p, PLAN_MOMENTS, x, vol0, *task);
}

/* ---- percentiles ---- */

/* Which percentile an operation of expr_ops.h is. */
#define PERCENT(op, value)                                                                         \
    static double percent_##op(const struct expr *e)                                               \
    {                                                                                              \
        (void)e;                                                                                   \
        return (value);                                                                            \
    }

typedef double percent_fn(const struct expr *e);

PERCENT(MEDIAN, 50)
PERCENT(PERCENTILE, e->number)

#define ROW(kind, op, text, form, masks, number) [EXPR_##op] = percent_##op,

static percent_fn *const percent_fns[EXPR_NOPS] = {EXPR_PERCENTILES(ROW, )};

/* The index of `percent` in the task's list, or where to insert it. */
static size_t place_of(const struct task *t, double percent)
{
    size_t i = 0;

    while (i < t->npercents && t->percents[i] < percent)
        i++;
    return i;
}

static int add_percent(struct planner *p, struct task *t, double percent)
{
    size_t i = place_of(t, percent);

    if (i < t->npercents && t->percents[i] == percent)
        return 0;
    if (GROW(t->percents, t->npercents) < 0)
        return plan_out_of_memory(p);
    memmove(t->percents + i + 1, t->percents + i, (t->npercents - i) * sizeof *t->percents);
    t->percents[i] = percent;
    t->npercents++;
    return 0;
}

/* Add the percentiles of x that image `e` is computed from. */
static int add_percents(struct planner *p, struct task *t, const struct expr *e,
                        const struct expr *x)
{
    int ret = 0;

    if (percent_fns[e->op])
        return expr_equal(e->args[0], x) ? add_percent(p, t, percent_fns[e->op](e)) : 0;
    for (size_t i = 0; ret == 0 && !expr_is_reduction(e->op) && i < e->nargs; i++)
        if (expr_op_kind(e->args[i]->op) != EXPR_KIND_WITHIN) /* which has tasks of its own */
            ret = add_percents(p, t, e->args[i], x);
    return ret;
}

/* Half of the memory is for the time courses of all voxels, or of as many as fit in; then more passes
 * give the rest. Several planes stay to the end, because a result is written in its order. Where they
 * would take more than these, each percentile has passes of its own instead. */
static void plan_room(const struct planner *p, struct task *t)
{
    size_t half = p->q->memory_nbytes / 2, sample_nbytes = 1, all, others, spare;
    bool together = t->npercents > 1 && t->result_nbytes <= half / 2;
    int64_t nvol = 0;

    for (size_t i = 0; i < t->nstreams; i++) {
        const struct stream_leaf *leaf = stream_sample_leaf(&t->streams[i]);
        size_t nbytes = leaf ? leaf->run->nifti.sample_nbytes : sizeof(double);

        sample_nbytes = nbytes > sample_nbytes ? nbytes : sample_nbytes;
        nvol += t->streams[i].nvol;
    }
    all = timecourses_nbytes(sample_nbytes, p->nvox, nvol);
    others = timecourses_own_nbytes(nvol) + (together ? (size_t)t->result_nbytes : 0);
    t->ntogether = together ? t->npercents : 1;
    spare = half > others ? half - others : 0;
    t->room_nvox = timecourses_fit(sample_nbytes, nvol, spare);
    t->room_nvox = t->room_nvox < p->nvox ? t->room_nvox : p->nvox;
    t->room_nbytes = timecourses_nbytes(sample_nbytes, t->room_nvox, nvol);
    if (spare > t->room_nbytes) /* most samples take less */
        t->room_nbytes = spare < all ? spare : all;
    t->mem_nbytes = t->room_nbytes + others;
}

int plan_percentiles(struct planner *p, const struct expr *image, const struct expr *e,
                     size_t *task, size_t *plane)
{
    struct task t = {.kind = TASK_PERCENTILES};
    const struct expr *x = e->args[0];
    int ret = add_percents(p, &t, image, x);

    if (ret == 0)
        ret = add_streams(p, &t, x, 0, INT64_MAX);
    if (t.npercents == 1 && t.percents[0] == 50)
        t.kind = TASK_MEDIAN; /* however it is written */
    t.result_nbytes = (uint64_t)p->nvox * t.npercents * sizeof(double);
    if (ret == 0)
        plan_room(p, &t);
    *plane = place_of(&t, percent_fns[e->op](e));
    return plan_finish_stream_task(p, ret, &t, x, task);
}

/* ---- volumes ---- */

int plan_volume(struct planner *p, const struct expr *index, size_t *task)
{
    struct task t = {.kind = TASK_VOLUME, .result_nbytes = (uint64_t)p->nvox * sizeof(double)};
    const struct expr *x = index->args[0];
    const struct timeline *all;
    int64_t nvol, vol;
    int ret = plan_timeline(p, x, &all);

    if (ret < 0)
        return ret;
    nvol = timeline_nvol(all);
    vol = index->start < 0 ? index->start + nvol : index->start;
    if (vol < 0 || vol >= nvol)
        return error_set(p->err, EINVAL, "there is no volume %" PRId64 ": the series has %" PRId64,
                         index->start, nvol);
    ret = add_stream(p, &t, x, vol, 1);
    return plan_finish_stream_task(p, ret, &t, x, task);
}

int plan_file_volume(struct planner *p, struct run *file, const struct expr *e, size_t *task)
{
    struct task t = {.kind = TASK_VOLUME, .result_nbytes = (uint64_t)p->nvox * sizeof(double)};
    struct stream s = {.nvol = 1};
    int ret =
        GROW(t.streams, t.nstreams) < 0
            ? plan_out_of_memory(p)
            : lower_leaf(p, &s, (struct stream_leaf){.kind = LEAF_SAMPLE, .run = run_get(file)},
                         &s.e);

    if (ret < 0)
        stream_clear(&s);
    else
        t.streams[t.nstreams++] = s;
    return plan_finish_stream_task(p, ret, &t, e, task);
}

int plan_volumes(struct planner *p, enum task_kind kind, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task)
{
    struct task t = {.kind = kind, .result_nbytes = sizeof(uint32_t)};
    int ret = add_streams(p, &t, x, vol0, vol0 + nvol);

    if (kind == TASK_CHUNK)
        t.result_nbytes = (uint64_t)p->nvox * (uint64_t)nvol * sizeof(float);
    return plan_finish_stream_task(p, ret, &t, x, task);
}
