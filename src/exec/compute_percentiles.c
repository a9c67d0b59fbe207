/* SPDX-License-Identifier: MIT
 *
 * Percentiles over time.
 *
 * A percentile of a voxel needs its whole time course. The samples of as many voxels are held as the
 * task's memory has room for; if these are not all, the runs are read again for the next ones. The
 * values of a series that is computed are computed from them tile by tile, when they are selected
 * from: float64 would take several times the memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compute_private.h"
#include "kernel.h"
#include "timecourses.h"

/* Where a volume comes from. */
struct place {
    size_t stream;
    int64_t vol; /* of the stream */
};

/* One pass over the runs. */
struct pass {
    const struct work *k;
    struct timecourses *held;
    struct place *places; /* [nvol] of all streams */
    struct stream_reader **readers;
    size_t vox0;    /* of the first voxel that is held */
    double *values; /* [nvox]: a volume of a stream with several leaves of samples */
};

static int gather(void *ctx, struct stream_reader *r, const struct stream *s, struct error *err)
{
    const struct pass *p = ctx;
    const struct stream_leaf *leaf = stream_sample_leaf(s);

    (void)err;
    if (leaf) {
        const struct nifti *h = &leaf->run->nifti;
        const char *samples = stream_reader_stored(r);

        timecourses_add(p->held, h->sample, h->slope, h->inter,
                        samples + p->vox0 * h->sample_nbytes);
    } else {
        stream_reader_values(r, p->vox0, timecourses_nvox(p->held), p->values);
        timecourses_add_float64(p->held, p->values);
    }
    return 0;
}

/* A timecourses_value_fn. */
static void compute_values(void *ctx, size_t vol, size_t vox0, size_t n, const void *samples,
                           double *out)
{
    const struct pass *p = ctx;
    const struct place *at = &p->places[vol];

    if (stream_sample_leaf(&p->k->t->streams[at->stream]))
        stream_reader_values_of(p->readers[at->stream], at->vol, p->vox0 + vox0, n, samples, out);
    else
        memcpy(out, samples, n * sizeof *out);
}

/* Are the values of all streams just samples? */
static bool all_raw(const struct task *t)
{
    for (size_t i = 0; i < t->nstreams; i++)
        if (!stream_is_raw(&t->streams[i]))
            return false;
    return true;
}

/* Percentile first + i of voxel p->vox0 + v, i below ntogether, goes to out[i * k->nvox + p->vox0 +
 * v]; a single one is written. */
static int select_all(const struct work *k, struct pass *p, size_t first, double *out,
                      struct error *err)
{
    struct timecourses_reader *r =
        timecourses_reader_new(p->held, all_raw(k->t) ? NULL : compute_values, p);
    size_t nvox = timecourses_nvox(p->held), n = k->t->ntogether;
    int ret = r ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    for (size_t vox = 0; ret == 0 && vox < nvox;) {
        double *to = n > 1 ? out + p->vox0 + vox : out;
        size_t ready = 0;

        ret = work_go_on(k, err);
        while (ret == 0 && vox + ready < nvox && ready + TIMECOURSES_TILE <= TASK_BLOCK_NVOX)
            ready += timecourses_reader_next(r, k->t->percents + first, n, to + ready, k->nvox);
        if (ret == 0 && n == 1)
            ret = work_write(k, out, ready, err);
        vox += ready;
    }
    timecourses_reader_free(r);
    return ret;
}

/* The planes from `first` on that the same passes give. A single one is written as it is computed; of
 * several, the first is not complete before the last. */
static int write_planes(const struct work *k, struct pass *p, size_t first, double *out,
                        struct error *err)
{
    size_t n = k->t->ntogether;
    int ret = 0;

    for (p->vox0 = 0; ret == 0 && p->vox0 < k->nvox; p->vox0 += timecourses_nvox(p->held)) {
        timecourses_begin(p->held, k->nvox - p->vox0);
        ret = work_take_volumes(k, gather, p, p->readers, err);
        if (ret == 0)
            ret = select_all(k, p, first, out, err);
        for (size_t i = 0; i < k->t->nstreams; i++) {
            stream_reader_close(p->readers[i]);
            p->readers[i] = NULL;
        }
    }
    return ret == 0 && n > 1 ? work_write(k, out, n * k->nvox, err) : ret;
}

static int open_pass(const struct work *k, struct pass *p, struct error *err)
{
    const struct task *t = k->t;
    int64_t nvol = 0;

    for (size_t i = 0; i < t->nstreams; i++)
        nvol += t->streams[i].nvol;
    *p = (struct pass){
        .k = k,
        .held = timecourses_new(nvol, t->room_nbytes, t->room_nvox),
        .places = calloc((size_t)nvol, sizeof *p->places),
        .readers = calloc(t->nstreams, sizeof(struct stream_reader *)),
        .values = malloc(k->nvox * sizeof *p->values),
    };
    if (!p->held || !p->places || !p->readers || !p->values)
        return error_set(err, ENOMEM, "%s: out of memory", t->label);
    for (size_t i = 0, at = 0; i < t->nstreams; i++)
        for (int64_t vol = 0; vol < t->streams[i].nvol; vol++)
            p->places[at++] = (struct place){i, vol};
    return 0;
}

int compute_percentiles(const struct work *k, struct error *err)
{
    size_t n = k->t->ntogether;
    double *out = malloc((n > 1 ? n * k->nvox : TASK_BLOCK_NVOX) * sizeof *out);
    struct pass p;
    int ret = open_pass(k, &p, err);

    if (ret == 0 && !out)
        ret = error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    for (size_t first = 0; ret == 0 && first < k->t->npercents; first += n)
        ret = write_planes(k, &p, first, out, err);
    timecourses_free(p.held);
    free(p.places);
    free((void *)p.readers);
    free(p.values);
    free(out);
    return ret;
}
