/* SPDX-License-Identifier: MIT
 *
 * Requests that wait for bytes to be computed, and before that, with annex=get, for runs to be
 * fetched: then the file is looked up again.
 *
 * A request takes the parts that it spans one after the other, each the result of one job. A
 * program that wants a slice or two of an image of uncompressed runs gets just these computed:
 *
 *     [ head |  .  .  .  . #### .  .  . ]      a request in the middle: its slices alone
 *     [ ################### ... ]              from the start on, or on from the last one: all
 *
 * Who reads on from the start, goes on where he was, or has had a quarter of the image in slices is
 * taken to want all of it. So a slice costs its share, and reading in whatever order at most a
 * quarter more than once through. Slices are not cached: they cost little by their nature.
 *
 * The kernel repeats a failed page-cache read at once; a failure therefore holds for the same open
 * file for FAILURE_HOLDS_NS, so that one computation and one log line come of it.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "monotonic.h"
#include "reader_private.h"

#define FAILURE_HOLDS_NS INT64_C(1000000000)

/* How often a request is planned again because of evictions. */
enum { EVICTED_MAX = 100 };

/* One part in this many of an image may be computed slice by slice. */
enum { SLICED_SHARE = 4 };

/* What one job computes: a part of the file, or slices of an image. */
struct extent {
    uint64_t off, nbytes;
};

struct reader_wait {
    atomic_int refs; /* the owner's and the job's */
    struct reader *reader;
    reader_done_fn *done;
    void *arg;
    struct request request; /* from the start to the end: how others see it */
    uint64_t end;           /* the request is for what lies before it, */
    struct extent slices;   /* of these slices; nbytes 0: of whole parts */
    /* only touched by the job's callbacks, which come one after the other, and then by the owner */
    uint64_t at;                        /* up to here it is there */
    struct part parts[READER_SPAN_MAX]; /* [nparts] */
    size_t nparts;
    bool retried;      /* after a change of a source */
    bool fetched;      /* runs that were not here */
    unsigned nevicted; /* times that a result had gone from the cache before it was used */
    pthread_mutex_t lock;
    struct sched *sched; /* guarded by lock: whose job it is */
    uint64_t job_id;     /* guarded by lock: 0 before the start */
    unsigned nsubmitted; /* guarded by lock: jobs so far, one after the other */
    bool cancelled;      /* guarded by lock */
};

struct reader_wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes,
                                    reader_done_fn *done, void *arg)
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
    w->end = 1;
    if (!r->sized)
        return w;
    w->at = off > r->parts.first_off ? off : r->parts.first_off;
    w->end = off + nbytes > r->nbytes ? r->nbytes : off + nbytes;
    return w;
}

struct reader_wait *reader_wait_get(struct reader_wait *w)
{
    atomic_fetch_add(&w->refs, 1);
    return w;
}

