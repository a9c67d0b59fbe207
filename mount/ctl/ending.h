/* SPDX-License-Identifier: MIT
 *
 * Lets a loop of derivctl end on SIGINT, SIGTERM and SIGHUP and tidy up. Ignored signals (nohup)
 * stay ignored. Thread rule: one thread.
 */
#ifndef DERIVFS_ENDING_H
#define DERIVFS_ENDING_H

#include <signal.h>

enum { ENDING_NSIGNALS = 3 };

struct ending {
    struct sigaction before[ENDING_NSIGNALS];
};

void ending_catch(struct ending *e);
int ending_signal(void); /* the signal received; 0: none */
void ending_release(struct ending *e);

/* End the process by the signal; 0: return. */
void ending_raise(int sig);

#endif
