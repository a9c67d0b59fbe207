/* SPDX-License-Identifier: MIT
 *
 * Requests that wait for bytes to be computed, here or on another node, and before that, with
 * annex=get, for runs to be fetched: then the file is looked up again.
 *
 * A request takes its parts one after the other, each the result of one job. A job computes a part
 * of the file, or its checksum. If a program reads only a few slices of an image of uncompressed
 * runs, a job computes just these:
 *
 *     [ header |  .  .  .  . #### .  .  . ]      a request in the middle: its slices alone
 *     [ ################### ... ]              from the start, or after the previous request: all
 *
 * A reader that starts at the beginning, reads on where it was, or has had a quarter of the image
 * in slices is assumed to need all of it. So a slice costs its share, and reads in any order cost
 * at most a quarter more than one pass. Slices are not cached: each is cheap.
 *
 * The kernel repeats a failed page-cache read at once. So a failure holds for the open file for
 * FAILURE_HOLDS_NS: one computation and one log line.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "monotonic.h"
#include "passes.h"
#include "reader_private.h"

#define FAILURE_HOLDS_NS INT64_C(1000000000)

/* Plans of a request that evictions and changing sources may void: one that is replaced all the time
 * has pauses, too. */
enum { EVICTED_MAX = 100, CHANGED_MAX = 50 };

/* Up to 1 / SLICED_SHARE of an image is computed in slices. */
enum { SLICED_SHARE = 4 };

/* What one job computes: a part of the file, its trailer, or slices of an image. */
struct extent {
    uint64_t off, nbytes;   /* in the file */
    size_t part;            /* of the plan; the checksum is part parts.n */
    uint64_t result_nbytes; /* expected: the size of the file is known already */
};

struct reader_wait {
    struct wait wait; /* the first member */
    struct reader *reader;
    struct request request; /* as `status` shows the wait */
    uint64_t end;           /* the request ends here */
    struct extent slices;   /* it is for these slices; nbytes 0: for whole parts */
    uint64_t slice_nbytes;  /* then: of each */
    /* only for the jobs' callbacks, which run one after the other, and then for the owner */
    uint64_t at;                        /* available up to here */
    struct part parts[READER_SPAN_MAX]; /* [nparts] */
    size_t nparts;
    unsigned edition;  /* of the parts, and of the job that is under way */
    unsigned nchanged; /* times that a source changed meanwhile */
    bool fetched;      /* runs that were absent */
    bool identified;   /* runs that are new here */
    bool sent;         /* another node was asked for the part */
    unsigned nevicted; /* plans repeated after an eviction */
};

int reader_wait_read(struct wait *wait, uint64_t off, void *buf, size_t nbytes, struct error *err)
{
    struct reader_wait *w = (struct reader_wait *)wait;
    unsigned edition;
    char *at = buf;
    size_t got = reader_copy_header(w->reader, off, at, nbytes, &edition), n;

    if (edition != w->edition || !reader_hand_out(w->reader, edition))
        return error_set(err, EIO, "%s: a source changed while it was read", w->reader->path);
    for (size_t i = 0; i < w->nparts && got < nbytes; i++) {
        int ret =
            reader_copy_part(w->reader, &w->parts[i], off + got, at + got, nbytes - got, &n, err);

        if (ret == -EAGAIN)
            reader_lose_part(w->reader, w->parts[i].blob);
        if (ret < 0)
            return ret;
        got += n;
    }
    return got == nbytes ? 0 : error_set(err, EIO, "%s: a part is missing", w->reader->path);
}

/* ---- slices ---- */

/* Are the moments of all runs cached? Then the image is cheaper than a slice of the runs. */
static bool is_nearly_there(struct reader *r)
{
    struct graph *g, *left;
    bool nothing_to_read;
    unsigned edition;

    if (reader_plan(r, 0, &g, &edition, NULL) < 0)
        return true; /* the request for the image fails with the reason */
    left = store_cut(&r->engine->store, g);
    nothing_to_read = passes_read_nbytes(left) == 0;
    graph_put(left);
    graph_put(g);
    return nothing_to_read;
}

/* Decide, once for each request and edition, whether it is for slices. */
static void choose_slices(struct reader_wait *w)
{
    struct reader *r = w->reader;
    uint64_t first = NIFTI_DERIVED_NBYTES, slice = r->slice_nbytes;
    bool reads_on;

    if (slice == 0 || w->at < first)
        return;
    w->slices.off = w->at - (w->at - first) % slice;
    w->slices.nbytes = (w->end - w->slices.off + slice - 1) / slice * slice;
    w->slices.result_nbytes = w->slices.nbytes;
    pthread_mutex_lock(&r->lock);
    reads_on = w->at == r->sliced_end ||
               r->sliced_nbytes + w->slices.nbytes > (r->nbytes - first) / SLICED_SHARE;
    pthread_mutex_unlock(&r->lock);
    w->slice_nbytes = slice;
    if (reads_on || is_nearly_there(r))
        w->slices.nbytes = 0;
}

