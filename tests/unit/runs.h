/* SPDX-License-Identifier: MIT
 *
 * Runs and recipes of a test's own, without any file: for what is decided from headers alone.
 * Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_RUNS_H
#define DERIVFS_TESTS_RUNS_H

#include <stdio.h>
#include <stdlib.h>

#include "expr.h"
#include "run.h"

/* An int16 run of 4x3x2 voxels and `nvol` volumes, told apart by `number`. */
static inline struct run *runs_make(unsigned number, int64_t nvol)
{
    struct run *run = calloc(1, sizeof *run);

    assert_non_null(run);
    atomic_init(&run->refs, 1);
    assert_true(asprintf(&run->path, "sub-01/func/run-%u_bold.nii.gz", number) > 0);
    run->state = RUN_OK;
    run->codec = &codec_gzip;
    run->id = (struct source_id){
        .fs = {"file system"}, .lasting = true, .ino = 100 + number, .size = 1000, .mode = 0644};
    run->nifti.real = true;
    run->nifti.content = NIFTI_SERIES;
    run->nifti.sample = SAMPLE_INT16;
    run->nifti.sample_nbytes = 2;
    run->nifti.dim[0] = 4;
    run->nifti.dim[1] = 3;
    run->nifti.dim[2] = 2;
    run->nifti.nvol = nvol;
    run->nifti.slope = 1;
    return run;
}

static inline struct expr *runs_parse(const char *text)
{
    struct expr_error err;
    struct expr *e;

    if (expr_parse(text, NULL, NULL, &e, &err) < 0)
        fail_msg("%s: %s", text, err.error.text);
    return e;
}

#endif
