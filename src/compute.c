/* SPDX-License-Identifier: MIT
 *
 * Running tasks.
 *
 * moments: the run's stored bytes flow through one buffer of TASK_BUFFER_NBYTES: inflated into it,
 * added to the accumulators while in the processor's cache, overwritten. Nothing is ever as large
 * as a run. The entry is four planes of float64, [plane][nz][ny][nx], x fastest: mean, M2, min,
 * max. image: for each block of voxels the planes of all runs are read and merged in the order of
 * the runs, then the expression is evaluated tile by tile and rounded to float32 once. What a
 * source says is believed only when it has been read to its end, checksums and all, and has not
 * changed meanwhile; only then anything is written.
 */
#include "compute.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "kernel.h"

/* Voxels of one block of the image task; a multiple of EVAL_TILE. */
enum { BLOCK_NVOX = 16 * EVAL_TILE };

static int cancelled(const struct task *t, struct error *err)
{
    return error_set(err, ECANCELED, "%s: cancelled", t->label);
}

/* Stream the run's samples into `m`. */
static int add_run(const struct compute *c, const struct task *t, const struct task_control *ctl,
                   struct moments *m, struct error *err)
{
    const struct nifti *h = &t->run->nifti;
    uint64_t left = nifti_data_nbytes(h);
    struct source *s;
    void *buf = aligned_alloc(64, TASK_BUFFER_NBYTES);
    int ret;

    if (!buf)
        return error_set(err, ENOMEM, "%s: out of memory", t->run->path);
    ret = source_open(c->rootfd, t->run->path, &t->run->id, &s, err);
    if (ret < 0) {
        free(buf);
        return ret;
    }
    ret = source_skip(s, h->vox_offset, err);
    while (ret == 0 && left > 0) {
        size_t nbytes = left < TASK_BUFFER_NBYTES ? (size_t)left : TASK_BUFFER_NBYTES;

        if (task_cancelled(ctl))
            ret = cancelled(t, err);
        else
            ret = source_read(s, buf, nbytes, err);
        if (ret == 0)
            moments_add(m, buf, nbytes / h->sample_nbytes);
        left -= nbytes;
        task_progress(ctl, source_consumed(s));
    }
    if (ret == 0)
        ret = source_finish(s, err);
    source_close(s);
    free(buf);
    return ret;
}

static int write_planes(const struct task *t, const struct moments *m, struct cache_writer *w,
                        struct error *err)
{
    const struct nifti *h = &t->run->nifti;
    size_t nvox = (size_t)nifti_nvox(h);
    double *block = malloc(BLOCK_NVOX * sizeof *block);
    int ret = 0;

    if (!block)
        return error_set(err, ENOMEM, "%s: out of memory", t->label);
    for (int plane = 0; plane < MOMENTS_NPLANES; plane++)
        for (size_t vox = 0; vox < nvox && ret == 0; vox += BLOCK_NVOX) {
            size_t n = nvox - vox < BLOCK_NVOX ? nvox - vox : BLOCK_NVOX;

            moments_plane(m, (enum moments_plane)plane, h->slope, h->inter, vox, n, block);
            ret = cache_write(w, block, n * sizeof *block, err);
        }
    free(block);
    return ret;
}

static int run_moments(const struct compute *c, const struct task *t,
                       const struct task_control *ctl, struct cache_writer *w, struct error *err)
{
    const struct nifti *h = &t->run->nifti;
    struct moments *m = moments_new(h->sample, h->swapped, (size_t)nifti_nvox(h));
    int ret;

    if (!m)
        return error_set(err, ENOMEM, "%s: out of memory", t->run->path);
    ret = add_run(c, t, ctl, m, err);
    if (ret == 0)
        ret = write_planes(t, m, w, err);
    moments_free(m);
    return ret;
}

/* What the leaves of the image's expression are taken from: merged moments of one block. */
struct block {
    struct moments_view merged;
    struct moments_view one; /* of the run that is being merged */
    size_t tile0;            /* where in the block the current tile starts */
};

/* numpy's std and var divide by max(n - ddof, 0): too few volumes give NaN or inf, not an error. */
static double variance(const struct block *b, size_t i, double ddof)
{
    return b->merged.plane[MOMENTS_M2][i] / fmax(b->merged.n - ddof, 0);
}

static bool reduction_leaf(void *ctx, const struct expr *e, size_t n, double *out)
{
    const struct block *b = ctx;
    size_t i, at = b->tile0;

    switch (e->op) {
    case EXPR_MEAN:
        memcpy(out, b->merged.plane[MOMENTS_MEAN] + at, n * sizeof *out);
        return true;
    case EXPR_SUM:
        for (i = 0; i < n; i++)
            out[i] = b->merged.plane[MOMENTS_MEAN][at + i] * b->merged.n;
        return true;
    case EXPR_VAR:
        for (i = 0; i < n; i++)
            out[i] = variance(b, at + i, e->number);
        return true;
    case EXPR_STD:
        for (i = 0; i < n; i++)
            out[i] = sqrt(variance(b, at + i, e->number));
        return true;
    case EXPR_MIN:
        memcpy(out, b->merged.plane[MOMENTS_MIN] + at, n * sizeof *out);
        return true;
    case EXPR_MAX:
        memcpy(out, b->merged.plane[MOMENTS_MAX] + at, n * sizeof *out);
        return true;
    default:
        return false;
    }
}

