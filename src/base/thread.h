/* SPDX-License-Identifier: MIT
 *
 * Threads that block all signals, which the threads of the embedding program handle; and cancel
 * tokens, which long work checks now and then. Thread rule: any thread, `asked` included.
 */
#ifndef DERIVFS_THREAD_H
#define DERIVFS_THREAD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

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

struct cancel_token {
    bool (*asked)(void *ctx); /* should the work be cancelled? */
    void *ctx;
};

/* ECANCELED if the work should be cancelled; NULL: never. */
static inline int cancel_check(const struct cancel_token *cancel, struct error *err)
{
    return cancel && cancel->asked(cancel->ctx) ? error_set(err, ECANCELED, "cancelled") : 0;
}

#endif
