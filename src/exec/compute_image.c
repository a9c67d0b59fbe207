/* SPDX-License-Identifier: MIT
 *
 * Tasks that evaluate an image expression over finished reductions.
 *
 * For each block of voxels the planes of all segments are read and merged in the order of time,
 * then the expression is evaluated tile by tile. A file's values are rounded to float32 once, at
 * the end.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute_private.h"
#include "eval.h"
#include "kernel.h"
#include "stats.h"
#include "vector.h"

/* Voxels of one block. */
enum { BLOCK_NVOX = TASK_BLOCK_NVOX };
enum { PLANES_NBYTES = MOMENTS_NPLANES * BLOCK_NVOX * sizeof(double) };
_Static_assert(BLOCK_NVOX % EVAL_TILE == 0, "a block is cut into whole tiles");

/* The values of one reduction over one block. Reductions that come from the same tasks share them.
 */
struct block_values {
    struct moments_view merged; /* percentiles and single volumes: plane 0 alone, n = 0 */
    const struct block_values *same_as;
};

struct block {
    const struct work *k;
    struct block_values *values; /* [nreductions] */
    struct moments_view one;     /* of the segment that is being merged */
    double *out;                 /* [BLOCK_NVOX], or as many floats: the values of the block */
    size_t vox0;                 /* of the block, among those of the task */
    size_t tile0;                /* where in the block the tile that is being evaluated starts */
};

/* Is it a plane of its task's result, rather than what moments give? */
static bool is_plane(const struct reduction *r)
{
    return expr_op_kind(r->e->op) != EXPR_KIND_MOMENTS;
}

/* Is it one number for all voxels? */
static bool is_number(const struct reduction *r)
{
    return expr_op_kind(r->e->op) == EXPR_KIND_WITHIN;
}

typedef void statistic_fn(const struct expr *e, const struct moments_view *m, size_t at, size_t n,
                          double *out);

static void take_plane(const struct moments_view *m, size_t plane, size_t at, size_t n, double *out)
{
    memcpy(out, m->plane[plane] + at, n * sizeof *out);
}

/* The statistics that moments give: take_OP() for each of expr_ops.h. */
#define STATISTIC(op, call)                                                                        \
    static void take_##op(const struct expr *e, const struct moments_view *m, size_t at, size_t n, \
                          double *out)                                                             \
    {                                                                                              \
        (void)e;                                                                                   \
        call;                                                                                      \
    }

STATISTIC(MEAN, moments_mean(m, at, n, out))
STATISTIC(STD, moments_std(m, at, n, e->number, out))
STATISTIC(VAR, moments_variance(m, at, n, e->number, out))
STATISTIC(SUM, take_plane(m, MOMENTS_SUM, at, n, out))
STATISTIC(MIN, take_plane(m, MOMENTS_MIN, at, n, out))
STATISTIC(MAX, take_plane(m, MOMENTS_MAX, at, n, out))

#define ROW(kind, op, text, form, masks, number) [EXPR_##op] = take_##op,

static statistic_fn *const statistics[EXPR_NOPS] = {EXPR_MOMENTS(ROW, )};

static void fill(double number, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = number;
}

/* Where voxels [vox, vox + n) of the grid are: along axis `axis` of the index, or in mm. */
static void take_coordinate(const struct nifti *h, enum expr_op op, size_t vox, size_t n,
                            double *out)
{
    size_t nx = (size_t)h->dim[0], ny = (size_t)h->dim[1];
    bool is_index = op <= EXPR_AT_K;
    int axis = (int)op - (is_index ? EXPR_AT_I : EXPR_AT_X);

    for (size_t v = vox; v < vox + n; v++) {
        size_t i = v % nx, j = v / nx % ny, k = v / nx / ny;
        double at[3] = {(double)i, (double)j, (double)k};
        const double *row = h->affine[axis];

        out[v - vox] =
            is_index ? at[axis] : row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3];
    }
}

static bool leaf(void *ctx, const struct expr *e, size_t n, double *out)
{
    const struct block *b = ctx;
    const struct task *t = b->k->t;

    if (expr_op_kind(e->op) == EXPR_KIND_COORDINATE) {
        take_coordinate(&b->k->g->runs[0]->nifti, e->op, b->k->g->vox0 + b->vox0 + b->tile0, n,
                        out);
        return true;
    }
    for (size_t i = 0; i < t->nreductions; i++) {
        const struct moments_view *m = &b->values[i].same_as->merged;

        if (t->reductions[i].e != e)
            continue;
        if (is_number(&t->reductions[i]))
            fill(m->plane[0][0], n, out);
        else if (is_plane(&t->reductions[i]))
            take_plane(m, 0, b->tile0, n, out);
        else
            statistics[e->op](e, m, b->tile0, n, out);
        return true;
    }
    return false;
}

/* One block of a plane of one input. */
static int read_plane(const struct block *b, size_t input, size_t plane, size_t vox0, size_t n,
                      double *to, struct error *err)
{
    return blob_read(b->k->inputs[input], (plane * b->k->nvox + vox0) * sizeof *to, to,
                     n * sizeof *to, err);
}

