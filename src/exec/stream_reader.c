/* SPDX-License-Identifier: MIT
 *
 * One volume at a time: every run that the stream reads gives its next volume of stored samples,
 * then the stream's expression is evaluated tile by tile, its leaves being scaled samples, planes
 * that stay in memory, and trends (coefficients times the polynomials' values at this volume).
 */
#include "stream_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "kernel.h"
#include "legendre.h"

/* A leaf of the stream while it is read. */
struct open_leaf {
    struct cursor *cursor;     /* SAMPLE */
    void *samples;             /* SAMPLE: the volume as stored */
    size_t nbytes;             /* of it */
    double number;             /* NUMBER */
    double *planes;            /* PLANE: [nvox]; TREND: [order][nvox], coefficients of P_1 .. */
    struct legendre *legendre; /* TREND */
};

struct stream_reader {
    const struct stream *s;
    const struct cancel_token *stop;
    bool of_parts; /* as in cursor_check() */
    size_t nvox;
    int64_t vol;              /* the next volume, of the stream */
    struct open_leaf *leaves; /* [s->nleaves] */
    size_t vox0;              /* where the tile that is being evaluated starts */
    const void *given;        /* its samples, in this machine's byte order; NULL: those read */
};

static const struct blob *input_of(const struct task *t, size_t task, struct blob *const *inputs)
{
    for (size_t d = 0; d < t->ndeps; d++)
        if (t->deps[d] == task)
            return inputs[d];
    return NULL;
}

static int load_planes(struct stream_reader *r, const struct blob *from, size_t first, size_t n,
                       struct open_leaf *to, struct error *err)
{
    size_t nbytes = r->nvox * sizeof(double);

    if (!from)
        return error_set(err, EIO, "an input of the stream is missing");
    to->planes = malloc(n * nbytes + 1);
    if (!to->planes)
        return error_set(err, ENOMEM, "out of memory");
    return blob_read(from, first * nbytes, to->planes, n * nbytes, err);
}

static int load_number(const struct blob *from, double *to, struct error *err)
{
    return from ? blob_read(from, 0, to, sizeof *to, err)
                : error_set(err, EIO, "an input of the stream is missing");
}

static int open_leaf(struct stream_reader *r, struct cursor_pool *pool, const struct task *t,
                     const struct stream_leaf *leaf, struct blob *const *inputs,
                     struct open_leaf *out, struct error *err)
{
    int ret;

    if (leaf->kind == LEAF_SAMPLE) {
        out->nbytes = r->nvox * leaf->run->nifti.sample_nbytes;
        out->samples = malloc(out->nbytes);
        if (!out->samples)
            return error_set(err, ENOMEM, "%s: out of memory", leaf->run->path);
        return cursor_open(pool, leaf->run, leaf->vol0, r->s->nvol, r->stop, &out->cursor, err);
    }
    if (leaf->kind == LEAF_NUMBER)
        return load_number(input_of(t, leaf->task, inputs), &out->number, err);
    if (leaf->kind == LEAF_PLANE)
        return load_planes(r, input_of(t, leaf->task, inputs), 0, 1, out, err);
    ret = legendre_new(leaf->fit_nvol, leaf->order, &out->legendre, err);
    if (ret < 0)
        return ret;
    return load_planes(r, input_of(t, leaf->task, inputs), MOMENTS_NPLANES, leaf->order, out, err);
}

int stream_reader_open(struct cursor_pool *pool, const struct graph *g, const struct task *t,
                       const struct stream *s, struct blob *const *inputs,
                       const struct cancel_token *stop, struct stream_reader **out,
                       struct error *err)
{
    struct stream_reader *r = calloc(1, sizeof *r);
    int ret = 0;

    if (!r)
        return error_set(err, ENOMEM, "%s: out of memory", t->label);
    r->s = s;
    r->stop = stop;
    r->of_parts = t->kind == TASK_CHUNK;
    r->nvox = g->nvox;
    r->vol = -1;
    r->leaves = calloc(s->nleaves + 1, sizeof *r->leaves);
    if (!r->leaves)
        ret = error_set(err, ENOMEM, "%s: out of memory", t->label);
    for (size_t i = 0; ret == 0 && i < s->nleaves; i++)
        ret = open_leaf(r, pool, t, &s->leaves[i], inputs, &r->leaves[i], err);
    if (ret < 0) {
        stream_reader_close(r);
        return ret;
    }
    *out = r;
    return 0;
}

