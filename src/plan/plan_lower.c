/* SPDX-License-Identifier: MIT
 *
 * Bringing a series down, segment by segment, to a stream (stream.h).
 *
 *     zscore(bold[..., 4:]) at the start of run 1     (#0 - #1) / #2     #0: run 1 from volume 4 on
 *
 * Views of time (slices, drop, concat) disappear into which volume of which run is read,
 * elementwise steps stay, and what needs a pass of its own first (the image in bold - mean(bold),
 * the fit of detrend) becomes a task that the stream's task depends on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "plan_private.h"

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

/* A node that stands for a leaf. */
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
    int ret = plan_plane(p, x, &task);

    return ret < 0 ? ret : lower_plane(p, task, s, out);
}

static int lower_elementwise(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                             struct expr **out)
{
    struct expr *e = new_node(x->op, x->nargs);
    int ret = e ? 0 : plan_out_of_memory(p);

    if (e) {
        e->number = x->number;
        e->rank = x->rank; /* what a power means depends on it (eval.c) */
    }
    for (size_t i = 0; ret == 0 && i < x->nargs; i++)
        /* e is not NULL where ret is 0. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
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
        return plan_out_of_memory(p);
    }
    (*out)->args[0] = a;
    (*out)->args[1] = b;
    return 0;
}

/* A leaf that is what detrend or demean `x` takes off, at volume `vol`: something that a task finds
 * for the whole segment first. */
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

    if (x->op == EXPR_DETREND && x->number == 0) { /* there is nothing to take off */
        *out = inner;
        return ret;
    }
    if (ret == 0)
        ret = lower_fit(p, x, vol, s, &fit);
    if (ret < 0) {
        expr_free(inner);
        return ret;
    }
    return combine(p, EXPR_SUB, inner, fit, out);
}

/* (x - mean(x)) / std(x), over all runs joined */
static int lower_zscore(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                        struct expr **out)
{
    struct expr *value = NULL, *centre = NULL, *spread = NULL;
    size_t mean, std;
    int ret = plan_reduced(p, PLAN_MEAN, x->args[0], &mean);

    if (ret == 0)
        ret = plan_reduced(p, PLAN_STD, x->args[0], &std);
    if (ret == 0)
        ret = lower(p, x->args[0], vol, s, &value);
    if (ret == 0)
        ret = lower_plane(p, mean, s, &centre);
    if (ret == 0)
        ret = lower_plane(p, std, s, &spread);
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

static int lower_slice(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                       struct expr **out)
{
    const struct timeline *arg;
    int64_t start, stop;
    int ret = plan_timeline(p, x->args[0], &arg);

    if (ret < 0)
        return ret;
    timeline_slice(x, timeline_nvol(arg), &start, &stop);
    return lower(p, x->args[0], start + vol, s, out);
}

static int lower_drop(struct planner *p, const struct expr *x, int64_t vol, struct stream *s,
                      struct expr **out)
{
    const struct timeline *arg;
    int ret = plan_timeline(p, x->args[0], &arg);

    if (ret < 0)
        return ret;
    return lower(p, x->args[0], timeline_undrop(arg, (int64_t)x->number, vol), s, out);
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

/* Bring `x` down at the segment that starts at volume `vol`. */
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
        return lower_image(p, x, s, out);
    case EXPR_KIND_BOLD:
        return lower_bold(p, vol, s, out);
    case EXPR_KIND_SLICE:
        return lower_slice(p, x, vol, s, out);
    case EXPR_KIND_DROP:
        return lower_drop(p, x, vol, s, out);
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

int plan_add_stream(struct planner *p, struct task *t, const struct expr *x, int64_t vol0,
                    int64_t nvol)
{
    struct stream *grown = realloc(t->streams, (t->nstreams + 1) * sizeof *grown);
    int ret;

    if (!grown)
        return plan_out_of_memory(p);
    t->streams = grown;
    ret = make_stream(p, x, vol0, nvol, &t->streams[t->nstreams]);
    if (ret == 0)
        t->nstreams++;
    return ret;
}

int plan_add_streams(struct planner *p, struct task *t, const struct expr *x, int64_t from,
                     int64_t to)
{
    const struct timeline *segments;
    int64_t at = 0;
    int ret = plan_timeline(p, x, &segments);

    for (size_t i = 0; ret == 0 && i < segments->n; i++) {
        int64_t begin = at > from ? at : from;
        int64_t end = at + segments->nvol[i] < to ? at + segments->nvol[i] : to;

        if (begin < end)
            ret = plan_add_stream(p, t, x, begin, end - begin);
        at += segments->nvol[i];
    }
    return ret;
}