static int merge_segments(struct block *b, const struct reduction *r, struct moments_view *merged,
                          size_t vox0, size_t n, struct error *err)
{
    const struct task *t = b->k->t;

    merged->n = 0;
    for (size_t i = 0; i < r->ndeps; i++) {
        const struct task *from = &b->k->g->tasks[t->deps[r->first_dep + i]];
        int ret = 0;

        for (size_t plane = 0; plane < MOMENTS_NPLANES && ret == 0; plane++)
            ret = read_plane(b, r->first_dep + i, plane, vox0, n, b->one.plane[plane], err);
        if (ret < 0)
            return ret;
        b->one.n = (double)from->streams[0].nvol;
        moments_merge(merged, &b->one, n);
    }
    return 0;
}

/* The values of an input from those of its files: a mask is true or false. */
static int read_input(struct block *b, const struct reduction *r, double *out, size_t vox0,
                      size_t n, struct error *err)
{
    bool mask = r->input->kind == INPUT_MASK, any = r->input->join == INPUT_ANY;
    double *file = b->one.plane[0];
    int ret = 0;

    for (size_t i = 0; i < r->ndeps && ret == 0; i++) {
        ret = read_plane(b, r->first_dep + i, 0, vox0, n, i > 0 ? file : out, err);
        for (size_t v = 0; mask && i == 0 && v < n; v++)
            out[v] = out[v] != 0 && !isnan(out[v]);
        for (size_t v = 0; i > 0 && v < n; v++) {
            bool is_in = file[v] != 0 && !isnan(file[v]);

            out[v] = any ? is_in || out[v] != 0 : is_in && out[v] != 0;
        }
    }
    return ret;
}

static int load_block(struct block *b, size_t vox0, size_t n, struct error *err)
{
    const struct task *t = b->k->t;
    int ret = 0;

    b->vox0 = vox0;
    for (size_t i = 0; i < t->nreductions && ret == 0; i++) {
        const struct reduction *r = &t->reductions[i];
        struct block_values *v = &b->values[i];

        if (v->same_as != v)
            continue;
        if (is_number(r))
            ret = blob_read(b->k->inputs[r->first_dep], 0, v->merged.plane[0], sizeof(double), err);
        else if (r->input)
            ret = read_input(b, r, v->merged.plane[0], vox0, n, err);
        else if (is_plane(r))
            ret = read_plane(b, r->first_dep, r->plane, vox0, n, v->merged.plane[0], err);
        else
            ret = merge_segments(b, r, &v->merged, vox0, n, err);
    }
    return ret;
}

static int new_view(struct moments_view *view)
{
    double *planes = vector_alloc(PLANES_NBYTES);

    for (size_t i = 0; planes && i < MOMENTS_NPLANES; i++)
        view->plane[i] = planes + i * BLOCK_NVOX;
    return planes ? 0 : -ENOMEM;
}

static int block_open(struct block *b, const struct work *k)
{
    const struct task *t = k->t;
    int ret;

    *b = (struct block){.k = k};
    b->values = calloc(t->nreductions + 1, sizeof *b->values);
    b->out = calloc(BLOCK_NVOX, sizeof *b->out);
    ret = b->values && b->out ? new_view(&b->one) : -ENOMEM;
    for (size_t i = 0; ret == 0 && i < t->nreductions; i++) {
        const struct reduction *r = &t->reductions[i];

        for (size_t j = 0; j < i && !b->values[i].same_as; j++) {
            const struct reduction *other = &t->reductions[j];

            if (r->first_dep == other->first_dep && r->ndeps == other->ndeps &&
                r->plane == other->plane && r->input == other->input &&
                is_plane(r) == is_plane(other))
                b->values[i].same_as = b->values[j].same_as;
        }
        if (!b->values[i].same_as) {
            b->values[i].same_as = &b->values[i];
            ret = new_view(&b->values[i].merged);
        }
    }
    return ret;
}

static void block_close(struct block *b)
{
    for (size_t i = 0; b->values && i < b->k->t->nreductions; i++)
        vector_free(b->values[i].merged.plane[0]);
    free(b->values);
    vector_free(b->one.plane[0]);
    free(b->out);
}

/* Voxels go out a block at a time: a write of each tile would cost more than its values. */
static int write_block(struct block *b, size_t n, struct error *err)
{
    const struct work *k = b->k;
    float *rounded = (float *)b->out;

    for (b->tile0 = 0; b->tile0 < n; b->tile0 += EVAL_TILE) {
        size_t ntile = n - b->tile0 < EVAL_TILE ? n - b->tile0 : EVAL_TILE;
        double tile[EVAL_TILE];

        if (k->t->kind == TASK_PLANE) {
            eval_tile(k->t->e, leaf, b, ntile, b->out + b->tile0);
            continue;
        }
        eval_tile(k->t->e, leaf, b, ntile, tile);
        kernel_round(tile, ntile, rounded + b->tile0);
    }
    if (k->t->kind == TASK_PLANE)
        return work_write(k, b->out, n, err);
    return cache_write(k->w, rounded, n * sizeof *rounded, err);
}

