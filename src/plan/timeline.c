/* SPDX-License-Identifier: MIT
 *
 * Segments by structural recursion over the expression.
 */
#include "timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "grow.h"

static int append(struct timeline *t, int64_t nvol, struct error *err)
{
    if (nvol <= 0)
        return 0;
    if (GROW(t->nvol, t->n) < 0)
        return error_set(err, ENOMEM, "out of memory");
    t->nvol[t->n++] = nvol;
    return 0;
}

void timeline_free(struct timeline *t)
{
    free(t->nvol);
    *t = (struct timeline){NULL, 0};
}

int64_t timeline_nvol(const struct timeline *t)
{
    int64_t sum = 0;

    for (size_t i = 0; i < t->n; i++)
        sum += t->nvol[i];
    return sum;
}

size_t timeline_find(const struct timeline *t, int64_t vol, int64_t *start)
{
    size_t i = 0;

    *start = 0;
    while (i + 1 < t->n && vol >= *start + t->nvol[i])
        *start += t->nvol[i++];
    return i;
}

static int64_t clamp_index(int64_t i, int64_t nvol)
{
    if (i < 0)
        i += nvol;
    return i < 0 ? 0 : i > nvol ? nvol : i;
}

void timeline_slice(const struct expr *slice, int64_t nvol, int64_t *start, int64_t *end)
{
    *start = slice->has_start ? clamp_index(slice->start, nvol) : 0;
    *end = slice->has_stop ? clamp_index(slice->stop, nvol) : nvol;
}

int64_t timeline_undrop(const struct timeline *x, int64_t n, int64_t vol)
{
    int64_t start = 0;

    for (size_t i = 0; i < x->n; i++) {
        int64_t left = x->nvol[i] > n ? x->nvol[i] - n : 0;

        if (vol < left)
            return start + n + vol;
        vol -= left;
        start += x->nvol[i];
    }
    return start;
}

/* Two series side by side: cut wherever either is cut. */
static int refine(struct timeline *a, const struct timeline *b, struct error *err)
{
    struct timeline both = {NULL, 0};
    size_t i = 0, k = 0;
    int64_t left_a = a->nvol[0], left_b = b->nvol[0];
    int ret = 0;

    while (ret == 0 && i < a->n) {
        int64_t step = left_a < left_b ? left_a : left_b;

        ret = append(&both, step, err);
        left_a -= step;
        left_b -= step;
        if (left_a == 0 && ++i < a->n)
            left_a = a->nvol[i];
        if (left_b == 0 && ++k < b->n)
            left_b = b->nvol[k];
    }
    timeline_free(a);
    *a = both;
    return ret;
}

static int of_elementwise(const struct expr *x, const struct joined_runs *bold,
                          struct timeline *out, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < x->nargs && ret == 0; i++) {
        struct timeline arg;

        if (x->args[i]->rank != EXPR_SERIES)
            continue;
        ret = timeline_of(x->args[i], bold, &arg, err);
        if (ret == 0 && out->n == 0) {
            *out = arg;
            continue;
        }
        if (ret == 0 && timeline_nvol(out) != timeline_nvol(&arg))
            ret = error_set(err, EINVAL,
                            "series of %" PRId64 " and %" PRId64 " volumes cannot be combined",
                            timeline_nvol(out), timeline_nvol(&arg));
        if (ret == 0)
            ret = refine(out, &arg, err);
        timeline_free(&arg);
    }
    return ret;
}

/* drop(x, n), concat(...): the segments of all arguments, each without its first n volumes, none of
 * concat. */
static int of_segments(const struct expr *x, const struct joined_runs *bold, struct timeline *out,
                       struct error *err)
{
    int64_t n = x->op == EXPR_DROP ? (int64_t)x->number : 0;
    int ret = 0;

    for (size_t i = 0; i < x->nargs && ret == 0; i++) {
        struct timeline arg;

        ret = timeline_of(x->args[i], bold, &arg, err);
        for (size_t k = 0; k < arg.n && ret == 0; k++)
            ret = append(out, arg.nvol[k] - n, err);
        timeline_free(&arg);
    }
    return ret;
}

static int of_slice(const struct expr *x, const struct joined_runs *bold, struct timeline *out,
                    struct error *err)
{
    struct timeline arg;
    int64_t start, end, at = 0;
    int ret = timeline_of(x->args[0], bold, &arg, err);

    timeline_slice(x, timeline_nvol(&arg), &start, &end);
    for (size_t i = 0; i < arg.n && ret == 0; i++) {
        int64_t from = at > start ? at : start;

        at += arg.nvol[i];
        ret = append(out, (at < end ? at : end) - from, err);
    }
    timeline_free(&arg);
    return ret;
}

int timeline_of(const struct expr *x, const struct joined_runs *bold, struct timeline *out,
                struct error *err)
{
    int ret = 0;

    *out = (struct timeline){NULL, 0};
    switch (expr_op_kind(x->op)) {
    case EXPR_KIND_BOLD:
        for (size_t i = 0; i < bold->nruns && ret == 0; i++)
            ret = append(out, bold->runs[i]->nifti.nvol, err);
        break;
    case EXPR_KIND_ELEMENTWISE:
        ret = of_elementwise(x, bold, out, err);
        break;
    case EXPR_KIND_SLICE:
        ret = of_slice(x, bold, out, err);
        break;
    case EXPR_KIND_DROP:
    case EXPR_KIND_CONCAT:
        ret = of_segments(x, bold, out, err);
        break;
    case EXPR_KIND_DETREND:
    case EXPR_KIND_DEMEAN:
    case EXPR_KIND_ZSCORE:
        return timeline_of(x->args[0], bold, out, err);
    case EXPR_KIND_NUMBER: /* no series */
    case EXPR_KIND_FILE:
    case EXPR_KIND_WITHIN:
    case EXPR_KIND_OTSU:
    case EXPR_KIND_FOUND:
    case EXPR_KIND_COORDINATE:
    case EXPR_KIND_MOMENTS:
    case EXPR_KIND_PERCENTILES:
    case EXPR_KIND_INDEX:
        break;
    }
    if (ret == 0 && out->n == 0) {
        char *text = expr_print(x);

        ret = error_set(err, EINVAL, "%s has no volumes here", text ? text : "the series");
        free(text);
    }
    if (ret < 0)
        timeline_free(out);
    return ret;
}
