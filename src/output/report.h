/* SPDX-License-Identifier: MIT
 *
 * A page about all runs of a dataset: pictures and numbers in one self-contained HTML file.
 *
 * If at least four runs have a median, those whose median is outside Tukey's inner fences, 1.5
 * interquartile ranges beyond the quartiles, are marked (J. W. Tukey, Exploratory Data Analysis,
 * 1977). File names are hostile: all text is escaped, and the page's policy forbids loading
 * anything. Thread rule: reentrant.
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
    const char *path; /* of the run, relative to the dataset's root */
    int64_t nvol;     /* 0: not known */
    const char
        *state; /* "cached" (image or numbers), "computing", "failed", "virtual"; or "omitted"
                           of a file that is no run */
    const char *reason; /* of the last and of a failure; else NULL */
    bool has_numbers;
    struct numbers numbers;
};

struct report {
    const char *dataset;           /* its path */
    const char *measure;           /* of the numbers and pictures, for people: "tSNR" */
    const char *recipe;            /* its recipe: "tsnr" */
    const struct report_row *rows; /* [nrows] */
    size_t nrows;
};

/* The picture of row `i`: a reference; NULL: not drawn yet. */
typedef struct blob *report_picture_fn(void *ctx, size_t i);

/* *out is malloced. ENOMEM, EIO. */
int report_html(const struct report *report, report_picture_fn *picture, void *ctx, char **out,
                struct error *err) NODISCARD;

#endif
