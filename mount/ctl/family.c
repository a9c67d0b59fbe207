/* SPDX-License-Identifier: MIT
 *
 * The kernel lists the children of a thread in /proc. A process may fork while the list is read, so
 * it is read again until nobody is in it.
 */
#include "family.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "monotonic.h"

int family_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ? 0 : -errno;
}

/* Send `sig` (0: nothing) to each child but `except`. Returns the first of them; 0: none. */
static pid_t signal_children(pid_t except, int sig)
{
    FILE *f = fopen("/proc/thread-self/children", "re");
    pid_t first = 0;
    int pid;

    while (f && fscanf(f, "%d", &pid) == 1) {
        if (pid == except)
            continue;
        if (first == 0)
            first = pid;
        kill(pid, sig);
    }
    if (f)
        fclose(f);
    return first;
}

pid_t family_first(void)
{
    return signal_children(0, 0);
}

void family_reap(struct family *f)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == f->main) {
            f->main_ended = true;
            f->main_status = status;
        }
        if (pid == f->server)
            f->server_ended = true;
    }
}

/* End all children but `except`. */
static void end_children(struct family *f, pid_t except, int64_t patience_s)
{
    const struct timespec step = {.tv_nsec = 50000000};
    int64_t end = monotonic_ns() + patience_s * 1000000000;
    int sig = SIGTERM;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (;;) {
        family_reap(f);
        if (signal_children(except, sig) == 0)
            return;
        sigtimedwait(&set, NULL, &step);
        sig = monotonic_ns() < end ? 0 : SIGKILL;
    }
}

void family_end(struct family *f)
{
    enum { PATIENCE_S = 2, SERVER_PATIENCE_S = 40 }; /* the daemon gives itself 30 s */

    if (f->server && !f->server_ended)
        end_children(f, f->server, PATIENCE_S);
    end_children(f, 0, f->server ? SERVER_PATIENCE_S : PATIENCE_S);
}
