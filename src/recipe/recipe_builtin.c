/* SPDX-License-Identifier: MIT
 *
 * The built-in recipes, written in the language that everybody's recipes are written in.
 */
#include <string.h>

#include "recipe_priv.h"

const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS] = {
    {"tsnr", "mean(bold) / std(bold)",
     "temporal signal-to-noise ratio: mean over time / standard deviation over time", "tSNR", true},
    {"mean", "mean(bold)", "mean over time", NULL, false},
    {"std", "std(bold)", "standard deviation over time", NULL, false},
};

const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++)
        if (strlen(recipe_builtins[i].name) == nbytes &&
            memcmp(recipe_builtins[i].name, name, nbytes) == 0)
            return &recipe_builtins[i];
    return NULL;
}
