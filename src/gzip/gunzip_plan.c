/* SPDX-License-Identifier: MIT
 *
 * Where the next piece lies: so that nobody waits, and all come to the end at once.
 *
 *     stored  |==owner==>...gap...|--piece--|...gap...|--piece--| the end
 *     hand     head, width * bytes           owner: gap * alone, width * over
 *
 * A piece of width w is done when a helper has decoded it; then the owner, who has decoded the gap
 * before it meanwhile, should have all but taken it over. With h helpers there is a gap for each h-th
 * part of that time. So of what is left each piece and its gap need
 *
 *     u(w) = w + ((head + w * bytes) / h - w * over) / alone
 *
 * and what is left is divided into as many of them as make w about as long as wanted, instead of
 * some of full length and a rest. The last one reaches to the end, and begins where hand and owner
 * are done with it together. Only proportions of the times count, so that they need not be right
 * at first.
 */
#include "gunzip_private.h"

/* A piece is all overhead below that, or below a quarter of what is aimed at: a rest that is less
 * is left to the owner. */
static const double LEAST_NBYTES = 1 << 20;

static double least_of(double a, double b)
{
    return a < b ? a : b;
}

bool plan_piece(const struct forecast *o, double *gap, double *width)
{
    double least = least_of(o->width / 4, LEAST_NBYTES);
    double head = o->head / o->helpers / o->alone; /* of each piece's part, in the owner's bytes */
    double grows = 1 + (o->bytes / o->helpers - o->over) / o->alone;
    if (grows < 0.5) /* so many helpers that the owner does nothing but take over */
        grows = 0.5;

    unsigned n = (unsigned)(o->left / (o->width * grows + head) + 0.5);
    if (n < o->helpers)
        n = (unsigned)least_of(o->helpers, o->left / (least * grows + head));
    double w = n > 0 ? (o->left / n - head) / grows : o->left;
    if (w < least)
        w = least;
    double g = (o->head + w * (o->bytes - o->over) - o->arrival) / o->alone;
    if (n <= 1 || g + w > o->left) {
        w = (o->arrival + o->left * o->alone - o->head) / (o->bytes + o->alone - o->over);
        g = o->left - w;
    }
    if (g < 0) {
        g = 0;
        w = least_of(w, o->left);
    }
    *gap = g;
    *width = w;
    return w >= least;
}
