/* SPDX-License-Identifier: MIT
 *
 * Timelines: how the volumes of a series expression lie in time, from headers alone.
 *
 * A series over joined runs falls into segments: stretches of volumes each sample of which comes
 * from one run. Tasks compute segments: the runs for `bold`, the rest of each run for
 * drop(bold, 4), one more cut for bold[..., 100:]. Thread rule: pure functions.
 */
#ifndef DERIVFS_TIMELINE_H
#define DERIVFS_TIMELINE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "expr.h"
#include "run.h"

/* The meaning of `bold`. */
struct joined_runs {
    struct run *const *runs; /* [nruns], in the order of time */
    size_t nruns;
};

/* Lengths of neighbouring stretches, in volumes; owned by the caller, released by timeline_free().
 */
struct timeline {
    int64_t *nvol; /* [n], each at least 1 */
    size_t n;
};

/* The segments of series `x`. EINVAL with a sentence: it has no volume, or series of different
 * lengths meet; ENOMEM. *out is empty then. */
int timeline_of(const struct expr *x, const struct joined_runs *bold, struct timeline *out,
                struct error *err) NODISCARD;
void timeline_free(struct timeline *t);
int64_t timeline_nvol(const struct timeline *t); /* all volumes */

/* The half-open range of volumes that a slice of `nvol` volumes takes, by Python's rules. */
void timeline_slice(const struct expr *slice, int64_t nvol, int64_t *start, int64_t *end);

/* Where volume `vol` of drop(x, n) lies in x, whose segments are `x`. */
int64_t timeline_undrop(const struct timeline *x, int64_t n, int64_t vol);

/* The segment that volume `vol` lies in: its number; *start is its first volume. */
size_t timeline_find(const struct timeline *t, int64_t vol, int64_t *start);

#endif
