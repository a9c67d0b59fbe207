/* SPDX-License-Identifier: MIT
 *
 * Where the next piece lies, so that no thread waits and all finish at the same time.
 *
 *     stored  |==owner==>...gap...|--piece--|...gap...|--piece--| the end
 *     helper   head, width * bytes           owner: gap * alone, width * over
 *
 * While a helper decodes a piece of width w, the owner decodes the gap before it; when the helper
 * is done, the owner should have nearly taken the piece over. With h helpers there is a gap for
 * each h-th part of that time. So each piece and its gap need
 *
 *     u(w) = w + ((head + w * bytes) / h - w * over) / alone
 *
 * of the rest of the file, which is divided evenly into as many of them as make w about the target
 * width. The last piece reaches to the end, and begins where helper and owner finish at the same
 * time. Only ratios of the times count, so the first estimates need not be right.
 */
#include "gunzip_private.h"

/* A piece narrower than this, or than a quarter of the target, is all overhead: the owner decodes
 * such a rest. */
static const double LEAST_NBYTES = 1 << 20;

static double least_of(double a, double b)
{
    return a < b ? a : b;
}

bool plan_piece(const struct forecast *o, double *gap, double *width)
{
    double least = least_of(o->width / 4, LEAST_NBYTES);
    double head = o->head / o->helpers / o->alone; /* per piece, in the owner's bytes */
    double grows = 1 + (o->bytes / o->helpers - o->over) / o->alone;
    if (grows < 0.5) /* with so many helpers the owner only takes over */
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