void reader_wait_put(struct reader_wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    for (size_t i = 0; i < w->nparts; i++)
        blob_put(w->parts[i].blob);
    reader_put(w->reader);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int reader_wait_read(struct reader_wait *w, uint64_t off, void *buf, size_t nbytes,
                     struct error *err)
{
    char *at = buf;
    size_t got = reader_copy_head(w->reader, off, at, nbytes), n;

    for (size_t i = 0; i < w->nparts && got < nbytes; i++) {
        int ret =
            reader_copy_part(w->reader, &w->parts[i], off + got, at + got, nbytes - got, &n, err);

        if (ret < 0)
            return ret;
        got += n;
    }
    return got == nbytes ? 0 : error_set(err, EIO, "%s: a part is missing", w->reader->path);
}

/* ---- slices ------------------------------------------------------------------------------------
 */

/* The file as it was found last: a reference. */
static struct derived *latest(struct reader *r)
{
    struct derived *d;

    pthread_mutex_lock(&r->lock);
    d = derived_get(r->derived);
    pthread_mutex_unlock(&r->lock);
    return d;
}

/* Are all runs' moments there already? Then the image costs less than a slice of the runs. */
static bool is_nearly_there(struct reader *r)
{
    struct derived *d = latest(r);
    uint64_t work = 0;
    struct graph *g;
    int ret = engine_plan(r->engine, d, 0, &g, NULL);

    derived_put(d);
    if (ret < 0)
        return true; /* the whole plan will tell why */
    for (size_t i = 0; i < g->ntasks; i++)
        work += g->tasks[i].work_nbytes;
    graph_put(g);
    return work == 0;
}

/* Decide, once for each request, whether it is for slices by themselves. */
static void choose_slices(struct reader_wait *w)
{
    struct reader *r = w->reader;
    uint64_t first = NIFTI_DERIVED_NBYTES, slice = r->slice_nbytes;
    bool reads_on;

    if (slice == 0 || w->at < first)
        return;
    w->slices.off = w->at - (w->at - first) % slice;
    w->slices.nbytes = (w->end - w->slices.off + slice - 1) / slice * slice;
    pthread_mutex_lock(&r->lock);
    reads_on = w->at == r->sliced_end ||
               r->sliced_nbytes + w->slices.nbytes > (r->nbytes - first) / SLICED_SHARE;
    pthread_mutex_unlock(&r->lock);
    if (reads_on || is_nearly_there(r))
        w->slices.nbytes = 0;
}

static bool is_tail(const struct reader *r, uint64_t off)
{
    return r->tail_nbytes > 0 && off >= reader_tail_off(r);
}

/* What the next job is to bring. */
static struct extent next_extent(const struct reader_wait *w)
{
    const struct reader *r = w->reader;
    struct extent e = w->slices;
    uint64_t end;

    if (e.nbytes > 0)
        return e;
    end = reader_tail_off(r);
    if (is_tail(r, w->at))
        return (struct extent){end, r->tail_nbytes};
    e.off = w->at - (w->at - r->parts.first_off) % r->parts.nbytes;
    e.nbytes = end - e.off < r->parts.nbytes ? end - e.off : r->parts.nbytes;
    return e;
}

/* Which part of the plan brings it; the checksum counts as part n. */
static size_t number_of(const struct reader *r, const struct extent *e)
{
    return is_tail(r, e->off) ? r->parts.n
                              : (size_t)((e->off - r->parts.first_off) / r->parts.nbytes);
}

/* How long the result must be that `e` is made from, since the file's size has been promised. */
static uint64_t promised_nbytes(const struct reader *r, const struct extent *e)
{
    if (is_tail(r, e->off))
        return sizeof(uint32_t);
    if (!r->parts.framing)
        return e->nbytes;
    return number_of(r, e) + 1 < r->parts.n ? r->parts.result_nbytes : r->parts.last_result_nbytes;
}

static int plan_next(struct reader_wait *w, const struct derived *d, struct graph **out,
                     struct error *err)
{
    struct engine *e = w->reader->engine;
    struct extent next = next_extent(w);
    size_t number = number_of(w->reader, &next);

    if (w->slices.nbytes > 0)
        return derived_graph_slices(
            d, (size_t)((next.off - NIFTI_DERIVED_NBYTES) / w->reader->slice_nbytes),
            (size_t)(next.nbytes / w->reader->slice_nbytes), e->config.memory_nbytes, out, err);
    /* After an eviction nothing is left to the cache: tasks whose results are there end at once. */
    if (w->nevicted > 0)
        return derived_graph(d, number, e->config.memory_nbytes, out, err);
    return engine_plan(e, d, number, out, err);
}

/* ---- jobs --------------------------------------------------------------------------------------
 */

/* Tell the owner, once, and give up the job's reference. */
static void finish(struct reader_wait *w, const struct error *err)
{
    request_end(w->reader->engine, &w->request);
    w->done(w->arg, w, err);
    reader_wait_put(w);
}

static void fail(struct reader_wait *w, const struct error *err)
{
    struct reader *r = w->reader;

    if (err->code != ECANCELED) {
        engine_failed(r->engine, r->path, err);
        pthread_mutex_lock(&r->lock);
        r->failure = *err;
        r->failed_ns = monotonic_ns();
        pthread_mutex_unlock(&r->lock);
    }
    finish(w, err);
}

static void go_on(struct reader_wait *w);

/* What the program wrote just now; stat(2) tells it from now on, whether the cache keeps it or not.
 */
static void note_size(struct reader *r, const struct blob *blob)
{
    pthread_mutex_lock(&r->lock);
    if (r->derived->key.hex[0])
        sizes_note(r->engine->sizes, &r->derived->key, blob_nbytes(blob));
    pthread_mutex_unlock(&r->lock);
    reader_take_size(r, blob);
}

static void add_part(struct reader_wait *w, struct part part)
{
    w->parts[w->nparts++] = part;
    w->at = part.off + part.nbytes;
}

/* Go on with the checksum, where this part is the next. */
static int sum_part(struct reader *r, size_t number, const struct blob *blob, struct error *err)
{
    uint32_t crc;
    bool next;
    int ret;

    pthread_mutex_lock(&r->lock);
    next = r->nsummed == number;
    crc = r->crc;
    pthread_mutex_unlock(&r->lock);
    if (!next)
        return 0;
    ret = output_sum(blob, &crc, err);
    pthread_mutex_lock(&r->lock);
    if (ret == 0 && r->nsummed == number) {
        r->crc = crc;
        r->nsummed++;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

/* Take the checksum of all volumes over. */
static int take_checksum(struct reader *r, const struct blob *blob, struct error *err)
{
    uint64_t total = (r->parts.n - 1) * r->parts.result_nbytes + r->parts.last_result_nbytes;
    uint32_t crc = 0;
    int ret = blob_read(blob, 0, &crc, sizeof crc, err);

    pthread_mutex_lock(&r->lock);
    if (ret == 0) {
        r->crc = (uint32_t)crc32_combine(r->head.crc, le32toh(crc), (z_off_t)total);
        r->nsummed = r->parts.n;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

/* Keep the result that `e` is made from. */
static int take_result(struct reader_wait *w, const struct extent *e, struct blob *blob,
                       struct error *err)
{
    struct reader *r = w->reader;
    struct part part = {e->off, r->parts.framing ? e->nbytes : blob_nbytes(blob), blob};
    int ret = 0;

    if (is_tail(r, e->off))
        return take_checksum(r, blob, err);
    if (r->tail_nbytes > 0)
        ret = sum_part(r, number_of(r, e), blob, err);
    if (ret < 0)
        return ret;
    reader_keep_part(r, &part);
    blob_get(blob);
    add_part(w, part);
    return 0;
}

static void take_part(struct reader_wait *w, struct blob *blob)
{
    struct reader *r = w->reader;
    struct extent e = next_extent(w);
    uint64_t promised = r->sized ? promised_nbytes(r, &e) : blob_nbytes(blob);
    struct error err;
    int ret;

    if (!r->sized)
        note_size(r, blob);
    if (blob_nbytes(blob) != promised)
        ret = error_set(&err, EIO, "%" PRIu64 " bytes came out where %" PRIu64 " were promised",
                        blob_nbytes(blob), promised);
    else
        ret = take_result(w, &e, blob, &err);
    if (ret < 0) {
        fail(w, &err);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->failure.code = 0;
    r->sliced_nbytes += w->slices.nbytes;
    if (w->slices.nbytes > 0)
        r->sliced_end = w->end;
    pthread_mutex_unlock(&r->lock);
    errlog_clear(r->engine->errors, r->path);
    go_on(w);
}

/* A source is not what it was: look at the directory again. The size has been promised already. */
static int resolve_again(struct reader *r, struct error *err)
{
    struct derived *d;
    bool partly_read;
    int ret = tree_find_derived(r->engine, r->dir, r->name, SCAN_NOW, &d, err);

    if (ret == -ENOENT) /* no answer to a read(2) */
        return error_set(err, EIO, "a source was removed or spoilt while it was read");
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&r->lock);
    partly_read = r->parts.n > 1 || r->tail_nbytes > 0 || r->sliced_nbytes > 0;
    pthread_mutex_unlock(&r->lock);
    if (d->error.code == 0 && d->version != r->version && (d->nbytes != r->nbytes || partly_read)) {
        derived_put(d);
        return error_set(err, EIO, "a source changed while it was read");
    }
    pthread_mutex_lock(&r->lock);
    if (strcmp(d->recipe->canonical, r->derived->recipe->canonical) != 0) {
        pthread_mutex_unlock(&r->lock);
        derived_put(d);
        return error_set(err, EIO, "source and recipe changed while it was read");
    }
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
        take_part(w, result);
        return;
    }
    /* more than once only where a task of somebody else's plan was joined */
    if (err->code == EAGAIN && w->nevicted++ < EVICTED_MAX) {
        if (submit(w, &again) < 0)
            fail(w, &again);
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

/* Submit a job. On success `done` is or will be called with the wait. */
static int submit_graph(struct reader_wait *w, struct sched *sched, struct graph *g,
                        sched_done_fn *done, struct error *err)
{
    uint64_t job_id;
    unsigned number;
    bool cancelled;
    int ret;

    pthread_mutex_lock(&w->lock);
    number = ++w->nsubmitted;
    pthread_mutex_unlock(&w->lock);
    request_at(w->reader->engine, &w->request, g);
    atomic_fetch_add(&w->refs, 1); /* `done` may come and go before sched_submit() returns */
    ret = sched_submit(sched, g, done, w, &job_id, err);
    if (ret == 0) {
        pthread_mutex_lock(&w->lock);
        if (number == w->nsubmitted) { /* else this job is done, and has submitted the next one */
            w->sched = sched;
            w->job_id = job_id;
        }
        cancelled = w->cancelled;
        pthread_mutex_unlock(&w->lock);
        if (cancelled)
            sched_cancel(sched, job_id);
    }
    reader_wait_put(w);
    return ret;
}

static void content_fetched(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;
    struct error why;

    if (!result)
        fail(w, err);
    else if (resolve_again(w->reader, &why) < 0 || submit(w, &why) < 0)
        fail(w, &why);
}

/* Submit a job that fetches the runs that `g` reads; -ENOENT: all are here. */
static int fetch_for(struct reader_wait *w, const struct graph *g, struct error *err)
{
    struct graph *fetch;
    int ret = fetch_of_graph(w->reader->engine, g, &fetch, err);

    if (ret < 0)
        return ret;
    w->fetched = true;
    ret = submit_graph(w, w->reader->engine->fetcher, fetch, content_fetched, err);
    graph_put(fetch);
    return ret;
}

/* Submit a job for the next part, of the file as it was found last. */
static int submit(struct reader_wait *w, struct error *err)
{
    struct derived *d = latest(w->reader);
    struct graph *g;
    int ret = plan_next(w, d, &g, err);

    derived_put(d);
    if (ret < 0)
        return ret;
    ret = w->reader->engine->fetcher && !w->fetched ? fetch_for(w, g, err) : -ENOENT;
    if (ret == -ENOENT)
        ret = submit_graph(w, w->reader->engine->sched, g, job_done, err);
    graph_put(g);
    return ret;
}

/* Take the parts that are there; ask for the first that is not. */
static void go_on(struct reader_wait *w)
{
    struct error err;

    while (w->at < w->end && w->nparts < READER_SPAN_MAX) {
        struct part part = reader_kept_part(w->reader, w->at);

        if (!part.blob) {
            if (submit(w, &err) < 0)
                fail(w, &err);
            return;
        }
        add_part(w, part);
    }
    finish(w, NULL);
}

/* ---- fetching (annex=get) ----------------------------------------------------------------------
 */

/* The runs are here: now the file can be looked up. Nobody else uses a reader that lacks them. */
static int resolve_fetched(struct reader *r, struct error *err)
{
    struct derived *before = r->derived;
    int ret;

    r->derived = NULL;
    ret = reader_resolve(r, err);
    if (!r->derived)
        r->derived = before;
    else
        derived_put(before);
    if (ret == -ENOENT) /* its group has another name, now that shapes and affines are known */
        return error_set(err, EIO,
                         "%s: what was fetched does not belong together; list the directory for "
                         "the names of its groups",
                         r->name);
    if (ret == 0 && r->lacking)
        return error_set(err, r->derived->error.code, "%s", r->derived->error.text);
    return ret;
}

static void runs_fetched(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;
    struct error why;

    if (!result)
        fail(w, err);
    else if (resolve_fetched(w->reader, &why) < 0)
        fail(w, &why);
    else if (w->reader->sized)
        finish(w, NULL);
    else
        go_on(w);
}

static void fetch_runs(struct reader_wait *w)
{
    struct reader *r = w->reader;
    struct error err;
    struct graph *g;
    int ret = fetch_of_derived(r->engine, r->derived, &g, &err);

    if (ret == 0) {
        ret = submit_graph(w, r->engine->fetcher, g, runs_fetched, &err);
        graph_put(g);
    } else if (ret == -ENOENT) { /* nothing that git-annex could get */
        err = r->derived->error;
    }
    if (ret < 0)
        fail(w, &err);
}

/* ---- starting and cancelling -------------------------------------------------------------------
 */

void reader_wait_start(struct reader_wait *w)
{
    struct reader *r = w->reader;
    struct error err = {.code = 0};

    atomic_fetch_add(&w->refs, 1); /* the job's, given up by finish() */
    request_begin(r->engine, &w->request, r->path);
    pthread_mutex_lock(&r->lock);
    if (r->failure.code != 0 && monotonic_ns() - r->failed_ns < FAILURE_HOLDS_NS)
        err = r->failure;
    pthread_mutex_unlock(&r->lock);
    if (err.code != 0) {
        finish(w, &err);
        return;
    }
    if (r->lacking) {
        fetch_runs(w);
        return;
    }
    choose_slices(w);
    go_on(w);
}

double reader_wait_progress(struct reader_wait *w)
{
    return request_progress(w->reader->engine, &w->request);
}

void reader_wait_cancel(struct reader_wait *w)
{
    struct sched *sched;
    uint64_t job_id;

    pthread_mutex_lock(&w->lock);
    w->cancelled = true;
    sched = w->sched;
    job_id = w->job_id;
    pthread_mutex_unlock(&w->lock);
    if (job_id != 0)
        sched_cancel(sched, job_id);
}