/* ---- plans ---- */

static struct extent next_extent(const struct reader_wait *w)
{
    const struct reader *r = w->reader;
    uint64_t end = reader_trailer_off(r);
    struct extent e = w->slices;

    if (e.nbytes > 0)
        return e;
    if (r->trailer_nbytes > 0 && w->at >= end)
        return (struct extent){end, r->trailer_nbytes, r->parts.n, sizeof(uint32_t)};
    e.part = (size_t)((w->at - r->parts.first_off) / r->parts.nbytes);
    e.off = r->parts.first_off + e.part * r->parts.nbytes;
    e.nbytes = end - e.off < r->parts.nbytes ? end - e.off : r->parts.nbytes;
    e.result_nbytes = !r->parts.framing         ? e.nbytes
                      : e.part + 1 < r->parts.n ? r->parts.result_nbytes
                                                : r->parts.last_result_nbytes;
    return e;
}

static int plan_slices(struct reader_wait *w, const struct extent *next, struct graph **out,
                       struct error *err)
{
    struct plan_extent what = {
        .kind = PLAN_SLICES,
        .first = (int64_t)((next->off - NIFTI_DERIVED_NBYTES) / w->slice_nbytes),
        .n = (int64_t)(next->nbytes / w->slice_nbytes),
    };
    struct reader *r = w->reader;
    struct derived *d = reader_derived(r, &w->edition);
    int ret = derived_plan(d, what, r->engine->store.memory_nbytes, out, err);

    derived_put(d);
    return ret;
}

/* Plan the next job, of the latest version of the file. */
static int plan_next(struct reader_wait *w, struct graph **out, struct error *err)
{
    struct reader *r = w->reader;
    struct extent next = next_extent(w);
    unsigned edition;
    struct graph *whole;
    int ret;

    if (w->slices.nbytes > 0)
        return plan_slices(w, &next, out, err);
    ret = reader_plan(r, next.part, &whole, &edition, err);
    if (ret < 0)
        return ret;
    if (w->nparts > 0 && edition != w->edition) {
        graph_put(whole);
        return error_set(err, EIO, "a source changed while it was read");
    }
    w->edition = edition;
    /* After an eviction plan all of it: tasks with cached results end at once. */
    *out = w->nevicted > 0 ? graph_get(whole) : store_cut(&r->engine->store, whole);
    graph_put(whole);
    return 0;
}

/* ---- results ---- */

/* Keep a part: the bytes before its end are available. Takes its blob over. EIO: it is of another
 * edition than those before it. */
static int add_part(struct reader_wait *w, const struct part *part, struct error *err)
{
    if (w->nparts > 0 && part->edition != w->edition) {
        blob_put(part->blob);
        return error_set(err, EIO, "a source changed while it was read");
    }
    w->edition = part->edition;
    w->parts[w->nparts++] = *part;
    w->at = part->off + part->nbytes;
    return 0;
}

/* Note the size of a command's result for stat(2), whether the cache keeps it or not. */
static void note_size(struct reader *r, const struct blob *blob)
{
    pthread_mutex_lock(&r->lock);
    if (r->derived->key.hex[0])
        sizes_note(r->engine->store.sizes, &r->derived->key, blob_nbytes(blob));
    pthread_mutex_unlock(&r->lock);
    reader_take_size(r, blob);
}