static void fill_trend(const struct stream_reader *r, const struct stream_leaf *leaf,
                       const struct open_leaf *o, size_t n, double *out)
{
    int64_t vol = leaf->vol0 + r->vol;

    memset(out, 0, n * sizeof *out);
    for (unsigned k = 1; k <= o->legendre->order; k++) {
        const double *coefficient = o->planes + (k - 1) * r->nvox + r->vox0;
        double p = o->legendre->p[k * leaf->fit_nvol + vol];

        for (size_t i = 0; i < n; i++)
            out[i] += coefficient[i] * p;
    }
}

static bool fill_leaf(void *ctx, const struct expr *e, size_t n, double *out)
{
    const struct stream_reader *r = ctx;
    const struct stream_leaf *leaf;
    const struct open_leaf *o;

    if (e->op != EXPR_BOLD)
        return false;
    leaf = &r->s->leaves[e->start];
    o = &r->leaves[e->start];
    if (leaf->kind == LEAF_SAMPLE) {
        const struct nifti *h = &leaf->run->nifti;

        if (r->given)
            kernel_scale(h->sample, false, r->given, n, h->slope, h->inter, out);
        else
            kernel_scale(h->sample, h->swapped, (char *)o->samples + r->vox0 * h->sample_nbytes, n,
                         h->slope, h->inter, out);
    } else if (leaf->kind == LEAF_NUMBER) {
        for (size_t i = 0; i < n; i++)
            out[i] = o->number;
    } else if (leaf->kind == LEAF_PLANE) {
        memcpy(out, o->planes + r->vox0, n * sizeof *out);
    } else {
        fill_trend(r, leaf, o, n, out);
    }
    return true;
}

int stream_reader_next(struct stream_reader *r, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < r->s->nleaves && ret == 0; i++) {
        const struct open_leaf *o = &r->leaves[i];

        ret = o->cursor ? cursor_read(o->cursor, o->samples, o->nbytes, err) : 0;
    }
    r->vol++;
    return ret;
}

void stream_reader_values(struct stream_reader *r, size_t vox0, size_t nvox, double *out)
{
    for (size_t done = 0; done < nvox; done += EVAL_TILE) {
        size_t n = nvox - done < EVAL_TILE ? nvox - done : EVAL_TILE;

        r->vox0 = vox0 + done;
        eval_tile(r->s->e, fill_leaf, r, n, out + done);
    }
}

const void *stream_reader_stored(struct stream_reader *r)
{
    const struct stream_leaf *leaf = stream_sample_leaf(r->s);
    const struct nifti *h = &leaf->run->nifti;
    void *stored = r->leaves[leaf - r->s->leaves].samples;

    if (h->swapped)
        kernel_swap(h->sample, stored, r->nvox);
    return stored;
}

void stream_reader_values_of(struct stream_reader *r, int64_t vol, size_t vox0, size_t nvox,
                             const void *samples, double *out)
{
    r->given = samples;
    r->vol = vol;
    r->vox0 = vox0;
    eval_tile(r->s->e, fill_leaf, r, nvox, out);
}

int stream_reader_finish(struct stream_reader *r, struct error *err)
{
    for (size_t i = 0; i < r->s->nleaves; i++) {
        struct cursor *c = r->leaves[i].cursor;
        int ret = c ? cursor_check(c, r->of_parts, err) : 0;

        if (ret < 0)
            return ret;
        r->leaves[i].cursor = NULL;
        cursor_park(c);
        free(r->leaves[i].samples);
        r->leaves[i].samples = NULL;
    }
    return 0;
}

uint64_t stream_reader_consumed(const struct stream_reader *r)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < r->s->nleaves; i++)
        if (r->leaves[i].cursor)
            sum += cursor_consumed(r->leaves[i].cursor);
    return sum;
}

void stream_reader_close(struct stream_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->leaves && i < r->s->nleaves; i++) {
        cursor_close(r->leaves[i].cursor);
        legendre_free(r->leaves[i].legendre);
        free(r->leaves[i].samples);
        free(r->leaves[i].planes);
    }
    free(r->leaves);
    free(r);
}
