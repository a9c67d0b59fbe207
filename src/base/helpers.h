/* SPDX-License-Identifier: MIT
 *
 * Extra helpers: whoever has a long piece of work offers parts of it to threads that are idle.
 *
 * A job is embedded in what it works on. It is offered, and then either run once by some thread, or
 * taken back by its owner, who can then do the work himself: so nothing ever depends on a helper
 * coming, and nothing can deadlock. That it is done, a job tells its owner itself. It may be
 * offered again once its run has told so, or once it has been taken back.
 * Thread rule: all functions from any thread, also while a job runs; none waits for a job.
 */
#ifndef DERIVFS_HELPERS_H
#define DERIVFS_HELPERS_H

#include <stdbool.h>

enum helper_kind {
    HELPER_PIECE,       /* of the offering thread's work */
    HELPER_CHECKPOINTS, /* what that leaves behind, and can wait: until no task has run for a moment
                       */
};

enum { HELPER_MOMENT_NS = 20000000 };

struct helper_job {
    void (*run)(struct helper_job *job); /* called without locks; the helpers do not touch the job
                                          from this call on, so that it may be freed meanwhile */
    struct helper_job *prev, *next; /* the helpers', while the job is offered; prev is NULL where
                                          it is not */
    enum helper_kind kind;
    const char *helped; /* for people: of a piece the helpers', what the offering thread is
                                  at; else set by who offers, and good until the job has run */
};

struct helper_pool {
    /* An idle thread will run it once, unless it is taken back. */
    void (*offer)(struct helper_pool *helpers, struct helper_job *job);
    /* True: it has not been started, and never will be. */
    bool (*take_back)(struct helper_pool *helpers, struct helper_job *job);
    /* Threads that have nothing to do now, those that help somebody already included. */
    unsigned (*idle)(struct helper_pool *helpers);
};

#endif
