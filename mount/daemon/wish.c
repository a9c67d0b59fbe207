/* SPDX-License-Identifier: MIT
 *
 * Reads /proc/TID/status, as proc(5) describes it.
 */
#include "wish.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

static uint64_t bit(int sig)
{
    return UINT64_C(1) << (sig - 1);
}

/* The set of signals in the line `name`; *found tells whether there is one. */
static uint64_t signals_of(const char *status, const char *name, int *found)
{
    const char *at = strstr(status, name);

    *found += at != NULL;
    return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

enum caller_wish caller_wish_of(const char *status)
{
    /* signals that end nothing, where no handler is set */
    uint64_t harmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGSTOP) |
                        bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
    uint64_t ending = bit(SIGHUP) | bit(SIGINT) | bit(SIGQUIT) | bit(SIGTERM);
    int found = 0;
    uint64_t pending = signals_of(status, "\nSigPnd:", &found);
    uint64_t handled, dropped;

    pending |= signals_of(status, "\nShdPnd:", &found);
    dropped = signals_of(status, "\nSigBlk:", &found);
    dropped |= signals_of(status, "\nSigIgn:", &found);
    handled = signals_of(status, "\nSigCgt:", &found);
    if (found < 5)
        return CALLER_RETURNS;
    pending &= ~dropped;
    if (pending & ~handled & ~harmless)
        return CALLER_DIES;
    return pending & handled & ending ? CALLER_RETURNS : CALLER_WAITS;
}

enum caller_wish caller_wish(pid_t tid)
{
    char path[64], status[8192];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    fd = tid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        n = fd_read(fd, status, sizeof status - 1);
        close(fd);
    }
    if (n < 0)
        return CALLER_RETURNS;
    status[n] = '\0';
    return caller_wish_of(status);
}
