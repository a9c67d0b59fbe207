/* SPDX-License-Identifier: MIT
 *
 * Tables of numbers: the files NAME.tsv and group_NAME.tsv, a row for each run.
 *
 *     bids_name         the run's file name without its ending
 *     sub ses task ...  a column for each entity that occurs in a name (columns.h)
 *     size_t            volumes
 *     NAME              median of the image over the mask
 *     NAME_mean NAME_p05 NAME_p95    mean, 5th and 95th percentile over the mask
 *     NAME_n            finite voxels of the mask
 *                       (of a recipe that is a number NAME is that number, and has no such columns)
 *     NAME_peers        runs that this one is compared with, itself included (peers.h)
 *     NAME_z            its robust z among them
 *     NAME_outlier      the verdict (outliers.h)
 *     mask              the mask: its path, its expression, or otsu, the head; none of a number
 *     filename          path of the run in the dataset
 *     reason            why there are no numbers, or n/a
 *
 * Tab-separated with a line of names, as in BIDS; n/a stands for no value. Numbers have
 * TABLE_DIGITS significant digits, as in pictures: the median of a run's tSNR is not known better.
 * bids_name, size_t and tsnr are MRIQC's names: its group tables can be joined with these. Source:
 * BIDS specification, Common principles, "Tabular files". Thread rule: reentrant.
 */
#ifndef DERIVFS_TABLE_H
#define DERIVFS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "joined.h"
#include "numbers.h"
#include "recipe.h"

enum { TABLE_DIGITS = 4, TABLE_Z_DIGITS = 3 };

struct table_row {
    const char *path; /* of the run, relative to the dataset's root */
    int64_t nvol;     /* 0: not known */
    bool has_numbers;
    struct numbers numbers; /* of a recipe that is a number the median alone */
    const char *mask;       /* of the numbers of an image; NULL: not known */
    const char *reason;     /* why there are none, or NULL */
    bool omitted;           /* a file that is no run */
};

/* The table of rows[nrows] in this order, with the columns `joined` at the end (NULL: none), whose runs are compared with each other alone. *out is
 * malloced and NUL-terminated. Control characters, and bytes of names that are not UTF-8, become "?".
 * ENOMEM. */
int table_text(const struct recipe *recipe, const struct table_row *rows, size_t nrows,
               const struct joined *joined, char **out, struct error *err) NODISCARD;

/* The data dictionary of such a table as a file, with the usual entities of runs. malloced; NULL: out
 * of memory. */
char *table_dictionary(const struct recipe *recipe) NODISCARD;

#endif
