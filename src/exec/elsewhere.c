/* SPDX-License-Identifier: MIT
 *
 * A task that another node does.
 */
#include "elsewhere.h"

#include <errno.h>

#include "cluster.h"

static bool is_cancelled(const void *ctl)
{
    return task_cancelled(ctl);
}

static void note_progress(const void *ctl, uint64_t done_nbytes)
{
    task_progress(ctl, done_nbytes);
}

int elsewhere_task(void *ctx, const struct graph *g, const struct task *t,
                   struct blob *const *inputs, const struct task_control *ctl, struct blob **out,
                   struct error *err)
{
    struct cluster_order order = {.key = t->key.hex,
                                  .path = t->elsewhere->path,
                                  .name_at = t->elsewhere->name_at,
                                  .off = t->elsewhere->off,
                                  .work_nbytes = t->work_nbytes};
    struct cluster_waiter waiter = {
        .cancelled = is_cancelled, .progress = note_progress, .ctx = ctl};
    int ret = cluster_wait_for(ctx, &order, &waiter, err);

    (void)g;
    (void)inputs;
    if (ret < 0)
        return ret;
    *out = blob_from_memory(NULL, 0, NULL);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", t->label);
}
