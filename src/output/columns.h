/* SPDX-License-Identifier: MIT
 *
 * The columns that the names of runs give: one for each BIDS entity that occurs in a name.
 *
 * `sub` and `ses` have the whole identifier, sub-01 and ses-a, as participant_id and session_id in
 * BIDS: programs that take 01 for a number lose its zero. All other cells have the label alone.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_COLUMNS_H
#define DERIVFS_COLUMNS_H

#include <stddef.h>

#include "bids.h"
#include "error.h"

enum { COLUMNS_MAX = 64 };

struct columns {
    char *key[COLUMNS_MAX]; /* [n] owned: "sub", "task" ... in the order of the names */
    size_t n;
};

/* Add the entities of the file `path`. Begin with an empty struct; columns_clear() it after a failure,
 * too. -ENOMEM. */
int columns_add(struct columns *c, const char *path) NODISCARD;
void columns_clear(struct columns *c);

/* The cell of one file in column `i`; NULL: its name has no such entity. */
const char *columns_cell(const struct columns *c, size_t i, const char *path,
                         char cell[BIDS_NAME_MAX]);

#endif
