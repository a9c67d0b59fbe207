/* SPDX-License-Identifier: MIT
 *
 * Requests that wait for bytes to be computed, and before that, with annex=get, for runs to be
 * fetched: then the file is looked up again.
 *
 * A request takes its parts one after the other, each the result of one job; reader_extent.c
 * chooses the next one.
 *
 * The kernel repeats a failed page-cache read at once. So a failure holds for the open file for
 * FAILURE_HOLDS_NS: one computation and one log line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monotonic.h"
#include "reader_private.h"

#define FAILURE_HOLDS_NS INT64_C(1000000000)

/* Plans of a request that evictions may void. */
enum { EVICTED_MAX = 100 };

/* Plans that changing sources may void: one that is replaced all the time has pauses, too. */
enum { CHANGED_MAX = 50 };

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

    if (reader_take_result(w, blob, &err) < 0) {
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
    go_on(w);
}

/* Of the same inode? `b` may be NULL: no. */
static bool is_same_file(const struct run *a, const struct run *b)
{
    return b && a->id.ino != 0 && key_equal(&a->id.fs, &b->id.fs) && a->id.ino == b->id.ino;
}

/* May those who opened the reader's file read `d`? An open file stays readable when rights are
 * withdrawn; another file that has its name now may be private. With the lock held. */
static bool shows_no_more(const struct reader *r, const struct derived *d)
{
    const struct derived *old = r->derived;
    bool same_files = !d->recipe->command && d->nruns == old->nruns;

    for (size_t i = 0; same_files && i < d->nruns; i++)
        same_files = is_same_file(d->runs[i], old->runs[i]);
    for (size_t i = 0; same_files && derived_input_file(d, i); i++)
        same_files = is_same_file(derived_input_file(d, i), derived_input_file(old, i));
    return same_files || (d->rights.uid == r->rights.uid && d->rights.gid == r->rights.gid &&
                          (r->rights.mode & ~d->rights.mode) == 0);
}

/* Look the file up again: a source changed. */
static int resolve_again(struct reader *r, struct error *err)
{
    struct derived *d;
    bool same_recipe, allowed;
    int ret = tree_find_derived(&r->engine->tree, &r->dir, r->name, SCAN_NOW, &d, err);

    if (ret == -ENOENT || ret == -ESTALE) /* no answers to a read(2) */
        return error_set(err, EIO, "a source was removed or damaged while it was read");
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&r->lock);
    same_recipe = strcmp(d->recipe->canonical, r->derived->recipe->canonical) == 0;
    allowed = shows_no_more(r, d);
    pthread_mutex_unlock(&r->lock);
    if (d->error.code == 0 && same_recipe && allowed)
        return reader_set_derived(r, d, err);
    ret = d->error.code ? error_set(err, d->error.code, "%s", d->error.text)
          : allowed     ? error_set(err, EIO, "source and recipe changed while it was read")
                        : error_set(err, EIO, "others may read its sources since it was opened");
    derived_put(d);
    return ret;
}

static void resolve_and_submit(struct reader_wait *w)
{
    struct error err;

    w->slices.nbytes = 0;  /* the runs may be compressed now */
    w->identified = false; /* runs may be others now */
    if (resolve_again(w->reader, &err) < 0)
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

/* Submit a job. On success, `done` is called with the wait, perhaps before this returns. */
static int submit_graph(struct reader_wait *w, struct sched *sched, struct graph *g,
                        sched_done_fn *done, struct error *err)
{
    request_at(&w->reader->engine->requests, &w->request, &w->reader->engine->workers, g);
    return wait_submit(&w->wait, sched, g, done, err);
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
    ret = submit_graph(w, w->reader->engine->workers.fetcher, fetch, content_fetched, err);
    graph_put(fetch);
    return ret;
}

static void runs_identified(void *arg, struct blob *result, const struct error *err)
{
    struct reader_wait *w = arg;

    if (!result) {
        fail(w, err);
        return;
    }
    reader_forget_plan(w->reader);
    submit_next(w);
}

/* Submit a job that finds the names of runs that `g` reads; -ENOENT: there are none to be found. */
static int identify_for(struct reader_wait *w, const struct graph *g, struct error *err)
{
    struct graph *identify;
    int ret = identify_of_graph(&w->reader->engine->store, g, &identify, err);

    if (ret < 0)
        return ret;
    w->identified = true;
    ret = submit_graph(w, w->reader->engine->workers.sched, identify, runs_identified, err);
    graph_put(identify);
    return ret;
}

/* Submit a job for the next part of the latest version of the file. */
static void submit_next(struct reader_wait *w)
{
    struct workers *workers = &w->reader->engine->workers;
    struct graph *g;
    struct error err;
    int ret = reader_wait_plan(w, &g, &err);

    if (ret == 0) {
        ret = workers->fetcher && !w->fetched ? fetch_for(w, g, &err) : -ENOENT;
        if (ret == -ENOENT && !w->identified)
            ret = identify_for(w, g, &err);
        if (ret == -ENOENT)
            ret = submit_graph(w, workers->sched, g, job_done, &err);
        graph_put(g);
    }
    if (ret < 0)
        fail(w, &err);
}

int reader_wait_add(struct reader_wait *w, const struct part *part, struct error *err)
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
        if (reader_wait_add(w, &part, &err) < 0) {
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

    if (ret == 0) {
        ret = submit_graph(w, r->engine->workers.fetcher, g, runs_fetched, &err);
        graph_put(g);
    } else if (ret == -ENOENT) { /* git-annex cannot get it */
        err = r->derived->error;
    }
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
    reader_choose_slices(w);
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
