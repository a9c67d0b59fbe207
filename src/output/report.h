/* SPDX-License-Identifier: MIT
 *
 * A page about all runs of a dataset, as one HTML file: a strip plot of each group of equals, and a
 * table with thumbnails, entities, numbers and verdicts, which sorts and filters.
 *
 * The thumbnails are inside, on one scale of colours. So are the pictures, as long as they have at
 * most 20 MiB together; else the page refers to files beside it. Runs that stand out among their equals
 * (peers.h, outliers.h) are marked; the page names the groups. File names are hostile: all text is
 * escaped, and the page's policy forbids loading anything but these pictures. Thread rule: reentrant.
 */
#ifndef DERIVFS_REPORT_H
#define DERIVFS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "blob.h"
#include "error.h"
#include "table.h"
#include "thumb.h"

/* The picture of one run. */
struct report_picture {
    char *path;      /* relative to report.beside; NULL: it is not drawn */
    uint64_t nbytes; /* of the file */
};

struct report {
    const char *dataset;          /* its path */
    const char *measure;          /* of the numbers and pictures, for people: "tSNR" */
    const char *recipe;           /* its recipe: "tsnr" */
    const char *command;          /* of a shell, that makes all of the page */
    const char *beside;           /* relative to the page: where the pictures are, as "../" */
    const struct table_row *rows; /* [nrows]; `reason`: of a failure, or why it is no run */
    const char *const *states;    /* [nrows] "cached" (image or numbers), "computing", "failed",
                                      "virtual"; or "omitted" of a file that is no run */
    const struct report_picture *pictures; /* [nrows] */
    const struct joined *joined;           /* columns of the dataset's own tables */
    size_t nrows;
};

/* Called row by row in their order. */
struct report_source {
    /* Fill values[h][w] of row i; false: it has no thumbnail. */
    bool (*thumb)(void *ctx, size_t i, float *values, struct thumb_size *size);
    /* A reference to its picture; NULL: it is gone by now. */
    struct blob *(*picture)(void *ctx, size_t i);
    void *ctx;
};

/* *out is malloced. ENOMEM, EIO. */
int report_html(const struct report *report, const struct report_source *source, char **out,
                struct error *err) NODISCARD;

#endif
