/* SPDX-License-Identifier: MIT
 *
 * Tables of numbers: what NAME.tsv and group_NAME.tsv say, a row for each run.
 *
 *     bids_name         the run's file name without its ending
 *     sub ses task ...  a column for each entity that one of the names has; without, none
 *     size_t            volumes
 *     NAME              median of the image over the head: for tsnr what MRIQC calls so
 *     NAME_mean NAME_p05 NAME_p95    mean, 5th and 95th percentile likewise
 *     NAME_n            voxels that count: of the head, and finite
 *     filename          path of the run in the dataset
 *     reason            why there are no numbers; n/a where there are
 *
 * Tab-separated with a line of names, as BIDS has tables; n/a where there is no value. bids_name,
 * size_t and tsnr are MRIQC's names, so that its group tables can be joined with these. Source:
 * BIDS specification, Common principles, "Tabular files". Thread rule: reentrant.
 */
#ifndef DERIVFS_TABLE_H
#define DERIVFS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "numbers.h"

struct table_row {
    const char *path; /* of the run, relative to the dataset's root */
    int64_t nvol;     /* 0: not known */
    struct numbers numbers;
    const char *reason; /* why there are none; NULL: there are */
};

/* The table of rows[nrows] in this order, for the recipe called `recipe`. malloced, NUL-terminated;
 * NULL: out of memory. Bytes of names that are not UTF-8, and control characters, become "?". */
char *table_text(const char *recipe, const struct table_row *rows, size_t nrows) NODISCARD;

/* Add the data dictionary of such a table to the object `o`, with the entities that runs usually
 * have: false: out of memory. */
bool table_describe(json_t *o, const char *recipe) NODISCARD;

/* The dictionary alone, as a file. malloced; NULL: out of memory. */
char *table_dictionary(const char *recipe) NODISCARD;

#endif
