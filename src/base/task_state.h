/* SPDX-License-Identifier: MIT
 *
 * The state of one task, as drawings and explanations show it.
 * Thread rule: plain data and a pure function.
 */
#ifndef DERIVFS_TASK_STATE_H
#define DERIVFS_TASK_STATE_H

#include <stdint.h>

#include "key.h"

enum task_state { TASK_TO_DO, TASK_QUEUED, TASK_RUNNING, TASK_CACHED, TASK_FAILED };

struct task_status {
    enum task_state state;
    double percent;  /* TASK_RUNNING: of its work; below 0: unknown */
    int64_t took_ns; /* how long its last computation took; 0: unknown */
};

/* Put the state of the task called `key` into *out. */
typedef void task_status_fn(void *ctx, const struct key *key, struct task_status *out);

static inline const char *task_state_name(enum task_state state)
{
    static const char *const names[] = {"to do", "queued", "running", "cached", "failed"};

    return names[state];
}

#endif
