/* SPDX-License-Identifier: MIT
 *
 * What an interrupted caller wants. The kernel interrupts a request for any signal, also for those
 * that only stop the caller or run a handler, and for a debugger that attaches. It does so once for
 * a request, and lets nothing but an answer end the caller's wait afterwards.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_WISH_H
#define DERIVFS_WISH_H

#include <sys/types.h>

enum caller_wish {
    CALLER_WAITS, /* a timer, Ctrl-Z, a debugger: no program expects EINTR from a file for these */
    CALLER_RETURNS, /* it handles a signal that asks it to end, or cannot be looked at */
    CALLER_DIES,    /* a signal ends it */
};

/* By the pending signals of the thread `tid`; 0: a thread of another namespace. */
enum caller_wish caller_wish(pid_t tid);

/* The same from the text of its /proc/TID/status. */
enum caller_wish caller_wish_of(const char *status);

#endif
