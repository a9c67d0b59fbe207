/* SPDX-License-Identifier: MIT
 *
 * Tasks that reduce one stream: moments, also those of what a trend leaves.
 *
 * The moments of a run as it is stored are the common case and the fast way: the stored bytes flow
 * through one buffer of some volumes, inflated into it, added to the accumulators, overwritten;
 * integers are summed exactly. Every other stream comes volume by volume as float64. Nothing is ever
 * as large as a run.
 */
#include <errno.h>
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

struct sums {
    struct moments *m;
    const struct legendre *trend; /* NULL: none */
    double slope, inter;          /* of the samples that are summed */
};

/* Make the moments, if they are not there. */
static int set_up(const struct work *k, enum sample_type sample, bool swapped, struct sums *s,
                  struct error *err)
{
    if (!s->m)
        s->m = moments_new(sample, swapped, k->nvox, s->trend);
    return s->m ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);
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
                struct sums *s, struct error *err)
{
    size_t room = k->t->call_nbytes;
    void *buf = vector_alloc(room);
    int ret = buf ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    while (ret == 0 && left > 0) {
        size_t nbytes = left < room ? (size_t)left : room;

        ret = fill(k, c, buf, nbytes, err);
        if (ret == 0)
            ret = set_up(k, h->sample, h->swapped, s, err);
        if (ret == 0)
            moments_add(s->m, buf, nbytes / h->sample_nbytes);
        left -= nbytes;
    }
    vector_free(buf);
    return ret;
}

/* The same of some slices: a stretch of each volume. Stretches are gathered in the buffer, so that
 * a call of the kernel brings many of them. */
static int pump_slices(const struct work *k, struct cursor *c, int64_t nvol, const struct nifti *h,
                       struct sums *s, struct error *err)
{
    uint64_t before = (uint64_t)k->g->vox0 * h->sample_nbytes;
    uint64_t stretch = (uint64_t)k->nvox * h->sample_nbytes;
    uint64_t behind = (uint64_t)nifti_nvox(h) * h->sample_nbytes - before - stretch;
    size_t buf_nbytes = k->t->call_nbytes;
    unsigned char *buf = vector_alloc(buf_nbytes);
    int ret = buf ? set_up(k, h->sample, h->swapped, s, err)
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
                moments_add(s->m, buf, filled / h->sample_nbytes);
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
                      struct sums *s, struct error *err)
{
    const struct nifti *h = &leaf->run->nifti;
    uint64_t nbytes = (uint64_t)nvol * k->nvox * h->sample_nbytes;
    struct cursor *c;
    int ret = cursor_open(k->c->pool, leaf->run, leaf->vol0, nvol, &k->stop, &c, err);

    if (ret < 0)
        return ret;
    ret = k->g->is_slices ? pump_slices(k, c, nvol, h, s, err) : pump(k, c, nbytes, h, s, err);
    s->slope = h->slope;
    s->inter = h->inter;
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

static int add_volume(void *ctx, double *values, struct error *err)
{
    struct moments *m = ctx;

    (void)err;
    moments_add(m, values, moments_nvox(m));
    return 0;
}

/* Sum the task's only stream. */
static int sum_stream(const struct work *k, struct sums *s, struct error *err)
{
    const struct stream *x = &k->t->streams[0];
    int ret;

    if (stream_is_raw(x))
        return add_stored(k, &x->leaves[x->e->start], x->nvol, s, err);
    s->slope = 1;
    s->inter = 0;
    ret = set_up(k, SAMPLE_FLOAT64, false, s, err);
    return ret == 0 ? work_for_each_volume(k, add_volume, s->m, err) : ret;
}

/* ---- tasks ---- */

static int write_plane(const struct work *k, const struct sums *s, enum moments_plane plane,
                       struct error *err)
{
    double block[BLOCK_NVOX];
    int ret = 0;

    for (size_t vox = 0; vox < k->nvox && ret == 0; vox += BLOCK_NVOX) {
        size_t n = k->nvox - vox < BLOCK_NVOX ? k->nvox - vox : BLOCK_NVOX;

        moments_plane(s->m, plane, s->slope, s->inter, vox, n, block);
        ret = work_write(k, block, n, err);
    }
    return ret;
}

int compute_moments(const struct work *k, struct error *err)
{
    struct sums s = {.trend = NULL};
    int ret = sum_stream(k, &s, err);

    for (int plane = 0; plane < MOMENTS_NPLANES && ret == 0; plane++)
        ret = write_plane(k, &s, (enum moments_plane)plane, err);
    moments_free(s.m);
    return ret;
}

/* There are as many planes as the task's order says, also where the fit has less. */
static int write_trend(const struct work *k, const struct sums *s, struct error *err)
{
    size_t n = (MOMENTS_NPLANES + k->t->order) * k->nvox;
    double *planes = calloc(n, sizeof *planes);
    int ret;

    if (!planes)
        return error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    moments_trend(s->m, s->slope, s->inter, planes);
    ret = work_write(k, planes, n, err);
    free(planes);
    return ret;
}

int compute_trend(const struct work *k, struct error *err)
{
    struct sums s = {.m = NULL};
    struct legendre *l;
    int ret = legendre_new(k->t->streams[0].nvol, k->t->order, &l, err);

    if (ret < 0)
        return ret;
    s.trend = l;
    ret = sum_stream(k, &s, err);
    if (ret == 0)
        ret = write_trend(k, &s, err);
    moments_free(s.m);
    legendre_free(l);
    return ret;
}
