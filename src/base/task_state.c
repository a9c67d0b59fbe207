/* SPDX-License-Identifier: MIT */
#include "task_state.h"

const char *task_state_name(enum task_state state)
{
    switch (state) {
    case TASK_TO_DO:
        return "to do";
    case TASK_QUEUED:
        return "queued";
    case TASK_RUNNING:
        return "running";
    case TASK_CACHED:
        return "cached";
    case TASK_FAILED:
        break;
    }
    return "failed";
}
