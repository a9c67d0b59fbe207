/* SPDX-License-Identifier: MIT
 *
 * Graphs made by hand, for tests of what is told about graphs: `nruns` runs of 30 volumes of
 * (4, 5, 6) voxels, the moments of each, and one image from all of them.
 */
#ifndef DERIVFS_TESTS_DRAWN_GRAPH_H
#define DERIVFS_TESTS_DRAWN_GRAPH_H

#include <stdio.h>
#include <stdlib.h>

#include "graph.h"

struct drawn_graph {
    struct graph g;
    struct recipe recipe;
    struct run *runs;
    struct expr *image, *bold;
};

static inline struct stream_leaf sample_of(struct run *run)
{
    return (struct stream_leaf){.kind = LEAF_SAMPLE, .run = run};
}

static inline struct stream one_stream(struct expr *e, struct stream_leaf leaf, int64_t nvol)
{
    struct stream s = {.e = e, .nleaves = 1, .nvol = nvol};

    s.leaves = calloc(2, sizeof *s.leaves);
    s.leaves[0] = leaf;
    return s;
}

static inline void set_key(struct key *key, size_t number)
{
    snprintf(key->hex, sizeof key->hex, "%040zx", number);
}

static inline void make_moments(struct drawn_graph *d, size_t i)
{
    struct task *t = &d->g.tasks[i];

    *t = (struct task){.kind = TASK_MOMENTS, .work_nbytes = 1000, .nstreams = 1, .e = d->bold};
    t->result_nbytes = 4 * 120 * sizeof(double);
    set_key(&t->key, i);
    if (asprintf(&t->label, "moments %s", d->runs[i].path) < 0)
        abort();
    t->streams = calloc(1, sizeof *t->streams);
    t->streams[0] = one_stream(d->bold, sample_of(&d->runs[i]), 30);
}

static inline struct drawn_graph *drawn_graph_new(size_t nruns, const char *text)
{
    struct drawn_graph *d = calloc(1, sizeof *d);
    struct task *root;

    if (expr_parse(text, NULL, NULL, &d->image, NULL) < 0 ||
        expr_parse("bold", NULL, NULL, &d->bold, NULL) < 0)
        abort();
    d->recipe = (struct recipe){.name = (char *)"tsnr", .text = (char *)text, .expr = d->image};
    d->g = (struct graph){
        .recipe = &d->recipe, .nruns = nruns, .nsources = nruns, .ntasks = nruns + 1};
    d->runs = calloc(nruns, sizeof *d->runs);
    d->g.runs = calloc(nruns, sizeof *d->g.runs);
    d->g.tasks = calloc(nruns + 1, sizeof *d->g.tasks);
    root = &d->g.tasks[nruns];
    *root = (struct task){.kind = TASK_IMAGE, .e = d->image, .ndeps = nruns};
    root->deps = calloc(nruns, sizeof *root->deps);
    root->label = strdup(text);
    root->result_nbytes = NIFTI_DERIVED_NBYTES + 120 * sizeof(float);
    set_key(&root->key, nruns);
    for (size_t i = 0; i < nruns; i++) {
        d->runs[i] = (struct run){.codec = &codec_gzip,
                                  .nifti = {.dim = {4, 5, 6}, .nvol = 30, .sample = SAMPLE_INT16}};
        d->runs[i].id.size = 7200;
        if (asprintf(&d->runs[i].path, "func/run-%03zu_bold.nii", i) < 0)
            abort();
        d->g.runs[i] = &d->runs[i];
        make_moments(d, i);
        root->deps[i] = i;
    }
    return d;
}

static inline void drawn_graph_free(struct drawn_graph *d)
{
    for (size_t i = 0; i < d->g.ntasks; i++) {
        for (size_t s = 0; s < d->g.tasks[i].nstreams; s++)
            free(d->g.tasks[i].streams[s].leaves);
        free(d->g.tasks[i].streams);
        free(d->g.tasks[i].label);
        free(d->g.tasks[i].deps);
    }
    for (size_t i = 0; i < d->g.nruns; i++)
        free(d->runs[i].path);
    free(d->runs);
    free(d->g.runs);
    free(d->g.tasks);
    expr_free(d->image);
    expr_free(d->bold);
    free(d);
}

#endif
