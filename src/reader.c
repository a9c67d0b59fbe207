/* SPDX-License-Identifier: MIT
 *
 * Reading a derived file: an open file is a reader, a request that has to wait is a wait.
 *
 *     reader_open ---- planned: size, parts, header known; nothing computed
 *     reader_read ---- bytes that are there: the head, parts that were computed before
 *     reader_wait ---- one part after the other, each one job of the scheduler
 *        |---- done: the parts stay with the wait until its owner has read them
 *        |---- a source changed meanwhile (ESTALE): planned once more from what is there now
 *        |---- a result went from the cache meanwhile (EAGAIN): planned again without the cache
 *        \---- failed: noted in the error log, told to the owner, forgotten after a second
 *
 * An image is one part; a series has many (derived_parts()), of which a reader keeps the two
 * latest: enough for a program that reads on, and bounded. The kernel repeats a failed page-cache
 * read at once; a failure therefore holds for the same open file for FAILURE_HOLDS_NS, so that one
 * computation and one log line come of it.
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

/* Parts that a reader keeps, and that one request may span. */
enum { KEPT = 2, SPAN_MAX = 4 };

/* How often a request is planned again because of evictions. */
enum { EVICTED_MAX = 100 };

struct part {
    size_t number;
    struct blob *blob; /* a reference; NULL: empty slot */
};

struct reader {
    atomic_int refs; /* the owner's and one per wait */
    struct engine *engine;
    char *dir, *name, *path;
    uint64_t version;
    _Atomic uint64_t nbytes;
    atomic_bool sized; /* nbytes is known: of a command's file once it is computed */
    struct parts parts;
    size_t head_nbytes;
    unsigned char head[NIFTI_DERIVED_NBYTES];
    pthread_mutex_t lock;
    struct derived *derived; /* guarded by lock: replaced when a source has changed */
    struct part kept[KEPT];  /* guarded by lock: the latest first */
    struct error failure;    /* guarded by lock: the last failure, code 0: none */
    int64_t failed_ns;       /* guarded by lock: when that was */
};

struct reader_wait {
    atomic_int refs; /* the owner's and the job's */
    struct reader *reader;
    reader_done_fn *done;
    void *arg;
    struct request request; /* from the start to the end: how others see it */
    size_t first, nparts;   /* what the request spans */
    /* only touched by the job's callbacks, which come one after the other, and then by the owner */
    struct blob *blobs[SPAN_MAX]; /* [ndone] references */
    size_t ndone;
    bool retried;      /* after a change of a source */
    unsigned nevicted; /* times that a result had gone from the cache before it was used */
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
    for (size_t i = 0; i < KEPT; i++)
        blob_put(r->kept[i].blob);
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

/* ---- parts that are there ----------------------------------------------------------------------
 */

/* A reference to a part that is kept, or NULL. */
static struct blob *kept_part(struct reader *r, size_t number)
{
    struct blob *blob = NULL;

    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < KEPT && !blob; i++)
        if (r->kept[i].blob && r->kept[i].number == number)
            blob = blob_get(r->kept[i].blob);
    pthread_mutex_unlock(&r->lock);
    return blob;
}

static void keep_part(struct reader *r, size_t number, struct blob *blob)
{
    struct blob *dropped = NULL;
    bool known = false;

    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < KEPT; i++)
        known = known || (r->kept[i].blob && r->kept[i].number == number);
    if (!known) {
        dropped = r->kept[KEPT - 1].blob;
        memmove(r->kept + 1, r->kept, (KEPT - 1) * sizeof *r->kept);
        r->kept[0] = (struct part){number, blob_get(blob)};
    }
    pthread_mutex_unlock(&r->lock);
    blob_put(dropped);
}

/* A command's result tells how long the file is. */
static void take_size(struct reader *r, const struct blob *blob)
{
    if (!r->sized) {
        r->nbytes = blob_nbytes(blob);
        r->sized = true;
    }
}

/* Look whether the result of a part's plan is in the cache. */
static int find_in_cache(struct reader *r, size_t number, struct error *err)
{
    struct blob *blob;
    struct graph *g;
    int ret = derived_graph(r->derived, number, r->engine->config.memory_nbytes, &g, err);

    if (ret < 0)
        return ret;
    if (cache_lookup(r->engine->cache, &graph_root(g)->key, &blob) == 0) {
        keep_part(r, number, blob);
        take_size(r, blob);
        blob_put(blob);
    }
    graph_put(g);
    return 0;
}

