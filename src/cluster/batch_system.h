/* SPDX-License-Identifier: MIT
 *
 * Batch systems: three commands that submit, poll and cancel an array of jobs.
 *
 * Each command is run by /bin/sh, with these variables:
 *
 *     JOBDIR      the job's directory: `script` in it takes the number of an element, or finds it in
 *                 SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX or SGE_TASK_ID
 *     JOBS        the number of elements, which are 1 .. JOBS             (submit)
 *     THREADS, MEMORY_MB   what each element needs                         (submit)
 *     OPTIONS     more words for the command, from the settings file       (submit)
 *     ID          of the array                                             (poll, cancel)
 *
 * submit prints the id. poll prints a line "ELEMENT STATE" for each element that is known; STATE is
 * one of the words that batch_state_is_over() knows, or any other where the element may still end.
 * Thread rule: a struct batch_system is immutable; the functions are reentrant and wait for the
 * command, at most BATCH_TIMEOUT_S.
 */
#ifndef DERIVFS_BATCH_SYSTEM_H
#define DERIVFS_BATCH_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

enum { BATCH_TIMEOUT_S = 120, BATCH_ID_MAX = 64, BATCH_STATE_MAX = 24 };

struct batch_system {
    char *name;
    char *submit, *poll, *cancel, *options;
};

/* A preset (slurm, pbs, sge, sh), or a section of the file `settings` (NULL: there is none), which may
 * be missing. A section named as a preset changes some of its keys. EINVAL: no such batch system. */
int batch_system_find(const char *name, const char *settings, struct batch_system *out,
                      struct error *err) NODISCARD;
void batch_system_clear(struct batch_system *b);

struct batch_request {
    const char *jobdir;
    unsigned njobs, nthreads;
    size_t memory_nbytes;
};

/* EIO, with what the command said. */
int batch_submit(const struct batch_system *b, const struct batch_request *q, char id[BATCH_ID_MAX],
                 struct error *err) NODISCARD;

/* states[njobs][BATCH_STATE_MAX] of the elements 1 .. njobs; "": not known any more. EIO: nobody can
 * tell now. */
int batch_poll(const struct batch_system *b, const char *jobdir, const char *id, unsigned njobs,
               char (*states)[BATCH_STATE_MAX], struct error *err) NODISCARD;

/* Where that fails, the jobs end by themselves: nothing else would be to do. */
void batch_cancel_jobs(const struct batch_system *b, const char *jobdir, const char *id);

/* Has an element in this state ended for good? */
bool batch_state_is_over(const char *state);

#endif
