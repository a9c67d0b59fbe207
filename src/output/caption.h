/* SPDX-License-Identifier: MIT
 *
 * A derived image in words: its runs and its values. Pictures and the like depend on these words,
 * so their keys include them.
 *
 * Thread rule: a caption is immutable.
 */
#ifndef DERIVFS_CAPTION_H
#define DERIVFS_CAPTION_H

#include <stddef.h>

#include "error.h"
#include "key.h"
#include "recipe.h"
#include "run.h"

/* All are well-formed UTF-8 without control characters, and owned. */
struct caption {
    /* "sub-01 ses-1 task-rest run-1+2": each entity of the runs' names once; without BIDS names the
       stem of the one run or the directory's name */
    char *title;
    char *recipe;      /* "tsnr" */
    char *description; /* "" if there is none */
    char *expression;  /* "mean(bold) / std(bold)": other recipes put in */
    const char *unit;  /* of its values: unit.h; constant */
    char *mask;        /* that of the brain, "" for the head: "sub-01_desc-brain_mask.nii.gz" */
    char *extent;      /* "2 runs, 480 volumes", and doubts whether they
                          belong together */
};

/* `runs` is [nruns], at least one, all RUN_OK; `recipe` has an expression; `mask` is
 * NULL for the head. ENOMEM. */
int caption_new(const struct recipe *recipe, struct run *const *runs, size_t nruns,
                const char *mask, struct caption **out, struct error *err) NODISCARD;
void caption_free(struct caption *c);

void caption_add_to_key(const struct caption *c, struct key_builder *b);

#endif
