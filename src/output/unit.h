/* SPDX-License-Identifier: MIT
 *
 * The unit of an expression's values, where the samples of the runs have an arbitrary one, as those of
 * a scanner. Thread rule: reentrant.
 */
#ifndef DERIVFS_UNIT_H
#define DERIVFS_UNIT_H

#include "expr.h"

/* "no unit" (a ratio, a count, a mask), "a.u." (that of the samples), "a.u.²" (its square, as of a
 * variance), or "": not known, because files, places or functions without a unit come in. */
const char *unit_of(const struct expr *e);

#endif
