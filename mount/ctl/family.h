/* SPDX-License-Identifier: MIT
 *
 * The processes below this one, of which one is waited for. Once family_adopt() was called, a process
 * whose parent has ended becomes a child of the caller (PR_SET_CHILD_SUBREAPER), so that none can
 * leave. Thread rule: one thread; SIGCHLD is blocked.
 */
#ifndef DERIVFS_FAMILY_H
#define DERIVFS_FAMILY_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

struct family {
    pid_t main;   /* the one that is waited for; 0: none yet */
    pid_t server; /* what the others need, and so ends last; 0: none */
    bool main_ended, server_ended;
    int main_status; /* as of waitpid(2) */
};

int family_adopt(void) NODISCARD; /* 0 or -errno */

/* The first child of this process; 0: none, or /proc is not mounted. */
pid_t family_first(void) NODISCARD;

/* Note who has ended. */
void family_reap(struct family *f);

/* End all: SIGTERM to all but the server, SIGKILL after some seconds, and then the same for the
 * server, which has more time. Returns when none is left. */
void family_end(struct family *f);

#endif
