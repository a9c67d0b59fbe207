/* SPDX-License-Identifier: MIT
 *
 * The built-in recipes, in the language of all recipes.
 */
#include "recipe_priv.h"
#include "text.h"

const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS] = {
    {"tsnr", "mean(bold) / std(bold)",
     "temporal signal-to-noise ratio: mean over time / standard deviation over time", "tSNR", true},
    {"mean", "mean(bold)", "mean over time", NULL, false},
    {"std", "std(bold)", "standard deviation over time", NULL, false},
};

const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++)
        if (text_is(recipe_builtins[i].name, name, nbytes))
            return &recipe_builtins[i];
    return NULL;
}
