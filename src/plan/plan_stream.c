/* SPDX-License-Identifier: MIT
 *
 * Tasks over streams: the reads of a series that come before the evaluation of an image.
 *
 * mean, std, var and sum over detrend(x) need no second pass: the trend task gives them.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "grow.h"
#include "kernel.h"
#include "plan_private.h"

int plan_trend(struct planner *p, const struct expr *detrend, int64_t vol0, int64_t nvol,
               size_t *task)
{
    struct task t = {.kind = TASK_TREND, .order = (unsigned)detrend->number};
    int ret;

    if (plan_known(p, PLAN_TREND, detrend, vol0, task))
        return 0;
    t.result_nbytes = (uint64_t)p->nvox * (MOMENTS_NPLANES + t.order) * sizeof(double);
    /* the moments' accumulators, the first volume, one sum for each polynomial; and in the end the
     * planes, when the buffers for reading are gone */
    t.mem_nbytes = moments_nbytes(SAMPLE_FLOAT64, p->nvox) +
                   p->nvox * (MOMENTS_NPLANES + 1 + t.order) * sizeof(double);
    ret = plan_add_stream(p, &t, detrend->args[0], vol0, nvol);
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
    ret = plan_add_stream(p, &t, x, vol0, nvol);
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
        ret = add_percents(p, t, e->args[i], x);
    return ret;
}

/* All volumes of as many voxels as fit into half of the memory, and their results; more passes if
 * these are few. Several planes stay to the end, because a result is written in its order. Where
 * they would take more than the values, each percentile has passes of its own instead. */
static void plan_room(const struct planner *p, struct task *t)
{
    size_t half = p->q->memory_nbytes / 2, column = sizeof(double), most;
    bool together = t->npercents > 1 && t->result_nbytes <= half / 2;
    size_t planes = together ? (size_t)t->result_nbytes : 0;

    for (size_t i = 0; i < t->nstreams; i++)
        column += (size_t)t->streams[i].nvol * sizeof(double);
    most = (half - planes) / column;
    t->ntogether = together ? t->npercents : 1;
    t->room_nvox = most < 1 ? 1 : most < p->nvox ? most : p->nvox;
    t->mem_nbytes = t->room_nvox * column + planes;
}

int plan_percentiles(struct planner *p, const struct expr *image, const struct expr *e,
                     size_t *task, size_t *plane)
{
    struct task t = {.kind = TASK_PERCENTILES};
    const struct expr *x = e->args[0];
    int ret = add_percents(p, &t, image, x);

    if (ret == 0)
        ret = plan_add_streams(p, &t, x, 0, INT64_MAX);
    if (t.npercents == 1 && t.percents[0] == 50)
        t.kind = TASK_MEDIAN; /* however it is written */
    t.result_nbytes = (uint64_t)p->nvox * t.npercents * sizeof(double);
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
    ret = plan_add_stream(p, &t, x, vol, 1);
    return plan_finish_stream_task(p, ret, &t, x, task);
}

int plan_volumes(struct planner *p, enum task_kind kind, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task)
{
    struct task t = {.kind = kind, .result_nbytes = sizeof(uint32_t)};
    int ret = plan_add_streams(p, &t, x, vol0, vol0 + nvol);

    if (kind == TASK_CHUNK)
        t.result_nbytes = (uint64_t)p->nvox * (uint64_t)nvol * sizeof(float);
    return plan_finish_stream_task(p, ret, &t, x, task);
}
