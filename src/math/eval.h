/* SPDX-License-Identifier: MIT
 *
 * Evaluate an expression over one tile of voxels, in float64, with numpy's semantics (0/0 is NaN,
 * x/0 is inf, comparisons with NaN are false, where() selects before NaN spreads, nan_to_num turns
 * NaN into 0 and infinities into the largest finite numbers).
 *
 * The caller's `leaf` fills the leaves (a reduction, or bold at one volume). Equal trees give equal
 * bits. Thread rule: reentrant; uses the stack only.
 */
#ifndef DERIVFS_EVAL_H
#define DERIVFS_EVAL_H

#include "expr.h"

enum { EVAL_TILE = 512 }; /* voxels evaluated at a time */

/* Fill out[n] with the values of node `e` and return true, or return false: compute it. */
typedef bool eval_leaf_fn(void *ctx, const struct expr *e, size_t n, double *out);

/* out[n] = e; n is at most EVAL_TILE. Every EXPR_BOLD, EXPR_FILE, coordinate, number of an image, reduction and series operation must be a leaf
 * or below one. */
void eval_tile(const struct expr *e, eval_leaf_fn *leaf, void *ctx, size_t n, double *out);

#endif
