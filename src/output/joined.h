/* SPDX-License-Identifier: MIT
 *
 * Columns that a table takes over from tables of the dataset: participants.tsv, ..._scans.tsv.
 *
 * Source: BIDS specification, "Tabular files" (a line of names, tab-separated), "Participants file",
 * "Scans file". Thread rule: reentrant.
 */
#ifndef DERIVFS_JOINED_H
#define DERIVFS_JOINED_H

#include <stddef.h>

#include "error.h"

enum { JOINED_MAX = 64 }; /* columns; more are left out */

struct joined {
    size_t nrows;
    size_t n;
    char *name[JOINED_MAX];   /* [n] owned */
    char **cells[JOINED_MAX]; /* [n][nrows] owned; NULL: no value */
};

/* Add the columns of `text`, a table, to the rows whose key is that in its column `key`. keys[nrows]:
 * of our rows, NULL for none. A name that has another meaning here (see columns.h and table.h, for
 * `recipe`) gets `source` and "_" before it. EINVAL: `text` has no such column; ENOMEM. joined_clear()
 * it after a failure, too. */
int joined_add(struct joined *j, const char *text, const char *source, const char *key,
               const char *recipe, const char *const *keys, struct error *err) NODISCARD;
void joined_clear(struct joined *j);

#endif
