/* SPDX-License-Identifier: MIT
 *
 * Reading a derived file: an open file is a reader, a request that has to wait is a wait.
 *
 *     reader_open ---- planned: size, key, header known; nothing computed
 *        |   \---- in the cache already: reader_blob() gives it
 *     reader_wait ---- one job of the scheduler; equal tasks of other jobs are shared there
 *        |---- done: the blob stays with the reader
 *        |---- a source changed meanwhile (ESTALE): planned once more from what is there now
 *        \---- failed: noted in the error log, told to the owner, forgotten after a second
 *
 * The kernel repeats a failed page-cache read at once; a failure therefore holds for the same open
 * file for FAILURE_HOLDS_NS, so that one computation and one log line come of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "engine_private.h"

#define FAILURE_HOLDS_NS INT64_C(1000000000)

struct reader {
    atomic_int refs; /* the owner's and one per wait */
    struct engine *engine;
    char *dir, *name, *path;
    uint64_t nbytes, version;
    size_t head_nbytes;
    unsigned char head[NIFTI_DERIVED_NBYTES];
    pthread_mutex_t lock;
    struct derived *derived; /* guarded by lock: replaced when a source has changed */
    struct blob *blob;       /* guarded by lock: NULL until computed */
    struct error failure;    /* guarded by lock: the last failure, code 0: none */
    int64_t failed_ns;       /* guarded by lock: when that was */
};

struct reader_wait {
    atomic_int refs; /* the owner's and the job's */
    struct reader *reader;
    reader_done_fn *done;
    void *arg;
    bool retried; /* only touched by the job's callbacks, which come one after the other */
    pthread_mutex_t lock;
    uint64_t job_id; /* guarded by lock: 0 before the start */
    bool cancelled;  /* guarded by lock */
};

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void reader_put(struct reader *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    derived_put(r->derived);
    blob_put(r->blob);
    pthread_mutex_destroy(&r->lock);
    free(r->dir);
    free(r->name);
    free(r->path);
    free(r);
}

static struct reader *reader_new(struct engine *e, const char *dir, const char *name)
{
    struct reader *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    pthread_mutex_init(&r->lock, NULL);
    r->engine = e;
    r->dir = strdup(dir);
    r->name = strdup(name);
    r->path = join_path(dir, name);
    if (!r->dir || !r->name || !r->path) {
        reader_put(r);
        return NULL;
    }
    return r;
}

/* What a .nii file starts with is known before its voxels. */
static int make_head(struct reader *r, struct error *err)
{
    char *origin = graph_origin(r->derived->recipe->expr);

    if (!origin)
        return error_set(err, ENOMEM, "%s: out of memory", r->path);
    nifti_derive(&r->derived->first->nifti, 1, origin, r->head);
    r->head_nbytes = sizeof r->head;
    free(origin);
    return 0;
}

/* Find the file as it is now and see whether its result is there. */
static int reader_resolve(struct reader *r, struct error *err)
{
    struct graph *g;
    int ret = tree_find_derived(r->engine, r->dir, r->name, SCAN_NOW, &r->derived, err);

    if (ret < 0)
        return ret;
    ret = derived_graph(r->derived, &g, err);
    if (ret < 0) {
        engine_failed(r->engine, r->path, err);
        return ret;
    }
    r->nbytes = r->derived->nbytes;
    r->version = r->derived->version;
    if (!r->derived->format->operation)
        ret = make_head(r, err);
    if (cache_lookup(r->engine->cache, &graph_root(g)->key, &r->blob) < 0)
        r->blob = NULL;
    graph_put(g);
    return ret;
}

int reader_open(struct engine *e, const char *dir, const char *name, struct reader **out,
                struct error *err)
{
    struct reader *r = reader_new(e, dir, name);
    int ret;

    if (!r)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    ret = reader_resolve(r, err);
    if (ret < 0) {
        reader_put(r);
        return ret;
    }
    *out = r;
    return 0;
}

void reader_close(struct reader *r)
{
    if (r)
        reader_put(r);
}

uint64_t reader_nbytes(const struct reader *r)
{
    return r->nbytes;
}

uint64_t reader_version(const struct reader *r)
{
    return r->version;
}

size_t reader_head(const struct reader *r, const unsigned char **bytes)
{
    *bytes = r->head;
    return r->head_nbytes;
}

struct blob *reader_blob(struct reader *r)
{
    struct blob *blob;

    pthread_mutex_lock(&r->lock);
    blob = r->blob; /* once set it stays until the reader goes */
    pthread_mutex_unlock(&r->lock);
    return blob;
}

struct reader_wait *reader_wait_new(struct reader *r, reader_done_fn *done, void *arg)
{
    struct reader_wait *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    atomic_init(&w->refs, 1);
    pthread_mutex_init(&w->lock, NULL);
    atomic_fetch_add(&r->refs, 1);
    w->reader = r;
    w->done = done;
    w->arg = arg;
    return w;
}

