/* SPDX-License-Identifier: MIT
 *
 * Helper threads: a thread with long work offers parts of it to idle threads.
 *
 * A job is embedded in its work. Its owner offers it; then a helper runs it once, or the owner
 * takes it back and does the work itself. So nothing depends on a helper, and nothing can deadlock.
 * The job itself notifies its owner when it is done. It may be offered again after that, or after
 * it was taken back. Thread rule: all functions from any thread, also while a job runs; none waits
 * for a job.
 */
#ifndef DERIVFS_HELPERS_H
#define DERIVFS_HELPERS_H

#include <stdbool.h>

enum helper_kind {
    HELPER_PIECE, /* a part of the offering thread's work */
    HELPER_LATER, /* not urgent: waits until no task has run for HELPER_MOMENT_NS */
};

enum { HELPER_MOMENT_NS = 20000000 };

struct helper_job {
    void (*run)(struct helper_job *job); /* called without locks; the pool does not use the job
                                            after the call, so run() may free it */
    struct helper_job *prev, *next;      /* the pool's; prev is NULL unless offered */
    enum helper_kind kind;
    /* To show: "WHAT of HELPED". The pool sets them for a piece, the offering thread for others,
     * valid until the job has run. */
    const char *what, *helped;
};

struct helper_pool {
    /* An idle thread runs it once, unless it is taken back. */
    void (*offer)(struct helper_pool *helpers, struct helper_job *job);
    /* True: it was not started, and never will be. */
    bool (*take_back)(struct helper_pool *helpers, struct helper_job *job);
    /* The number of threads without a task, those that run a job included. */
    unsigned (*idle)(struct helper_pool *helpers);
};

#endif
