/* SPDX-License-Identifier: MIT
 *
 * The trace: which worker ran which task, or piece of one, when; the latest TRACE_NEVENTS of them.
 *
 * Its JSON is the Trace Event Format of Chrome, which https://ui.perfetto.dev opens: one complete
 * event a task, one line a worker. Thread rule: any thread; one lock inside.
 */
#ifndef DERIVFS_TRACE_H
#define DERIVFS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "key.h"

enum { TRACE_NEVENTS = 4096, TRACE_NAME_MAX = 160 };

enum trace_outcome { TRACE_DONE, TRACE_FAILED, TRACE_CANCELLED };

struct trace_event {
    char name[TRACE_NAME_MAX];    /* of the task; cut if longer */
    struct key key;               /* empty for a piece */
    bool helping;                 /* a piece of a task that another worker ran */
    unsigned thread;              /* worker index */
    int64_t start_ns, stop_ns;    /* by trace_now() */
    uint64_t read_nbytes, nbytes; /* stored bytes to read; size of the result */
    enum trace_outcome outcome;
};

struct trace;

/* Room for `nevents`, at least one. `clock_ns` is monotonic; NULL: CLOCK_MONOTONIC. NULL: out of
 * memory. */
struct trace *trace_new(size_t nevents, int64_t (*clock_ns)(void)) NODISCARD;
void trace_free(struct trace *t); /* NULL is allowed */

int64_t trace_now(const struct trace *t);

/* Keep a copy; the oldest event goes where there is no room. */
void trace_add(struct trace *t, const struct trace_event *e);

/* The latest event of the task of `key`; false where none is kept. *longest_ns is how long it has
 * taken at the most: a task whose result is in the cache runs again in no time. */
bool trace_find(struct trace *t, const struct key *key, struct trace_event *out,
                int64_t *longest_ns);

/* All that is kept, the oldest first, after the names of the process and of `nthreads` workers.
 * Times count from trace_new() on, in whole microseconds, rounded so that what did not overlap
 * does not. Always valid JSON, whatever the names are. malloced; NULL: out of memory. */
char *trace_json(struct trace *t, const char *process, unsigned nthreads) NODISCARD;

#endif
