/* SPDX-License-Identifier: MIT
 *
 * A page about all runs of a dataset: pictures and numbers in one self-contained HTML file.
 *
 * Runs that stand out among their equals (peers.h, outliers.h) are marked; the page names the groups.
 * File names are hostile: all text is escaped, and the page's policy forbids loading
 * anything. Thread rule: reentrant.
 */
#ifndef DERIVFS_REPORT_H
#define DERIVFS_REPORT_H

#include <stddef.h>

#include "blob.h"
#include "error.h"
#include "table.h"

struct report {
    const char *dataset;          /* its path */
    const char *measure;          /* of the numbers and pictures, for people: "tSNR" */
    const char *recipe;           /* its recipe: "tsnr" */
    const struct table_row *rows; /* [nrows]; `reason`: of a failure, or why it is no run */
    const char *const *states;    /* [nrows] "cached" (image or numbers), "computing", "failed",
                                     "virtual"; or "omitted" of a file that is no run */
    size_t nrows;
};

/* The picture of row `i`: a reference; NULL: not drawn yet. */
typedef struct blob *report_picture_fn(void *ctx, size_t i);

/* *out is malloced. ENOMEM, EIO. */
int report_html(const struct report *report, report_picture_fn *picture, void *ctx, char **out,
                struct error *err) NODISCARD;

#endif
