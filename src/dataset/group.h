/* SPDX-License-Identifier: MIT
 *
 * Forming groups from probed runs, and the prefixes that tell groups apart. No I/O.
 *
 * Thread rule: reentrant; the groups hold references of their own to the runs.
 */
#ifndef DERIVFS_GROUP_H
#define DERIVFS_GROUP_H

#include "dataset.h"

/* Form the groups of one directory's `runs` [nruns], which are not RUN_NOT and in the order of their
 * names. *out is an array for groups_free(), NULL where there is no run: first the groups whose runs
 * are joined [*njoined], then sets of runs that may not belong together. With `join_all` there are
 * none of these. Fails only with ENOMEM, and then leaves nothing behind. */
int groups_form(struct run *const *runs, size_t nruns, bool join_all, struct group **out,
                size_t *nout, size_t *njoined, struct error *err) NODISCARD;

/* NULL with 0 is allowed. */
void groups_free(struct group *groups, size_t ngroups);

#endif
