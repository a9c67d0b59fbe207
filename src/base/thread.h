/* SPDX-License-Identifier: MIT
 *
 * Threads that block all signals, which the threads of the embedding program handle. Thread rule:
 * any thread.
 */
#ifndef DERIVFS_THREAD_H
#define DERIVFS_THREAD_H

#include <pthread.h>
#include <signal.h>

#include "error.h"

/* As pthread_create(3) with default attributes: 0, or a positive errno. */
static inline NODISCARD int thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

#endif
