/* SPDX-License-Identifier: MIT
 *
 * Tasks that reduce one stream: moments and trends.
 *
 * The moments of a run as it is stored are the common case and the fast way: the stored bytes flow
 * through one buffer of some volumes, inflated into it, added to the accumulators, overwritten;
 * integers are summed exactly. Every other stream comes volume by volume as float64. Nothing is ever
 * as large as a run.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compute_private.h"
#include "kernel.h"
#include "legendre.h"
#include "vector.h"

/* Voxels written at a time. */
enum { BLOCK_NVOX = 8192 }; /* 64 KiB of them: that much takes the page cache at a time */

/* Bytes read of a run between two looks whether anybody still wants it. */
enum { STEP_NBYTES = 256 << 10 };

/* ---- a run as it is stored ---- */

/* Make *m, if it is not there. */
static int set_up(const struct work *k, enum sample_type sample, bool swapped, struct moments **m,
                  struct error *err)
{
    if (!*m)
        *m = moments_new(sample, swapped, k->nvox);
    return *m ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);
}

/* Fill `buf` for one call of the kernel. That may be many MiB: whoever waits is told on the way how
 * far it is, and does not have to wait for all of it to stop. */
static int fill(const struct work *k, struct cursor *c, unsigned char *buf, size_t nbytes,
                struct error *err)
{
    int ret = 0;

    for (size_t at = 0; at < nbytes && ret == 0; at += STEP_NBYTES) {
        size_t n = nbytes - at < STEP_NBYTES ? nbytes - at : STEP_NBYTES;

        ret = work_go_on(k, err);
        if (ret == 0)
            ret = cursor_read(c, buf + at, n, err);
        task_progress(k->ctl, cursor_consumed(c));
    }
    return ret;
}

/* The accumulators are set up after the first read: the helpers that help with the run begin their
 * work with that, and do not have to wait for fresh memory. */
static int pump(const struct work *k, struct cursor *c, uint64_t left, const struct nifti *h,
                struct moments **m, struct error *err)
{
    size_t room = k->t->call_nbytes;
    void *buf = vector_alloc(room);
    int ret = buf ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    while (ret == 0 && left > 0) {
        size_t nbytes = left < room ? (size_t)left : room;

        ret = fill(k, c, buf, nbytes, err);
        if (ret == 0)
            ret = set_up(k, h->sample, h->swapped, m, err);
        if (ret == 0)
            moments_add(*m, buf, nbytes / h->sample_nbytes);
        left -= nbytes;
    }
    vector_free(buf);
    return ret;
}

/* The same of some slices: a stretch of each volume. Stretches are gathered in the buffer, so that
 * a call of the kernel brings many of them. */
static int pump_slices(const struct work *k, struct cursor *c, int64_t nvol, const struct nifti *h,
                       struct moments **m, struct error *err)
{
    uint64_t before = (uint64_t)k->g->vox0 * h->sample_nbytes;
    uint64_t stretch = (uint64_t)k->nvox * h->sample_nbytes;
    uint64_t behind = (uint64_t)nifti_nvox(h) * h->sample_nbytes - before - stretch;
    size_t buf_nbytes = k->t->call_nbytes;
    unsigned char *buf = vector_alloc(buf_nbytes);
    int ret = buf ? set_up(k, h->sample, h->swapped, m, err)
                  : error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    size_t filled = 0;

    for (int64_t vol = 0; vol < nvol && ret == 0; vol++) {
        ret = work_go_on(k, err);
        if (ret == 0)
            ret = cursor_pass(c, before, err);
        for (uint64_t left = stretch; left > 0 && ret == 0;) {
            size_t room = buf_nbytes - filled, n = left < room ? (size_t)left : room;

            ret = cursor_read(c, buf + filled, n, err);
            filled += n;
            left -= n;
            if (ret == 0 && (filled == buf_nbytes || (left == 0 && vol + 1 == nvol))) {
                moments_add(*m, buf, filled / h->sample_nbytes);
                filled = 0;
            }
        }
        if (ret == 0)
            ret = cursor_pass(c, behind, err);
        task_progress(k->ctl, cursor_consumed(c));
    }
    vector_free(buf);
    return ret;
}

static int add_stored(const struct work *k, const struct stream_leaf *leaf, int64_t nvol,
                      struct moments **m, struct error *err)
{
    const struct nifti *h = &leaf->run->nifti;
    uint64_t nbytes = (uint64_t)nvol * k->nvox * h->sample_nbytes;
    struct cursor *c;
    int ret = cursor_open(k->c->pool, leaf->run, leaf->vol0, nvol, &k->stop, &c, err);

    if (ret < 0)
        return ret;
    ret = k->g->is_slices ? pump_slices(k, c, nvol, h, m, err) : pump(k, c, nbytes, h, m, err);
    if (ret == 0)
        ret = cursor_check(c, false, err);
    task_progress(k->ctl, cursor_consumed(c));
    if (ret < 0)
        cursor_close(c);
    else
        cursor_park(c);
    return ret;
}

/* ---- any stream ---- */

static int add_volume(void *ctx, int64_t vol, double *values, struct error *err)
{
    struct moments *m = ctx;

    (void)vol, (void)err;
    moments_add(m, values, moments_nvox(m));
    return 0;
}

static int write_plane(const struct work *k, const struct moments *m, enum moments_plane plane,
                       double slope, double inter, struct error *err)
{
    double block[BLOCK_NVOX];
    int ret = 0;

    for (size_t vox = 0; vox < k->nvox && ret == 0; vox += BLOCK_NVOX) {
        size_t n = k->nvox - vox < BLOCK_NVOX ? k->nvox - vox : BLOCK_NVOX;

        moments_plane(m, plane, slope, inter, vox, n, block);
        ret = work_write(k, block, n, err);
    }
    return ret;
}

