/* SPDX-License-Identifier: MIT
 *
 * Names of derived files, and the way back. An origin is what derived files are made of: a group of
 * runs, one run by itself, or a set of runs that only recipes with `join = all` join.
 *
 *     PREFIX RECIPE EXTENSION                     one per group: echo-1_tsnr.nii
 *     ENTITIES _stat-RECIPE_ MAP EXTENSION        one per run: sub-01_stat-tsnr_boldmap.nii
 *     PREFIX COMMAND                              a command's, whose name includes its ending
 *     ENTITIES _stat-COMMAND'S-STEM_ MAP ENDING   the same, with scope = run
 *
 * The entity stat stands before desc. With layout=derivatives, and in exports, listed names are
 * BIDS names, which tell of groups as well what they are of:
 *
 *     sub-01_ses-test_stat-tsnr_desc-joined_boldmap.nii
 *     sub-01_task-rest_stat-tsnrmriqc_desc-preproc+drop4_boldmap.nii
 *
 * Thread rule: pure functions.
 */
#ifndef DERIVFS_DERIVED_NAME_H
#define DERIVFS_DERIVED_NAME_H

#include "dataset.h"
#include "recipe.h"

struct origin {
    const char *prefix;
    const char *map; /* "boldmap"; NULL: the names of a group have no such end */
    struct run *const *runs;
    size_t nruns;
    const struct run *first, *bad; /* as in struct group */
    const char *refusal;
    bool apart; /* no name says that the runs belong together */
};

/* The origins of a directory, borrowed from its snapshot: groups, runs, and then sets apart. */
size_t origins_count(const struct dir_scan *scan);
struct origin origin_of(const struct dir_scan *scan, size_t i);

/* Does the recipe have a file of this origin? */
bool origin_suits(const struct origin *origin, const struct recipe *recipe);

/* The file name that `origin` gives to `name`, whose ending starts at `stem`. malloced; NULL: out of
 * memory. */
char *origin_name(const struct origin *origin, const char *name, size_t stem,
                  const char *extension) NODISCARD;
/* The same for the recipe's file. */
char *origin_recipe_name(const struct origin *origin, const struct recipe *recipe,
                         const char *extension) NODISCARD;

/* Find the recipe in stem[len], a file name without its ending; ENOENT too if it is not one of this
 * origin's. *owner, *out and the other errors as recipe_resolve()'s. */
int origin_find_recipe(const struct origin *origin, struct recipe_table *table, const char *stem,
                       size_t len, struct recipe_table **owner, const struct recipe **out,
                       struct error *err) NODISCARD;

/* The BIDS name of the recipe's file, in *out malloced: "" if neither the runs' names nor their path
 * tell a subject. -ENOMEM. */
int origin_bids_name(const struct dir_scan *scan, const struct origin *origin,
                     const struct recipe *recipe, const char *extension, char **out) NODISCARD;

/* May `name` be the BIDS name of a file of this recipe? Cheap. */
bool recipe_may_have_name(const struct recipe *recipe, const char *name);

#endif
