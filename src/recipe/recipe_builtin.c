/* SPDX-License-Identifier: MIT
 *
 * The built-in recipes, in the language of all recipes.
 */
#include "recipe_priv.h"
#include "text.h"

#define NO_PARAMS                                                                                  \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

/* Set to the number of runs, the variance is unbiased. */
static const struct expr_param within[] = {{"ddof", 0}};

const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS] = {
    {"tsnr", "mean(bold) / std(bold)",
     "temporal signal-to-noise ratio: mean over time / standard deviation over time", "tSNR", true,
     true, NO_PARAMS},
    {"mean", "mean(bold)", "mean over time", NULL, true, false, NO_PARAMS},
    {"std", "std(bold)", "standard deviation over time", NULL, true, false, NO_PARAMS},
    {"tsnr_within",
     "mean(bold) / std(demean(bold), ddof=ddof)",
     "mean / pooled standard deviation within the runs: differences between their means do not "
     "count "
     "as noise",
     NULL,
     false,
     false,
     {within, 1}},
};

const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++)
        if (text_is(recipe_builtins[i].name, name, nbytes))
            return &recipe_builtins[i];
    return NULL;
}
