/* SPDX-License-Identifier: MIT
 *
 * The handler stores the signal. It interrupts the call that the loop waits in (no SA_RESTART), and
 * the loop then checks ending_signal().
 */
#include "ending.h"

#include <stdio.h>

static const int signals[ENDING_NSIGNALS] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t came;

static void note_signal(int sig)
{
    came = sig;
}

void ending_catch(struct ending *e)
{
    struct sigaction note = {.sa_handler = note_signal};

    for (int i = 0; i < ENDING_NSIGNALS; i++)
        if (sigaction(signals[i], NULL, &e->before[i]) == 0 && e->before[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &note, NULL);
}

int ending_signal(void)
{
    return came;
}

void ending_release(struct ending *e)
{
    for (int i = 0; i < ENDING_NSIGNALS; i++)
        sigaction(signals[i], &e->before[i], NULL);
}

void ending_raise(int sig)
{
    if (!sig)
        return;
    fflush(stdout);
    signal(sig, SIG_DFL);
    raise(sig);
}
