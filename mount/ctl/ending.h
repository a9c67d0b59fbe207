/* SPDX-License-Identifier: MIT
 *
 * SIGINT, SIGTERM and SIGHUP as a wish that a loop of derivctl ends, so that it can tidy up first.
 * Signals that were ignored before (nohup) stay ignored. Thread rule: one thread.
 */
#ifndef DERIVFS_ENDING_H
#define DERIVFS_ENDING_H

#include <signal.h>

enum { ENDING_NSIGNALS = 3 };

struct ending {
    struct sigaction before[ENDING_NSIGNALS];
};

void ending_catch(struct ending *e);
int ending_signal(void); /* the signal that came, 0: none */
void ending_release(struct ending *e);

/* End the process as the signal would have; 0 is allowed, and returns. */
void ending_raise(int sig);

#endif
