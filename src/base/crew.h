/* SPDX-License-Identifier: MIT
 *
 * Extra hands: whoever has a long piece of work offers parts of it to threads that are idle.
 *
 * A job is embedded in what it works on. It is offered, and then either run once by some thread, or
 * taken back by its owner, who can then do the work himself: so nothing ever depends on a hand
 * coming, and nothing can deadlock. That it is done, a job tells its owner itself. It may be
 * offered again once its run has told so, or once it has been taken back.
 * Thread rule: all functions from any thread, also while a job runs; none waits for a job.
 */
#ifndef DERIVFS_CREW_H
#define DERIVFS_CREW_H

#include <stdbool.h>

enum crew_kind {
    CREW_PIECE,       /* of the offering thread's work */
    CREW_CHECKPOINTS, /* what that leaves behind, and can wait: until no task has run for a moment
                       */
};

enum { CREW_MOMENT_NS = 20000000 };

struct crew_job {
    void (*run)(struct crew_job *job); /* called without locks; the crew does not touch the job
                                          from this call on, so that it may be freed meanwhile */
    struct crew_job *prev, *next;      /* the crew's, while the job is offered; prev is NULL where
                                          it is not */
    enum crew_kind kind;
    const char *helped; /* for people: of a piece the crew's, what the offering thread is
                                  at; else set by who offers, and good until the job has run */
};

struct crew {
    /* An idle thread will run it once, unless it is taken back. */
    void (*offer)(struct crew *crew, struct crew_job *job);
    /* True: it has not been started, and never will be. */
    bool (*take_back)(struct crew *crew, struct crew_job *job);
    /* Threads that have nothing to do now, those that help somebody already included. */
    unsigned (*idle)(struct crew *crew);
};

#endif
