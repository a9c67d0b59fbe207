/* SPDX-License-Identifier: MIT
 *
 * Going to the background: the program returns to its caller when the mount works, with status 0,
 * or with the reason why it does not.
 * Thread rule: before any thread starts.
 */
#ifndef DERIVFS_BACKGROUND_H
#define DERIVFS_BACKGROUND_H

#include "error.h"

struct background {
    int ready_fd; /* -1: in the foreground */
};

/* Fork, and return in the child, which keeps its output. The parent exits when the child is ready
 * and `mountpoint` answers, or when the child has ended, with its status. */
int background_enter(const char *mountpoint, struct background *out, struct error *err) NODISCARD;
/* The child serves now: let go of its output, and of the parent. */
void background_ready(struct background *b);

#endif
