/* SPDX-License-Identifier: MIT
 *
 * The built-in recipes, in the language of all recipes.
 */
#include "recipe_private.h"
#include "text.h"

/* Set to the number of runs, the variance is unbiased. */
static const struct expr_param within[] = {{"ddof", 0}};

const struct recipe_builtin recipe_builtins[RECIPE_NBUILTINS] = {
    {.name = "tsnr",
     .text = "mean(bold) / std(bold)",
     .description = "temporal signal-to-noise ratio: mean over time / standard deviation over time",
     .page = "tSNR",
     .list = true,
     .list_runs = true},
    {.name = "mean", .text = "mean(bold)", .description = "mean over time", .list = true},
    {.name = "std",
     .text = "std(bold)",
     .description = "standard deviation over time",
     .list = true},
    {.name = "tsnr_within",
     .text = "mean(bold) / std(demean(bold), ddof=ddof)",
     .description = "mean / pooled standard deviation within the runs: differences between their "
                    "means do not count as noise",
     .params = {within, 1}},
    {.name = "head",
     .text = "otsu(mean(bold))",
     .description = "what is brighter than Otsu's threshold of the mean over time",
     .replaceable = true},
    {.name = RECIPE_BRAIN,
     .text =
         "found(file(\"desc-brain_mask.nii.gz\", \"label-brain_mask.nii.gz\"), otsu(mean(bold)))",
     .description = "the brain mask of the run, or the head if it has none",
     .replaceable = true},
};

const struct recipe_builtin *recipe_builtin_find(const char *name, size_t nbytes)
{
    for (size_t i = 0; i < RECIPE_NBUILTINS; i++)
        if (text_is(recipe_builtins[i].name, name, nbytes))
            return &recipe_builtins[i];
    return NULL;
}
