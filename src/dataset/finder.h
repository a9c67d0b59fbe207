/* SPDX-License-Identifier: MIT
 *
 * Names and files of any directory of the dataset, for inputs (inputs.h): looked at once a second at
 * the most, or anew.
 *
 * A directory that does not exist has no names. Thread rule: any thread.
 */
#ifndef DERIVFS_FINDER_H
#define DERIVFS_FINDER_H

#include <stdatomic.h>
#include <stdint.h>

#include "dataset.h"

/* The NIfTI files of a directory by their names; links too. Immutable. */
struct folder {
    atomic_int refs;
    char **names; /* [n] in strcmp order */
    size_t n;
};

struct finder;

/* `clock_ns` as in dataset_open(). NULL: out of memory. */
struct finder *finder_new(int rootfd, int64_t (*clock_ns)(void)) NODISCARD;
void finder_free(struct finder *f); /* NULL is allowed */
/* As dataset_keep(). */
void finder_keep(struct finder *f, struct names *names);
int finder_rootfd(const struct finder *f);

/* *out is for folder_put(). A directory that may not be read has no names, too. Fails with a fault, or
 * ENOMEM. */
int finder_names(struct finder *f, const char *path, enum scan_freshness freshness,
                 struct folder **out, struct error *err) NODISCARD;
void folder_put(struct folder *folder); /* NULL is allowed */

/* The file at `path` as run_probe() gives it, also if it is no series: a reference. NULL: out of
 * memory. */
struct run *finder_file(struct finder *f, const char *path,
                        enum scan_freshness freshness) NODISCARD;

#endif
