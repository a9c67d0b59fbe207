/* SPDX-License-Identifier: MIT
 *
 * Tasks over streams: what of a series has to be read before an image can be evaluated.
 *
 * mean, std, var and sum over detrend(x) need no second pass: the trend task has them by itself.
 */
#include <errno.h>
#include <inttypes.h>

#include "kernel.h"
#include "plan_private.h"

static int plan_moments(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                        size_t *task)
{
    struct task t = {.kind = TASK_MOMENTS};
    int ret = plan_add_stream(p, &t, x, vol0, nvol);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * MOMENTS_NPLANES * sizeof(double);
    t.mem_nbytes = moments_nbytes(stream_sample_type(t.streams), p->nvox);
    return plan_finish_stream_task(p, &t, x, task);
}

int plan_trend(struct planner *p, const struct expr *detrend, int64_t vol0, int64_t nvol,
               size_t *task)
{
    struct task t = {.kind = TASK_TREND, .order = (unsigned)detrend->number};
    int ret;

    if (plan_known(p, PLAN_TREND, detrend, vol0, task))
        return 0;
    ret = plan_add_stream(p, &t, detrend->args[0], vol0, nvol);
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * (MOMENTS_NPLANES + t.order) * sizeof(double);
    /* the moments' accumulators, the first volume, one sum for each polynomial; and in the end the
     * planes, when the buffers for reading are gone */
    t.mem_nbytes = moments_nbytes(SAMPLE_FLOAT64, p->nvox) +
                   p->nvox * (MOMENTS_NPLANES + 1 + t.order) * sizeof(double);
    ret = plan_finish_stream_task(p, &t, detrend->args[0], task);
    return ret < 0 ? ret : plan_remember(p, PLAN_TREND, detrend, vol0, *task);
}

int plan_segment(struct planner *p, enum expr_op op, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task)
{
    if (x->op == EXPR_DETREND && x->number > 0 && op != EXPR_MIN && op != EXPR_MAX)
        return plan_trend(p, x, vol0, nvol, task);
    if (plan_known(p, PLAN_MOMENTS, x, vol0, task)) /* mean(x) and std(x) want the same */
        return 0;
    int ret = plan_moments(p, x, vol0, nvol, task);

    return ret < 0 ? ret : plan_remember(p, PLAN_MOMENTS, x, vol0, *task);
}

int plan_median(struct planner *p, const struct expr *x, size_t *task)
{
    struct task t = {.kind = TASK_MEDIAN};
    const struct timeline *all;
    size_t column, most;
    int ret = plan_timeline(p, x, &all);

    if (ret < 0)
        return ret;
    ret = plan_add_streams(p, &t, x, 0, timeline_nvol(all));
    /* all volumes of as many voxels as fit into half of the memory; more passes if that is few */
    column = (size_t)(timeline_nvol(all) + 1) * sizeof(double);
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    most = p->q->memory_nbytes / 2 / column;
    t.room_nvox = most < 1 ? 1 : most < p->nvox ? most : p->nvox;
    t.mem_nbytes = t.room_nvox * column;
    t.result_nbytes = (uint64_t)p->nvox * sizeof(double);
    return plan_finish_stream_task(p, &t, x, task);
}

int plan_volume(struct planner *p, const struct expr *index, size_t *task)
{
    struct task t = {.kind = TASK_VOLUME};
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
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * sizeof(double);
    return plan_finish_stream_task(p, &t, x, task);
}

int plan_chunk(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol, size_t *task)
{
    struct task t = {.kind = TASK_CHUNK};
    int ret = plan_add_streams(p, &t, x, vol0, vol0 + nvol);

    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    t.result_nbytes = (uint64_t)p->nvox * (uint64_t)nvol * sizeof(float);
    return plan_finish_stream_task(p, &t, x, task);
}

int plan_checksum(struct planner *p, const struct expr *x, size_t *task)
{
    struct task t = {.kind = TASK_CHECKSUM, .result_nbytes = sizeof(uint32_t)};
    const struct timeline *all;
    int ret = plan_timeline(p, x, &all);

    if (ret < 0)
        return ret;
    ret = plan_add_streams(p, &t, x, 0, timeline_nvol(all));
    if (ret < 0) {
        task_clear(&t);
        return ret;
    }
    return plan_finish_stream_task(p, &t, x, task);
}
