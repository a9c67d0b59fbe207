/* SPDX-License-Identifier: MIT
 *
 * Remarks on a directory: files that are no runs, and what someone who sees a result over joined
 * runs should know. Reads names and headers only.
 *
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_REMARKS_H
#define DERIVFS_REMARKS_H

#include <stdio.h>

#include "dataset.h"
#include "remark.h"

/* A set of kinds, joined by |. */
#define REMARKS(kind) (1U << REMARK_##kind)
enum { REMARKS_ALL = -1 };

/* Call `fn` with every remark on the directory of these kinds. -ENOMEM, or what `fn` returns. */
int remarks_visit(const struct dir_scan *scan, unsigned kinds, remark_fn *fn, void *ctx) NODISCARD;

/* Doubts whether these runs belong together: they differ in TR, or their names suggest that they
 * are stages of one pipeline. malloced, "" without doubts; NULL: out of memory. */
char *remarks_doubts(struct run *const *runs, size_t nruns) NODISCARD;

/* The same in a few words: "TR 0.8 to 2.4 s". */
char *remarks_brief(struct run *const *runs, size_t nruns) NODISCARD;

/* What the rule that joins them means here: they are of different tasks. As above. */
char *remarks_rule(struct run *const *runs, size_t nruns) NODISCARD;

/* What `print` writes about the runs. malloced; NULL: out of memory. */
typedef void runs_print_fn(FILE *f, struct run *const *runs, size_t nruns);
char *runs_printed(runs_print_fn *print, struct run *const *runs, size_t nruns) NODISCARD;

#endif
