/* SPDX-License-Identifier: MIT
 *
 * A page about all runs of a dataset: pictures and numbers in one HTML file, which needs no other.
 *
 * Runs whose median lies more than 1.5 interquartile ranges outside the quartiles of all medians
 * are marked (J. W. Tukey, Exploratory Data Analysis, 1977, the inner fences), if there are at
 * least four. Names of files are hostile: everything that is not markup is escaped, and the page's
 * policy lets nothing be loaded. Thread rule: reentrant.
 */
#ifndef DERIVFS_REPORT_H
#define DERIVFS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob.h"
#include "error.h"
#include "numbers.h"

struct report_row {
    const char *path;   /* of the run, relative to the dataset's root */
    int64_t nvol;       /* 0: not known */
    const char *state;  /* "cached" (image or numbers), "computing", "failed" or "virtual" */
    const char *reason; /* of a failure; else NULL */
    bool has_numbers;
    struct numbers numbers;
};

/* What the page is about. */
struct report {
    const char *dataset;           /* its path */
    const char *measure;           /* what the numbers and pictures are of: "tSNR" */
    const char *recipe;            /* the same as a recipe: "tsnr" */
    const struct report_row *rows; /* [nrows] */
    size_t nrows;
};

/* The picture of row `i`: a reference, or NULL where there is none yet. */
typedef struct blob *report_picture_fn(void *ctx, size_t i);

/* *out is malloced. ENOMEM, EIO. */
int report_html(const struct report *report, report_picture_fn *picture, void *ctx, char **out,
                struct error *err) NODISCARD;

#endif