void reader_wait_put(struct reader_wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    reader_put(w->reader);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Tell the owner, once, and give up the job's reference. */
static void finish(struct reader_wait *w, struct blob *result, const struct error *err)
{
    w->done(w->arg, result, err);
    reader_wait_put(w);
}

static void fail(struct reader_wait *w, const struct error *err)
{
    struct reader *r = w->reader;

    if (err->code != ECANCELED) {
        engine_failed(r->engine, r->path, err);
        pthread_mutex_lock(&r->lock);
        r->failure = *err;
        r->failed_ns = now_ns();
        pthread_mutex_unlock(&r->lock);
    }
    finish(w, NULL, err);
}

static void succeed(struct reader_wait *w, struct blob *result)
{
    struct reader *r = w->reader;

    if (blob_nbytes(result) != r->nbytes) {
        struct error err;

        error_set(&err, EIO, "%" PRIu64 " bytes came out where %" PRIu64 " were promised",
                  blob_nbytes(result), r->nbytes);
        fail(w, &err);
        return;
    }
    pthread_mutex_lock(&r->lock);
    if (!r->blob)
        r->blob = blob_get(result);
    r->failure.code = 0;
    pthread_mutex_unlock(&r->lock);
    errlog_clear(r->engine->errors, r->path);
    finish(w, result, NULL);
}

/* A source is not what it was: look at the directory again. The size has been promised already. */
static int resolve_again(struct reader *r, struct error *err)
{
    struct derived *d;
    int ret = tree_find_derived(r->engine, r->dir, r->name, SCAN_NOW, &d, err);

    if (ret == -ENOENT) /* no answer to a read(2) */
        return error_set(err, EIO, "a source was removed or spoilt while it was read");
    if (ret < 0)
        return ret;
    if (d->nbytes != r->nbytes && !d->bad) {
        derived_put(d);
        return error_set(err, EIO, "a source changed its shape while it was read");
    }
    pthread_mutex_lock(&r->lock);
    derived_put(r->derived);
    r->derived = d;
    pthread_mutex_unlock(&r->lock);
    return 0;
}

static int submit(struct reader_wait *w, struct error *err);

static void job_done(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;
    struct error again;

    if (result) {
        succeed(w, result);
        return;
    }
    if (err->code != ESTALE) {
        fail(w, err);
        return;
    }
    if (w->retried) {
        error_set(&again, EIO, "%s (twice: given up)", err->text);
        fail(w, &again);
        return;
    }
    w->retried = true;
    if (resolve_again(w->reader, &again) < 0 || submit(w, &again) < 0)
        fail(w, &again);
}

/* Submit a job for the file as it was found last. On success job_done() is or will be called. */
static int submit(struct reader_wait *w, struct error *err)
{
    struct reader *r = w->reader;
    struct derived *d;
    struct graph *g;
    uint64_t job_id;
    bool cancelled;
    int ret;

    pthread_mutex_lock(&r->lock);
    d = derived_get(r->derived);
    pthread_mutex_unlock(&r->lock);
    ret = engine_plan(r->engine, d, &g, err);
    derived_put(d);
    if (ret < 0)
        return ret;
    atomic_fetch_add(&w->refs, 1); /* job_done() may come and go before sched_submit() returns */
    ret = sched_submit(r->engine->sched, g, job_done, w, &job_id, err);
    graph_put(g);
    if (ret == 0) {
        pthread_mutex_lock(&w->lock);
        w->job_id = job_id;
        cancelled = w->cancelled;
        pthread_mutex_unlock(&w->lock);
        if (cancelled)
            sched_cancel(r->engine->sched, job_id);
    }
    reader_wait_put(w);
    return ret;
}

void reader_wait_start(struct reader_wait *w)
{
    struct reader *r = w->reader;
    struct blob *blob = reader_blob(r);
    struct error err = {.code = 0};

    atomic_fetch_add(&w->refs, 1); /* the job's, given up by finish() */
    if (blob) {
        finish(w, blob, NULL);
        return;
    }
    pthread_mutex_lock(&r->lock);
    if (r->failure.code != 0 && now_ns() - r->failed_ns < FAILURE_HOLDS_NS)
        err = r->failure;
    pthread_mutex_unlock(&r->lock);
    if (err.code != 0)
        finish(w, NULL, &err);
    else if (submit(w, &err) < 0)
        fail(w, &err);
}

void reader_wait_cancel(struct reader_wait *w)
{
    uint64_t job_id;

    pthread_mutex_lock(&w->lock);
    w->cancelled = true;
    job_id = w->job_id;
    pthread_mutex_unlock(&w->lock);
    if (job_id != 0)
        sched_cancel(w->reader->engine->sched, job_id);
}