/* Find the file as it is now and see whether its (first) part is there. */
static int reader_resolve(struct reader *r, struct error *err)
{
    int ret = tree_find_derived(r->engine, r->dir, r->name, SCAN_NOW, &r->derived, err);

    if (ret < 0)
        return ret;
    r->version = r->derived->version;
    r->nbytes = r->derived->nbytes;
    r->sized = !r->derived->recipe->command;
    derived_parts(r->derived, &r->parts);
    if (!r->sized)
        r->parts.nbytes = UINT64_MAX; /* one part, however long it gets */
    if (r->derived->format->drawn)
        return error_set(err, EINVAL, "%s: a drawing has no result; `derivctl graph` writes it",
                         r->name);
    ret = find_in_cache(r, 0, err);
    if (ret < 0) {
        engine_failed(r->engine, r->path, err);
        return ret;
    }
    ret = derived_head(r->derived, r->head, err);
    if (ret == 0)
        r->head_nbytes = sizeof r->head;
    return ret == -ENODATA ? 0 : ret;
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

bool reader_is_sized(const struct reader *r)
{
    return r->sized;
}

uint64_t reader_nbytes(const struct reader *r)
{
    return r->nbytes;
}

uint64_t reader_version(const struct reader *r)
{
    return r->version;
}

struct blob *reader_whole(struct reader *r)
{
    return r->parts.n == 1 && r->parts.first_off == 0 ? kept_part(r, 0) : NULL;
}

static uint64_t part_off(const struct reader *r, size_t number)
{
    return r->parts.first_off + number * r->parts.nbytes;
}

/* Copy from the head what of [off, off + nbytes) lies in it, unless part 0 has that too. */
static size_t copy_head(const struct reader *r, uint64_t off, char *buf, size_t nbytes)
{
    size_t n = 0;

    if (off < r->head_nbytes) {
        n = r->head_nbytes - (size_t)off < nbytes ? r->head_nbytes - (size_t)off : nbytes;
        memcpy(buf, r->head + off, n);
    }
    return n;
}

/* Copy from one part what of [off, off + nbytes) lies in it. */
static int copy_part(const struct reader *r, size_t number, const struct blob *blob, uint64_t off,
                     char *buf, size_t nbytes, size_t *got, struct error *err)
{
    uint64_t begin = part_off(r, number), end = begin + blob_nbytes(blob);

    *got = 0;
    if (off < begin || off >= end)
        return 0;
    *got = end - off < nbytes ? (size_t)(end - off) : nbytes;
    return blob_read(blob, off - begin, buf, *got, err);
}

int reader_read(struct reader *r, uint64_t off, void *buf, size_t nbytes, size_t *got,
                struct error *err)
{
    char *at = buf;

    *got = off < r->nbytes ? copy_head(r, off, at, nbytes) : 0;
    while (*got < nbytes && off + *got < r->nbytes) {
        size_t number = (size_t)((off + *got - r->parts.first_off) / r->parts.nbytes), n = 0;
        struct blob *blob = kept_part(r, number);
        int ret =
            blob ? copy_part(r, number, blob, off + *got, at + *got, nbytes - *got, &n, err) : 0;

        blob_put(blob);
        if (ret < 0)
            return ret;
        if (n == 0)
            break;
        *got += n;
    }
    return 0;
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

struct reader_wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes,
                                    reader_done_fn *done, void *arg)
{
    struct reader_wait *w = calloc(1, sizeof *w);
    uint64_t begin = off > r->parts.first_off ? off - r->parts.first_off : 0;
    uint64_t end = off + nbytes > r->nbytes ? r->nbytes : off + nbytes;

    if (!w)
        return NULL;
    atomic_init(&w->refs, 1);
    pthread_mutex_init(&w->lock, NULL);
    atomic_fetch_add(&r->refs, 1);
    w->reader = r;
    w->done = done;
    w->arg = arg;
    w->nparts = 1;
    if (!r->sized)
        return w;
    w->first = (size_t)(begin / r->parts.nbytes);
    w->nparts = (size_t)((end - r->parts.first_off - 1) / r->parts.nbytes) + 1 - w->first;
    if (w->nparts > SPAN_MAX) /* a request of the kernel is at most 1 MiB, a part at least 2 */
        w->nparts = SPAN_MAX;
    return w;
}

void reader_wait_put(struct reader_wait *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    for (size_t i = 0; i < w->ndone; i++)
        blob_put(w->blobs[i]);
    reader_put(w->reader);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int reader_wait_read(struct reader_wait *w, uint64_t off, void *buf, size_t nbytes,
                     struct error *err)
{
    char *at = buf;
    size_t got = 0, n;

    /* part 0 of an image has the head too; then both say the same */
    got = copy_head(w->reader, off, at, nbytes);
    for (size_t i = 0; i < w->ndone && got < nbytes; i++) {
        int ret = copy_part(w->reader, w->first + i, w->blobs[i], off + got, at + got, nbytes - got,
                            &n, err);

        if (ret < 0)
            return ret;
        got += n;
    }
    return got == nbytes ? 0 : error_set(err, EIO, "%s: a part is missing", w->reader->path);
}

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
        r->failed_ns = now_ns();
        pthread_mutex_unlock(&r->lock);
    }
    finish(w, err);
}

