/* SPDX-License-Identifier: MIT
 *
 * Tables of numbers: the files NAME.tsv and group_NAME.tsv, a row for each run.
 *
 *     bids_name         the run's file name without its ending
 *     sub ses task ...  a column for each entity that occurs in a name
 *     size_t            volumes
 *     NAME              median of the image over the head: for tsnr MRIQC's tsnr
 *     NAME_mean NAME_p05 NAME_p95    mean, 5th and 95th percentile over the head
 *     NAME_n            finite voxels of the head
 *     filename          path of the run in the dataset
 *     reason            why there are no numbers, or n/a
 *
 * Tab-separated with a line of names, as in BIDS; n/a stands for no value. bids_name, size_t and
 * tsnr are MRIQC's names: its group tables can be joined with these. Source: BIDS specification,
 * Common principles, "Tabular files". Thread rule: reentrant.
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
    const char *reason; /* why there are no numbers, or NULL */
};

/* The table of rows[nrows] in this order. malloced, NUL-terminated; NULL: out of memory. Control
 * characters, and bytes of names that are not UTF-8, become "?". */
char *table_text(const char *recipe, const struct table_row *rows, size_t nrows) NODISCARD;

/* Add the data dictionary of such a table to the object `o`, with the usual entities of runs.
 * false: out of memory. */
bool table_describe(json_t *o, const char *recipe) NODISCARD;

/* The dictionary as a file. malloced; NULL: out of memory. */
char *table_dictionary(const char *recipe) NODISCARD;

#endif
