/* SPDX-License-Identifier: MIT
 *
 * Percentiles over time.
 *
 * A percentile of a voxel needs its whole time course. Those of as many voxels are held as the
 * task's memory has room for, of a run as they are stored; if these are not all, the runs are read
 * again for the next ones.
 */
#include <errno.h>
#include <stdlib.h>

#include "compute_private.h"
#include "kernel.h"
#include "timecourses.h"

/* One pass over the runs. */
struct pass {
    struct timecourses *held;
    size_t vox0;    /* of the first voxel that is held */
    double *values; /* [nvox]: a volume of a stream that is not raw */
};

static int gather(void *ctx, struct stream_reader *r, const struct stream *s, struct error *err)
{
    const struct pass *p = ctx;

    (void)err;
    if (stream_is_raw(s)) {
        const struct nifti *h = &s->leaves[s->e->start].run->nifti;
        const char *samples = stream_reader_stored(r);

        timecourses_add(p->held, h->sample, h->slope, h->inter,
                        samples + p->vox0 * h->sample_nbytes);
    } else {
        stream_reader_values(r, p->vox0, timecourses_nvox(p->held), p->values);
        timecourses_add_float64(p->held, p->values);
    }
    return 0;
}

/* Percentile first + i of voxel p->vox0 + v, i below ntogether, goes to out[i * k->nvox + p->vox0 +
 * v]; a single one is written. */
static int select_all(const struct work *k, const struct pass *p, size_t first, double *out,
                      struct error *err)
{
    struct timecourses_reader *r = timecourses_reader_new(p->held);
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
        ret = work_take_volumes(k, gather, p, err);
        if (ret == 0)
            ret = select_all(k, p, first, out, err);
    }
    return ret == 0 && n > 1 ? work_write(k, out, n * k->nvox, err) : ret;
}

int compute_percentiles(const struct work *k, struct error *err)
{
    size_t n = k->t->ntogether;
    struct pass p = {.values = malloc(k->nvox * sizeof *p.values)};
    double *out = malloc((n > 1 ? n * k->nvox : TASK_BLOCK_NVOX) * sizeof *out);
    int64_t nvol = 0;
    int ret = 0;

    for (size_t i = 0; i < k->t->nstreams; i++)
        nvol += k->t->streams[i].nvol;
    p.held = timecourses_new(nvol, k->t->room_nbytes, k->t->room_nvox);
    if (!p.held || !p.values || !out)
        ret = error_set(err, ENOMEM, "%s: out of memory", k->t->label);
    for (size_t first = 0; ret == 0 && first < k->t->npercents; first += n)
        ret = write_planes(k, &p, first, out, err);
    timecourses_free(p.held);
    free(p.values);
    free(out);
    return ret;
}
