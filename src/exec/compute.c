/* SPDX-License-Identifier: MIT
 *
 * Running tasks: the cache before and behind, and who does what.
 *
 * What a source says is believed only when it has not changed while it was read and, where it was
 * read to its end, its checksum is right; only then the result is published.
 */
#include "compute.h"

#include <errno.h>
#include <stdlib.h>

#include "compute_private.h"
#include "graph_call.h"
#include "kernel.h"
#include "vector.h"

/* Values written at a time: 64 KiB, which the page cache takes with the fewest calls. */
enum { WRITE_NVALUES = 8192 };

int work_go_on(const struct work *k, struct error *err)
{
    if (task_cancelled(k->ctl))
        return error_set(err, ECANCELED, "%s: cancelled", k->t->label);
    return 0;
}

int work_write(const struct work *k, const double *values, size_t n, struct error *err)
{
    double settled[WRITE_NVALUES];
    int ret = 0;

    for (size_t at = 0; at < n && ret == 0; at += WRITE_NVALUES) {
        size_t here = n - at < WRITE_NVALUES ? n - at : WRITE_NVALUES;

        kernel_settle_nan(values + at, here, settled);
        ret = cache_write(k->w, settled, here * sizeof *settled, err);
    }
    return ret;
}

int work_take_volumes(const struct work *k, take_volume_fn *take, void *ctx,
                      struct stream_reader **kept, struct error *err)
{
    uint64_t before = 0;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < k->t->nstreams; i++) {
        const struct stream *s = &k->t->streams[i];
        struct stream_reader *r;

        ret = stream_reader_open(k->c->pool, k->g, k->t, s, k->inputs, &k->stop, &r, err);
        if (ret < 0)
            break;
        for (int64_t vol = 0; ret == 0 && vol < s->nvol; vol++) {
            ret = work_go_on(k, err);
            if (ret == 0)
                ret = stream_reader_next(r, err);
            if (ret == 0)
                ret = take(ctx, r, s, err);
            task_progress(k->ctl, before + stream_reader_consumed(r));
        }
        before += stream_work_nbytes(s);
        if (ret == 0)
            ret = stream_reader_finish(r, err);
        if (kept)
            kept[i] = r;
        else
            stream_reader_close(r);
    }
    return ret;
}

struct volumes {
    size_t nvox;
    double *values;
    each_volume_fn *each;
    void *ctx;
};

static int take_volume(void *ctx, struct stream_reader *r, const struct stream *s,
                       struct error *err)
{
    const struct volumes *v = ctx;

    (void)s;
    stream_reader_values(r, 0, v->nvox, v->values);
    return v->each(v->ctx, v->values, err);
}

int work_for_each_volume(const struct work *k, each_volume_fn *each, void *ctx, struct error *err)
{
    struct volumes v = {
        .nvox = k->nvox,
        .values = vector_alloc(k->nvox * sizeof(double)),
        .each = each,
        .ctx = ctx,
    };
    int ret = v.values ? work_take_volumes(k, take_volume, &v, NULL, err)
                       : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    vector_free(v.values);
    return ret;
}

int compute_output(const struct work *k, struct error *err)
{
    struct output_source source = {
        .grid = &k->g->runs[0]->nifti,
        .image = k->inputs[0],
        .mean = k->t->format->needs_mean ? k->inputs[1] : NULL,
        .mask = k->t->format->needs_mean && k->t->ndeps > 2 ? k->inputs[2] : NULL,
        .caption = k->t->caption,
    };

    return k->t->format->write(&source, k->w, err);
}

/* Write the result into k->w. */
static int write_result(const struct work *k, struct error *err)
{
#define WRITTEN(name, operation, version, verb, result, function)                                  \
    case TASK_##name:                                                                              \
        return compute_##function(k, err);
#define OTHER(name, ...) case TASK_##name:
    switch (k->t->kind) {
        TASK_KINDS_WRITTEN(WRITTEN)
        TASK_KINDS_OTHER(OTHER)
        break;
    }
#undef WRITTEN
#undef OTHER
    return error_set(err, EINVAL, "%s: no function computes it", k->t->label);
}

int work_begin(const struct work *k, const struct key *key, uint64_t nbytes,
               struct cache_writer **out, struct error *err)
{
    bool room = nbytes <= SIZE_MAX && task_take_room(k->ctl, (size_t)nbytes);

    return cache_begin(k->c->cache, key, k->t->label, nbytes,
                       room ? CACHE_KEEP_IN_ROOM : CACHE_KEEP, out, err);
}

/* Compute the result, and publish it: at once where it is what a reader waits for. What others are
 * computed from is handed on to them meanwhile. */
static int attempt(struct work *k, struct blob **out, struct error *err)
{
    const struct task *t = k->t;
    int ret = work_begin(k, k->g->is_slices ? NULL : &t->key, t->result_nbytes, &k->w, err);

    if (ret < 0)
        return ret;
    ret = write_result(k, err);
    if (ret == 0)
        ret = cache_computed_from(k->w, k->inputs, t->ndeps, k->c->helpers, err);
    if (ret < 0) {
        cache_abort(k->w);
        return ret;
    }
    return t == graph_root(k->g) ? cache_commit(k->w, out, err)
                                 : cache_commit_later(k->w, out, err);
}

/* An input could not be read. Those that are damaged go, so that the next plan computes them. */
static void drop_damaged(const struct work *k)
{
    for (size_t i = 0; i < k->t->ndeps; i++) {
        int ret = cache_check(k->c->cache, k->inputs[i], NULL);

        (void)ret;
    }
}

/* Whatever the file has become meanwhile, and whether its content is known or not: no failure. */
static int compute_identify(const struct work *k, struct blob **out, struct error *err)
{
    int ret = k->t->run ? run_find_name(k->c->rootfd, k->t->run, &k->stop, err) : 0;

    if (ret < 0)
        return ret;
    *out = blob_from_memory(NULL, 0, NULL);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", k->t->label);
}

static bool stop_asked(void *ctl)
{
    return task_cancelled(ctl);
}

int compute_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
                 const struct task_control *ctl, struct blob **out, struct error *err)
{
    const struct compute *c = ctx;
    struct work k = {.c = c, .g = g, .t = t, .inputs = inputs, .ctl = ctl};
    int ret = -ERESTART;

    k.stop = (struct cancel_token){.asked = stop_asked, .ctx = (void *)(uintptr_t)ctl};
    if (t->kind == TASK_IDENTIFY)
        return compute_identify(&k, out, err);
    if (!g->is_slices && cache_lookup_early(c->cache, &t->key, out) == 0) {
        task_found(ctl);
        return 0;
    }
    if (graph_need(g, t) == NEED_RESULT && t->ndeps > 0)
        return error_set(err, EAGAIN, "%s: evicted from the cache meanwhile", t->label);
    k.nvox = g->nvox;
    /* each source's checkpoints may be wrong, once */
    for (size_t i = 0; ret == -ERESTART && i <= g->nsources; i++)
        ret = t->kind == TASK_COMMAND ? compute_command(&k, out, err) : attempt(&k, out, err);
    if (ret == -EAGAIN)
        drop_damaged(&k);
    if (ret == -ERESTART)
        return error_set(err, EIO,
                         "%s: checkpoints do not fit the file: remove them (derivctl cache clear)",
                         t->label);
    /* perhaps for its result, which the disk did not take; a command has said how much that is */
    if (ret == -ENOMEM && t->kind != TASK_COMMAND)
        task_wants_room(ctl, (size_t)t->result_nbytes);
    return ret;
}
