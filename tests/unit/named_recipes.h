/* SPDX-License-Identifier: MIT
 *
 * Recipes that expressions name in tests, good and bad ones.
 */
#ifndef DERIVFS_TESTS_NAMED_RECIPES_H
#define DERIVFS_TESTS_NAMED_RECIPES_H

#include <stddef.h>
#include <string.h>

/* Recipes: "name=text" pairs, ended by NULL. */
static inline const char *look_up(void *ctx, const char *name, size_t nbytes)
{
    for (const char *const *r = ctx; *r; r++)
        if (strncmp(*r, name, nbytes) == 0 && (*r)[nbytes] == '=')
            return *r + nbytes + 1;
    return NULL;
}

static const char *const recipes[] = {
    "tsnr=mean(bold) / std(bold)",
    "clean=detrend(bold, 2)",
    "mean=mean(bold)",
    "snr2=tsnr ** 2",
    "loop=1 + loop_b",
    "loop_b=loop_c * 2",
    "loop_c=loop",
    "self=self + bold",
    "bad=mean(bold",
    "worse=bad + 1",
    "seven=7",
    NULL,
};

#endif
