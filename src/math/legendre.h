/* SPDX-License-Identifier: MIT
 *
 * Trends: least-squares fits of Legendre polynomials over the volumes of one segment.
 *
 * The polynomials P_0 .. P_order are sampled at `nvol` points spread evenly over [-1, 1] (Bonnet's
 * recursion), as nipype's regress_poly does. The fit uses an orthonormal basis of them and so needs
 * one pass over the data: the sums of x(t) q_k(t) give the sum of squares of the residuals, and by
 * back-substitution the coefficients of the P_k.
 * Thread rule: a struct legendre is immutable once made.
 */
#ifndef DERIVFS_LEGENDRE_H
#define DERIVFS_LEGENDRE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { LEGENDRE_ORDER_MAX = 15 }; /* more than recipes may ask for */

/* One allocation with its arrays. */
struct legendre {
    unsigned order; /* of the fit; less than asked for where there are too few volumes */
    int64_t nvol;
    double *p; /* [order + 1][nvol]: sampled polynomials */
    double *q; /* [order + 1][nvol]: orthonormal, q_0 constant */
    double *r; /* [order + 1][order + 1]: p_k = sum over j <= k of r[j][k] q_j */
};

/* Bytes that it takes. */
size_t legendre_nbytes(int64_t nvol, unsigned order);

/* `nvol` at least 1 and at most 2^32, `order` at most LEGENDRE_ORDER_MAX. */
int legendre_new(int64_t nvol, unsigned order, struct legendre **out, struct error *err) NODISCARD;
void legendre_free(struct legendre *l); /* NULL is allowed */

/* Of n series: from d[k * apart + i] = sum over t of x_i(t) q_k(t), k = 0 .. order, the coefficients of
 * the P_k, in place. */
void legendre_solve(const struct legendre *l, size_t n, size_t apart, double *d);

#endif