/* Called with each block once its reductions are there: voxels [vox, vox + n). */
typedef int each_block_fn(void *ctx, struct block *b, size_t n, struct error *err);

static int for_each_block(const struct work *k, each_block_fn *each, void *ctx, struct error *err)
{
    struct block b;
    int ret = block_open(&b, k);

    if (ret < 0)
        error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    for (size_t vox = 0; ret == 0 && vox < k->nvox; vox += BLOCK_NVOX) {
        size_t n = k->nvox - vox < BLOCK_NVOX ? k->nvox - vox : BLOCK_NVOX;

        ret = work_go_on(k, err);
        if (ret == 0)
            ret = load_block(&b, vox, n, err);
        if (ret == 0)
            ret = each(ctx, &b, n, err);
    }
    block_close(&b);
    return ret;
}

static int write_values(void *ctx, struct block *b, size_t n, struct error *err)
{
    (void)ctx;
    return write_block(b, n, err);
}

int compute_plane(const struct work *k, struct error *err)
{
    return for_each_block(k, write_values, NULL, err);
}

int compute_image(const struct work *k, struct error *err)
{
    unsigned char header[NIFTI_DERIVED_NBYTES];
    char *origin = graph_origin(k->t->e);
    int ret;

    if (!origin)
        return error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    nifti_derive(&k->g->runs[0]->nifti, 1, origin, header);
    free(origin);
    ret = cache_write(k->w, header, sizeof header, err);
    return ret == 0 ? compute_plane(k, err) : ret;
}

/* ---- numbers ---- */

/* The finite values of an image in a mask, in the order of voxels. */
struct inside {
    double *values; /* [n] */
    size_t n;
};

static int gather(void *ctx, struct block *b, size_t n, struct error *err)
{
    struct inside *in = ctx;
    const struct expr *e = b->k->t->e;

    (void)err;
    for (b->tile0 = 0; b->tile0 < n; b->tile0 += EVAL_TILE) {
        size_t ntile = n - b->tile0 < EVAL_TILE ? n - b->tile0 : EVAL_TILE;
        double x[EVAL_TILE], mask[EVAL_TILE];

        eval_tile(e->args[0], leaf, b, ntile, x);
        eval_tile(e->args[1], leaf, b, ntile, mask);
        for (size_t i = 0; i < ntile; i++)
            if (mask[i] != 0 && isfinite(x[i]))
                in->values[in->n++] = x[i];
    }
    return 0;
}

static double extreme(const struct inside *in, int sign)
{
    double most = in->n > 0 ? in->values[0] : NAN;

    for (size_t i = 1; i < in->n; i++)
        most = sign * in->values[i] > sign * most ? in->values[i] : most;
    return most;
}

static double median(const struct inside *in)
{
    stats_sort(in->values, in->n);
    return stats_percentile(in->values, in->n, 50);
}

typedef double within_fn(const struct expr *e, const struct inside *in);

/* The statistics within a mask: within_OP() for each of expr_ops.h. */
#define WITHIN(op, value)                                                                          \
    static double within_##op(const struct expr *e, const struct inside *in)                       \
    {                                                                                              \
        (void)e;                                                                                   \
        return (value);                                                                            \
    }

WITHIN(MEAN_IN, stats_sum(in->values, in->n) / (double)in->n)
WITHIN(STD_IN, sqrt(stats_variance(in->values, in->n, e->number)))
WITHIN(VAR_IN, stats_variance(in->values, in->n, e->number))
WITHIN(SUM_IN, in->n > 0 ? stats_sum(in->values, in->n) : NAN)
WITHIN(MIN_IN, extreme(in, -1))
WITHIN(MAX_IN, extreme(in, 1))
WITHIN(MEDIAN_IN, median(in))

#define WITHIN_ROW(kind, op, text, form, masks, number) [EXPR_##op] = within_##op,

static within_fn *const withins[EXPR_NOPS] = {EXPR_WITHIN(WITHIN_ROW, )};

int compute_within(const struct work *k, struct error *err)
{
    struct inside in = {.values = malloc(k->nvox * sizeof(double))};
    double value;
    int ret = in.values ? for_each_block(k, gather, &in, err)
                        : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    if (ret == 0) {
        value = withins[k->t->e->op](k->t->e, &in);
        ret = work_write(k, &value, 1, err);
    }
    free(in.values);
    return ret;
}

int compute_number(const struct work *k, struct error *err)
{
    struct block b;
    double value;
    int ret = block_open(&b, k);

    if (ret < 0)
        error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    if (ret == 0)
        ret = load_block(&b, 0, 1, err);
    if (ret == 0) {
        eval_tile(k->t->e, leaf, &b, 1, &value);
        ret = work_write(k, &value, 1, err);
    }
    block_close(&b);
    return ret;
}