int compute_moments(const struct work *k, struct error *err)
{
    const struct stream *s = &k->t->streams[0];
    bool raw = stream_is_raw(s);
    const struct nifti *h = raw ? &s->leaves[s->e->start].run->nifti : NULL;
    struct moments *m = NULL;
    int ret = raw ? 0 : set_up(k, SAMPLE_FLOAT64, false, &m, err);

    if (ret == 0)
        ret = raw ? add_stored(k, &s->leaves[s->e->start], s->nvol, &m, err)
                  : work_for_each_volume(k, add_volume, m, err);
    for (int plane = 0; plane < MOMENTS_NPLANES && ret == 0; plane++)
        ret = write_plane(k, m, (enum moments_plane)plane, raw ? h->slope : 1, raw ? h->inter : 0,
                          err);
    moments_free(m);
    return ret;
}

/* ---- trends ---- */

struct trend {
    struct moments *m;
    struct legendre *legendre;
    size_t nvox;
    double *first; /* [nvox]: the first volume, which is taken off all before they are summed: a
                      large mean costs no digits, and a constant has exactly no trend */
    double *along; /* [order][nvox]: sums of (x(t) - first) q_k(t) for k = 1 .. order */
};

static int add_to_trend(void *ctx, int64_t vol, double *values, struct error *err)
{
    struct trend *trend = ctx;
    const struct legendre *l = trend->legendre;

    if (vol == 0)
        memcpy(trend->first, values, trend->nvox * sizeof *values);
    for (unsigned k = 1; k <= l->order; k++) {
        double *along = trend->along + (k - 1) * trend->nvox;
        double q = l->q[k * l->nvol + vol];

        for (size_t i = 0; i < trend->nvox; i++)
            along[i] += (values[i] - trend->first[i]) * q;
    }
    return add_volume(trend->m, vol, values, err);
}

/* Turn the sums into coefficients, and the moments of one voxel into those of what the trend
 * leaves: x less b_1 P_1 + b_2 P_2 + ... varies about b_0, by the part of M2 that no q_k explains.
 * No value is further than the root of M2 from the mean; that is the bounds. What is not finite has
 * no fit: then all that is left is NaN. */
static void settle_trend(const struct trend *trend, size_t vox, double *m[MOMENTS_NPLANES])
{
    const struct legendre *l = trend->legendre;
    double mean = m[MOMENTS_SUM][vox] / (double)l->nvol - trend->first[vox];
    double m2 = m[MOMENTS_M2][vox];
    double d[LEGENDRE_ORDER_MAX + 1], b[LEGENDRE_ORDER_MAX + 1];
    bool finite = isfinite(m[MOMENTS_SUM][vox]) && isfinite(m2);

    if (l->order == 0) /* of a single volume: nothing is taken off */
        return;
    /* of a constant the sum may have been rounded */
    if (m[MOMENTS_MIN][vox] == m[MOMENTS_MAX][vox])
        mean = 0;
    d[0] = mean * (double)l->nvol * l->q[0];
    for (unsigned k = 1; k <= l->order; k++) {
        d[k] = trend->along[(k - 1) * trend->nvox + vox];
        m2 -= d[k] * d[k];
    }
    if (m2 < 0) /* by rounding, where nothing is left */
        m2 = 0;
    legendre_solve(l, d, b);
    mean = finite ? trend->first[vox] + b[0] : NAN;
    m2 = finite ? m2 : NAN;
    m[MOMENTS_SUM][vox] = mean * (double)l->nvol;
    m[MOMENTS_M2][vox] = m2;
    m[MOMENTS_MIN][vox] = mean - sqrt(m2);
    m[MOMENTS_MAX][vox] = mean + sqrt(m2);
    for (unsigned k = 1; k <= l->order; k++)
        trend->along[(k - 1) * trend->nvox + vox] = finite ? b[k] : NAN;
}

static int write_trend(const struct work *k, const struct trend *trend, struct error *err)
{
    double *planes = malloc(MOMENTS_NPLANES * k->nvox * sizeof *planes), *m[MOMENTS_NPLANES];
    int ret;

    if (!planes)
        return error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    for (size_t p = 0; p < MOMENTS_NPLANES; p++) {
        m[p] = planes + p * k->nvox;
        moments_plane(trend->m, (enum moments_plane)p, 1, 0, 0, k->nvox, m[p]);
    }
    for (size_t vox = 0; vox < k->nvox; vox++)
        settle_trend(trend, vox, m);
    ret = work_write(k, planes, MOMENTS_NPLANES * k->nvox, err);
    if (ret == 0)
        ret = work_write(k, trend->along, k->t->order * k->nvox, err);
    free(planes);
    return ret;
}

int compute_trend(const struct work *k, struct error *err)
{
    const struct stream *s = &k->t->streams[0];
    struct trend trend = {.nvox = k->nvox};
    int ret = legendre_new(s->nvol, k->t->order, &trend.legendre, err);

    if (ret < 0)
        return ret;
    trend.m = moments_new(SAMPLE_FLOAT64, false, k->nvox);
    trend.along = calloc(k->t->order * k->nvox, sizeof *trend.along);
    trend.first = malloc(k->nvox * sizeof *trend.first);
    if (!trend.m || !trend.along || !trend.first)
        ret = error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    if (ret == 0)
        ret = work_for_each_volume(k, add_to_trend, &trend, err);
    if (ret == 0)
        ret = write_trend(k, &trend, err);
    moments_free(trend.m);
    legendre_free(trend.legendre);
    free(trend.along);
    free(trend.first);
    return ret;
}
