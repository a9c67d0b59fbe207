/* SPDX-License-Identifier: MIT
 *
 * Sampling by recursion; modified Gram-Schmidt, twice, so that the basis is orthogonal to rounding
 * also for high orders.
 */
#include "legendre.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void sample(struct legendre *l)
{
    int64_t n = l->nvol;

    for (int64_t t = 0; t < n; t++) {
        double x = n > 1 ? -1 + 2 * (double)t / (double)(n - 1) : 0;

        l->p[t] = 1;
        if (l->order >= 1)
            l->p[n + t] = x;
        for (unsigned k = 2; k <= l->order; k++) {
            double one = l->p[(k - 1) * n + t], two = l->p[(k - 2) * n + t];

            l->p[k * n + t] = ((2 * k - 1) * x * one - (k - 1) * two) / k;
        }
    }
}

static double dot(const double *a, const double *b, int64_t n)
{
    long double sum = 0;

    for (int64_t t = 0; t < n; t++)
        sum += (long double)a[t] * b[t];
    return (double)sum;
}

static void orthonormalise(struct legendre *l)
{
    int64_t n = l->nvol;
    unsigned m = l->order + 1;

    memcpy(l->q, l->p, m * (size_t)n * sizeof *l->q);
    for (unsigned k = 0; k < m; k++) {
        double *q = l->q + k * n, norm;

        for (int pass = 0; pass < 2; pass++)
            for (unsigned j = 0; j < k; j++) {
                double along = dot(q, l->q + j * n, n);

                l->r[j * m + k] += along;
                for (int64_t t = 0; t < n; t++)
                    q[t] -= along * l->q[j * n + t];
            }
        norm = sqrt(dot(q, q, n));
        l->r[k * m + k] = norm;
        for (int64_t t = 0; t < n; t++)
            q[t] /= norm;
    }
}

/* More polynomials than volumes add nothing. */
static unsigned order_of_fit(int64_t nvol, unsigned order)
{
    return (int64_t)order < nvol ? order : (unsigned)(nvol - 1);
}

size_t legendre_nbytes(int64_t nvol, unsigned order)
{
    size_t m = order_of_fit(nvol, order) + 1;

    return sizeof(struct legendre) + (2 * m * (size_t)nvol + m * m) * sizeof(double);
}

int legendre_new(int64_t nvol, unsigned order, struct legendre **out, struct error *err)
{
    unsigned most = order_of_fit(nvol, order);
    size_t m = most + 1, n = m * (size_t)nvol;
    struct legendre *l = calloc(1, legendre_nbytes(nvol, order));

    if (!l)
        return error_set(err, ENOMEM, "out of memory");
    *l = (struct legendre){.order = most, .nvol = nvol, .p = (double *)(l + 1)};
    l->q = l->p + n;
    l->r = l->q + n;
    sample(l);
    orthonormalise(l);
    *out = l;
    return 0;
}

void legendre_free(struct legendre *l)
{
    free(l);
}

void legendre_solve(const struct legendre *l, size_t n, size_t apart, double *d)
{
    size_t m = l->order + 1;

    for (size_t k = m; k-- > 0;) {
        double *b = d + k * apart;

        for (size_t j = k + 1; j < m; j++)
            for (size_t i = 0; i < n; i++)
                b[i] -= l->r[k * m + j] * d[j * apart + i];
        for (size_t i = 0; i < n; i++)
            b[i] /= l->r[k * m + k];
    }
}