/* Add the part to the checksum if it is the next one: not before it is known to be right. */
static int sum_part(struct reader *r, size_t number, struct blob *blob, struct error *err)
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
    if (ret == 0)
        ret = cache_check(r->engine->store.cache, blob, err);
    pthread_mutex_lock(&r->lock);
    if (ret == 0 && r->nsummed == number) {
        r->crc = crc;
        r->nsummed++;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

/* Take the checksum of all volumes. */
static int take_checksum(struct reader *r, const struct blob *blob, struct error *err)
{
    uint64_t total = (r->parts.n - 1) * r->parts.result_nbytes + r->parts.last_result_nbytes;
    uint32_t crc = 0;
    int ret = blob_read(blob, 0, &crc, sizeof crc, err);

    pthread_mutex_lock(&r->lock);
    if (ret == 0) {
        r->crc = (uint32_t)crc32_combine(r->header.crc, le32toh(crc), (z_off_t)total);
        r->nsummed = r->parts.n;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

/* Take the result of this job. EIO: it has not the expected size. EAGAIN: the cache has lost it. */
static int take_result(struct reader_wait *w, struct blob *blob, struct error *err)
{
    struct reader *r = w->reader;
    struct extent e = next_extent(w);
    uint64_t nbytes = blob_nbytes(blob), expected = r->sized ? e.result_nbytes : nbytes;
    struct part part = {e.off, r->parts.framing ? e.nbytes : nbytes, blob, w->edition};

    if (!r->sized)
        note_size(r, blob);
    if (nbytes != expected)
        return error_set(err, EIO, "the result has %" PRIu64 " bytes, expected %" PRIu64, nbytes,
                         expected);
    if (e.part == r->parts.n)
        return take_checksum(r, blob, err);
    if (r->trailer_nbytes > 0 && sum_part(r, e.part, blob, err) < 0)
        return -err->code;
    reader_keep_part(r, &part);
    blob_get(blob);
    return add_part(w, &part, err);
}

/* ---- jobs ---- */

static void fail(struct reader_wait *w, const struct error *err)
{
    struct reader *r = w->reader;

    if (err->code != ECANCELED) {
        errlog_failed(r->engine->errors, r->path, err);
        pthread_mutex_lock(&r->lock);
        r->failure = *err;
        r->failed_ns = monotonic_ns();
        pthread_mutex_unlock(&r->lock);
    }
    wait_end(&w->wait, err);
}

static void submit_next(struct reader_wait *w);
static void go_on(struct reader_wait *w);

/* The cache has lost a result. More than once only if a task of another plan was joined. */
static bool plan_again(struct reader_wait *w, const struct error *err)
{
    return err->code == EAGAIN && w->nevicted++ < EVICTED_MAX;
}

static void take_part(struct reader_wait *w, struct blob *blob)
{
    struct reader *r = w->reader;
    struct error err;

    if (take_result(w, blob, &err) < 0) {
        if (plan_again(w, &err))
            submit_next(w);
        else
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
    w->sent = false;
    go_on(w);
}

static void resolve_and_submit(struct reader_wait *w)
{
    struct error err;

    w->slices.nbytes = 0;  /* the runs may be compressed now */
    w->identified = false; /* runs may be others now */
    w->sent = false;
    if (reader_resolve_again(w->reader, &err) < 0)
        fail(w, &err);
    else
        submit_next(w);
}

static void job_done(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;
    struct error why;

    /* a task of another plan may have passed its result on before it was on disk */
    if (result && cache_settle(w->reader->engine->store.cache, result, &why) < 0) {
        result = NULL;
        err = &why;
    }
    if (result) {
        take_part(w, result);
    } else if (plan_again(w, err)) {
        submit_next(w);
    } else if (err->code != ESTALE) {
        fail(w, err);
    } else if (w->nchanged++ == CHANGED_MAX) {
        error_set(&why, EIO, "%s (again and again: given up)", err->text);
        fail(w, &why);
    } else {
        resolve_and_submit(w);
    }
}

/* Submit a job; drops the reference to `g`. `done` gets the wait, perhaps before this returns. */
static int submit_graph(struct reader_wait *w, struct sched *sched, struct graph *g,
                        sched_done_fn *done, struct error *err)
{
    int ret;

    request_at(&w->reader->engine->requests, &w->request, &w->reader->engine->workers, g);
    ret = wait_submit(&w->wait, sched, g, done, err);
    graph_put(g);
    return ret;
}

static void content_fetched(void *arg, struct blob *result, const struct error *err)
{
    if (result)
        resolve_and_submit(arg);
    else
        fail(arg, err);
}

/* Submit a job that fetches the absent runs that `g` reads; -ENOENT: there are none. */
static int fetch_for(struct reader_wait *w, const struct graph *g, struct error *err)
{
    struct graph *fetch;
    int ret = fetch_of_graph(&w->reader->engine->tree, &w->reader->engine->store, g, &fetch, err);

    if (ret < 0)
        return ret;
    w->fetched = true;
    return submit_graph(w, w->reader->engine->workers.fetcher, fetch, content_fetched, err);
}

/* Names of runs may be known now, which this one or another node has learned. */
static void plan_again_with_names(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;

    reader_forget_plan(w->reader);
    if (result)
        submit_next(w);
    else
        fail(w, err);
}

/* Submit a job that finds the names of runs that `g` reads; -ENOENT: there are none to be found. */
static int identify_for(struct reader_wait *w, const struct graph *g, struct error *err)
{
    struct graph *identify;
    int ret = identify_of_graph(&w->reader->engine->store, g, &identify, err);

    if (ret < 0)
        return ret;
    w->identified = true;
    return submit_graph(w, w->reader->engine->workers.sched, identify, plan_again_with_names, err);
}

/* Submit a job that waits for another node; -ENOENT: it is not worth one. */
static int elsewhere_for(struct reader_wait *w, struct graph *g, struct error *err)
{
    struct reader *r = w->reader;
    struct graph *wait;
    int ret = elsewhere_of_graph(r->engine, r->dir.path, r->name, w->at, w->sent, g, &wait, err);

    if (ret < 0)
        return ret;
    w->sent = true;
    return submit_graph(w, r->engine->workers.elsewhere, wait, plan_again_with_names, err);
}

/* Submit a job for the next part of the latest version of the file. */
static void submit_next(struct reader_wait *w)
{
    struct workers *workers = &w->reader->engine->workers;
    struct graph *g;
    struct error err;
    int ret = plan_next(w, &g, &err);

    if (ret == 0) {
        ret = workers->fetcher && !w->fetched ? fetch_for(w, g, &err) : -ENOENT;
        if (ret == -ENOENT && !w->identified)
            ret = identify_for(w, g, &err);
        if (ret == -ENOENT)
            ret = elsewhere_for(w, g, &err);
        if (ret == -ENOENT)
            ret = submit_graph(w, workers->sched, graph_get(g), job_done, &err);
        graph_put(g);
    }
    if (ret < 0)
        fail(w, &err);
}

/* Take the available parts; submit a job for the first other one. */
static void go_on(struct reader_wait *w)
{
    struct error err;

    while (w->at < w->end && w->nparts < READER_SPAN_MAX) {
        struct part part = reader_kept_part(w->reader, w->at);

        if (!part.blob) {
            submit_next(w);
            return;
        }
        if (add_part(w, &part, &err) < 0) {
            fail(w, &err);
            return;
        }
    }
    wait_end(&w->wait, NULL);
}

/* ---- fetching (annex=get) ---- */

/* The runs are here: look the file up. The reader has no other user while its runs are absent. */
static int resolve_fetched(struct reader *r, struct error *err)
{
    struct derived *before = r->derived;
    int ret;

    r->derived = NULL;
    ret = reader_resolve(r, SCAN_NOW, err);
    if (!r->derived)
        r->derived = before;
    else
        derived_put(before);
    if (ret == -ENOENT) /* shapes and affines are known now, and change the group */
        return error_set(err, EIO,
                         "%s: the fetched runs form different groups; list the directory for "
                         "their names",
                         r->name);
    if (ret == 0 && r->lacking)
        return derived_fail(r->derived, err);
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
        wait_end(&w->wait, NULL);
    else
        go_on(w);
}

static void fetch_runs(struct reader_wait *w)
{
    struct reader *r = w->reader;
    struct error err;
    struct graph *g;
    int ret = fetch_of_derived(&r->engine->tree, r->derived, &g, &err);

    if (ret == 0)
        ret = submit_graph(w, r->engine->workers.fetcher, g, runs_fetched, &err);
    else if (ret == -ENOENT) /* git-annex cannot get it */
        err = r->derived->error;
    if (ret < 0)
        fail(w, &err);
}

/* ---- the kind of wait ---- */

static void start(struct wait *wait)
{
    struct reader_wait *w = (struct reader_wait *)wait;
    struct reader *r = w->reader;
    struct error err = {.code = 0};

    request_begin(&r->engine->requests, &w->request, r->path);
    pthread_mutex_lock(&r->lock);
    if (r->failure.code != 0 && monotonic_ns() - r->failed_ns < FAILURE_HOLDS_NS)
        err = r->failure;
    pthread_mutex_unlock(&r->lock);
    if (err.code != 0) {
        wait_end(wait, &err);
        return;
    }
    if (r->lacking) {
        fetch_runs(w);
        return;
    }
    choose_slices(w);
    go_on(w);
}

static void ending(struct wait *wait)
{
    struct reader_wait *w = (struct reader_wait *)wait;

    request_end(&w->reader->engine->requests, &w->request);
}

static void free_wait(struct wait *wait)
{
    struct reader_wait *w = (struct reader_wait *)wait;

    for (size_t i = 0; i < w->nparts; i++)
        blob_put(w->parts[i].blob);
    reader_put(w->reader);
    free(w);
}

static const struct wait_kind reader_wait_kind = {
    .start = start, .ending = ending, .free = free_wait};

struct wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes)
{
    struct reader_wait *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    wait_init(&w->wait, &reader_wait_kind);
    atomic_fetch_add(&r->refs, 1);
    w->reader = r;
    w->end = 1;
    if (r->sized) {
        w->at = off > r->parts.first_off ? off : r->parts.first_off;
        w->end = off + nbytes > r->nbytes ? r->nbytes : off + nbytes;
    }
    return &w->wait;
}

struct wait *reader_wait_again(struct wait *wait, uint64_t off, size_t nbytes)
{
    return reader_wait_new(((struct reader_wait *)wait)->reader, off, nbytes);
}

double reader_wait_progress(struct wait *wait)
{
    struct reader_wait *w = (struct reader_wait *)wait;

    return request_progress(&w->reader->engine->requests, &w->request, &w->reader->engine->workers);
}