/* Read one block of one run's planes. */
static int read_planes(const struct blob *moments, size_t nvox, size_t vox0, size_t n,
                       struct moments_view *view, struct error *err)
{
    int ret = 0;

    for (size_t plane = 0; plane < MOMENTS_NPLANES && ret == 0; plane++)
        ret = blob_read(moments, (plane * nvox + vox0) * sizeof(double), view->plane[plane],
                        n * sizeof(double), err);
    return ret;
}

static int image_block(const struct graph *g, struct blob *const *inputs, size_t vox0, size_t n,
                       struct block *b, float *out, struct error *err)
{
    size_t nvox = (size_t)nifti_nvox(&g->runs[0]->nifti);

    b->merged.n = 0;
    for (size_t i = 0; i < g->nruns; i++) {
        int ret = read_planes(inputs[i], nvox, vox0, n, &b->one, err);

        if (ret < 0)
            return ret;
        b->one.n = (double)g->runs[i]->nifti.nvol;
        moments_merge(&b->merged, &b->one, n);
    }
    for (b->tile0 = 0; b->tile0 < n; b->tile0 += EVAL_TILE) {
        double tile[EVAL_TILE];
        size_t ntile = n - b->tile0 < EVAL_TILE ? n - b->tile0 : EVAL_TILE;

        eval_tile(g->recipe->expr, reduction_leaf, b, ntile, tile);
        for (size_t i = 0; i < ntile; i++)
            out[b->tile0 + i] = (float)tile[i];
    }
    return 0;
}

static int write_image(const struct graph *g, const struct task *t, struct blob *const *inputs,
                       const struct task_control *ctl, struct block *b, float *out,
                       struct cache_writer *w, struct error *err)
{
    const struct nifti *first = &g->runs[0]->nifti;
    size_t nvox = (size_t)nifti_nvox(first);
    unsigned char head[NIFTI_DERIVED_NBYTES];
    char *origin = graph_origin(g->recipe->expr);
    int ret;

    if (!origin)
        return error_set(err, ENOMEM, "%s: out of memory", t->label);
    nifti_derive(first, 1, origin, head);
    free(origin);
    ret = cache_write(w, head, sizeof head, err);
    for (size_t vox = 0; vox < nvox && ret == 0; vox += BLOCK_NVOX) {
        size_t n = nvox - vox < BLOCK_NVOX ? nvox - vox : BLOCK_NVOX;

        if (task_cancelled(ctl))
            return cancelled(t, err);
        ret = image_block(g, inputs, vox, n, b, out, err);
        if (ret == 0)
            ret = cache_write(w, out, n * sizeof *out, err);
    }
    return ret;
}

static int run_image(const struct graph *g, const struct task *t, struct blob *const *inputs,
                     const struct task_control *ctl, struct cache_writer *w, struct error *err)
{
    double *planes = malloc(2 * (size_t)MOMENTS_NPLANES * BLOCK_NVOX * sizeof *planes);
    float *out = malloc(BLOCK_NVOX * sizeof *out);
    struct block b = {.merged.n = 0};
    int ret;

    if (planes && out) {
        for (size_t i = 0; i < MOMENTS_NPLANES; i++) {
            b.merged.plane[i] = planes + 2 * i * BLOCK_NVOX;
            b.one.plane[i] = planes + (2 * i + 1) * BLOCK_NVOX;
        }
        ret = write_image(g, t, inputs, ctl, &b, out, w, err);
    } else {
        ret = error_set(err, ENOMEM, "%s: out of memory", t->label);
    }
    free(planes);
    free(out);
    return ret;
}

int compute_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
                 const struct task_control *ctl, struct blob **out, struct error *err)
{
    const struct compute *c = ctx;
    struct cache_writer *w;
    int ret;

    if (cache_lookup(c->cache, &t->key, out) == 0)
        return 0;
    if (t->kind != TASK_MOMENTS && t->ndeps == 0)
        return error_set(err, ESTALE, "%s: evicted from the cache meanwhile", t->label);
    ret = cache_begin(c->cache, &t->key, t->label, t->result_nbytes, &w, err);
    if (ret < 0)
        return ret;
    switch (t->kind) {
    case TASK_MOMENTS:
        ret = run_moments(c, t, ctl, w, err);
        break;
    case TASK_IMAGE:
        ret = run_image(g, t, inputs, ctl, w, err);
        break;
    case TASK_OUTPUT:
        ret = g->format->write(inputs[0], w, err);
        break;
    }
    if (ret < 0) {
        cache_abort(w);
        return ret;
    }
    return cache_commit(w, out, err);
}
