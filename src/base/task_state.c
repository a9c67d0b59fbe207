/* SPDX-License-Identifier: MIT */
#include "task_state.h"

const char *task_state_name(enum task_state state)
{
    static const char *const names[] = {
        [TASK_TO_DO] = "to do",   [TASK_QUEUED] = "queued", [TASK_RUNNING] = "running",
        [TASK_CACHED] = "cached", [TASK_FAILED] = "failed",
    };

    return names[state];
}