/* The size that part `number` must have, since the file's size has been promised. */
static uint64_t promised_nbytes(const struct reader *r, size_t number)
{
    uint64_t left = r->nbytes - part_off(r, number);

    return left < r->parts.nbytes ? left : r->parts.nbytes;
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
    take_size(r, blob);
}

static void take_part(struct reader_wait *w, struct blob *blob)
{
    struct reader *r = w->reader;
    size_t number = w->first + w->ndone;
    uint64_t promised = r->sized ? promised_nbytes(r, number) : blob_nbytes(blob);

    if (!r->sized)
        note_size(r, blob);
    if (blob_nbytes(blob) != promised) {
        struct error err;

        error_set(&err, EIO, "%" PRIu64 " bytes came out where %" PRIu64 " were promised",
                  blob_nbytes(blob), promised);
        fail(w, &err);
        return;
    }
    keep_part(r, number, blob);
    w->blobs[w->ndone++] = blob_get(blob);
    pthread_mutex_lock(&r->lock);
    r->failure.code = 0;
    pthread_mutex_unlock(&r->lock);
    errlog_clear(r->engine->errors, r->path);
    go_on(w);
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
    if (d->error.code == 0 && (d->nbytes != r->nbytes || r->parts.n > 1)) {
        derived_put(d);
        /* of a series, some parts have been read already */
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

/* Submit a job for the next part, of the file as it was found last. On success job_done() is or
 * will be called. */
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
    /* After an eviction nothing is left to the cache: tasks whose results are there end at once. */
    ret = w->nevicted > 0
              ? derived_graph(d, w->first + w->ndone, r->engine->config.memory_nbytes, &g, err)
              : engine_plan(r->engine, d, w->first + w->ndone, &g, err);
    derived_put(d);
    if (ret < 0)
        return ret;
    request_at(r->engine, &w->request, g);
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

/* Take the parts that are there; ask for the first that is not. */
static void go_on(struct reader_wait *w)
{
    struct error err;

    while (w->ndone < w->nparts) {
        struct blob *blob = kept_part(w->reader, w->first + w->ndone);

        if (!blob) {
            if (submit(w, &err) < 0)
                fail(w, &err);
            return;
        }
        w->blobs[w->ndone++] = blob;
    }
    finish(w, NULL);
}

void reader_wait_start(struct reader_wait *w)
{
    struct reader *r = w->reader;
    struct error err = {.code = 0};

    atomic_fetch_add(&w->refs, 1); /* the job's, given up by finish() */
    request_begin(r->engine, &w->request, r->path);
    pthread_mutex_lock(&r->lock);
    if (r->failure.code != 0 && now_ns() - r->failed_ns < FAILURE_HOLDS_NS)
        err = r->failure;
    pthread_mutex_unlock(&r->lock);
    if (err.code != 0)
        finish(w, &err);
    else
        go_on(w);
}

double reader_wait_progress(struct reader_wait *w)
{
    return request_progress(w->reader->engine, &w->request);
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
