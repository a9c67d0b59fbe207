/* SPDX-License-Identifier: MIT
 *
 * The batch runs on the calling thread; workers wake it. Keeps one line for each failure.
 */
#include "orders.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ending.h"
#include "sink.h"

/* An order under way. */
struct job {
    struct order order;
    struct sink sink;
    bool is_written_badly;     /* the sink says why */
    struct job *next, **place; /* in orders.jobs */
};

struct orders {
    const struct orders_request *q;
    struct batch *batch;
    sem_t woken;      /* by workers */
    bool over;        /* the batch is */
    bool keeps;       /* the cache does: it was tried */
    bool in_vain;     /* it does not: no order is begun any more */
    struct job *jobs; /* under way */
    size_t nfailed;
};

/* ---- the end of an order ---- */

/* Takes `line` over. */
static void fail(struct orders *all, double weight, char *line)
{
    all->nfailed++;
    progress_fail(all->q->progress, weight, line);
}

static void job_free(struct job *job)
{
    if (job->place) {
        *job->place = job->next;
        if (job->next)
            job->next->place = job->place;
    }
    derived_put(job->order.file.derived);
    free(job->order.file.path);
    free(job->order.out);
    free(job);
}

/* Write what is left, and count. `err` NULL: all has been read. */
static void end_job(struct orders *all, struct job *job, const struct error *err)
{
    struct progress *p = all->q->progress;
    const struct order *o = &job->order;
    struct timespec mtime;
    struct stat st;
    struct error why;
    char *text = NULL;

    engine_stat_derived(all->q->engine, o->file.derived, o->file.path, &st);
    mtime = st.st_mtim;
    if (err && !job->is_written_badly &&
        asprintf(&text, "%s: compute: %s", o->file.path, err->text) < 0)
        text = NULL;
    if (sink_close(&job->sink, !err, all->q->keep_times ? &mtime : NULL, &why) < 0 && !err)
        err = &why;
    if (!err && all->q->written && all->q->written(all->q->ctx, o, &why) < 0)
        err = &why;
    if (!text && err)
        text = strdup(err->text);
    if (err) {
        fail(all, o->weight, text);
    } else {
        p->ncomputed++;
        p->done_weight += o->weight;
    }
    job_free(job);
    progress_show(p, batch_progress(all->batch));
}

/* The file is finished. `file->of` is its job. */
static void file_ended(void *ctx, const struct batch_file *file, const struct error *err)
{
    end_job(ctx, file->of, err);
}

/* ---- its beginning ---- */

static bool is_cached(struct orders *all, const struct found *found)
{
    struct derived_status status;

    engine_derived_status(all->q->engine, found->derived, found->path, &status);
    return status.state == STATE_CACHED;
}

static int open_reader(struct engine *e, const struct found *found, struct reader **out,
                       struct error *err)
{
    const char *name = derived_info(found->derived).name; /* may have a slash */
    size_t before = strlen(found->path) - strlen(name);
    char *dir = strndup(found->path, before > 0 ? before - 1 : 0);
    int ret = dir ? reader_open(e, &(struct dir){.path = dir}, name, out, err)
                  : error_set(err, ENOMEM, "out of memory");

    free(dir);
    return ret;
}

/* Open what the job reads and writes. A failure ends it. */
static bool begin(struct orders *all, struct job *job, struct batch_file *out)
{
    struct error err;

    job->next = all->jobs;
    job->place = &all->jobs;
    if (job->next)
        job->next->place = &job->next;
    all->jobs = job;
    *out = (struct batch_file){.of = job, .weight = job->order.weight};
    if (open_reader(all->q->engine, &job->order.file, &out->reader, &err) < 0) {
        end_job(all, job, &err);
        return false;
    }
    if (sink_open(&job->sink, job->order.out, &err) == 0)
        return true;
    reader_close(out->reader);
    fail(all, job->order.weight, strdup(err.text));
    job_free(job);
    return false;
}

/* A result that nobody gets and that cannot be kept is not worth computing. */
static bool is_in_vain(struct orders *all, const struct job *job)
{
    struct error err;
    char *text = NULL;

    if (all->keeps || job->order.out || is_cached(all, &job->order.file))
        return false;
    all->keeps = engine_cache_try(all->q->engine, &err) == 0;
    if (all->keeps)
        return false;
    if (asprintf(&text, "compute: %s (choose another --cache_dir, or name a file with -o)",
                 err.text) < 0)
        text = NULL;
    fail(all, job->order.weight, text);
    all->in_vain = true;
    return true;
}

static bool next_file(void *ctx, struct batch_file *out)
{
    struct orders *all = ctx;
    struct progress *p = all->q->progress;
    struct job *job;

    while (!ending_signal() && !all->in_vain && (job = calloc(1, sizeof *job))) {
        if (!all->q->next(all->q->ctx, &job->order)) {
            free(job);
            return false;
        }
        if (all->q->skip_cached && is_cached(all, &job->order.file)) {
            p->ncached++;
            p->done_weight += job->order.weight;
            p->saved_weight += job->order.weight;
            job_free(job);
            progress_show(p, batch_progress(all->batch));
        } else if (is_in_vain(all, job)) {
            job_free(job);
        } else if (begin(all, job, out)) {
            return true;
        }
    }
    return false;
}

static int take_bytes(void *ctx, const struct batch_file *file, const void *bytes, size_t nbytes,
                      struct error *err)
{
    struct job *job = file->of;

    (void)ctx;
    job->is_written_badly = sink_write(&job->sink, bytes, nbytes, err) < 0;
    return job->is_written_badly ? -err->code : 0;
}

static void all_done(void *ctx)
{
    struct orders *all = ctx;

    all->over = true;
}

static void wake(void *ctx)
{
    struct orders *all = ctx;

    sem_post(&all->woken);
}

/* ---- all of them ---- */

/* Wait a tenth of a second, or until a worker wakes the batch. */
static void wait_a_moment(struct orders *all)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    sem_timedwait(&all->woken, &until);
}

static void run_all(struct orders *all)
{
    while (!ending_signal()) {
        batch_run(all->batch);
        if (all->over)
            break;
        progress_show(all->q->progress, batch_progress(all->batch));
        wait_a_moment(all);
    }
}

/* Remove what was begun: the batch will not go on. */
static void give_up(struct orders *all)
{
    struct error ignored;

    for (struct job *job = all->jobs; job; job = job->next)
        if (sink_close(&job->sink, false, NULL, &ignored) < 0)
            continue;
}

static struct orders *orders_new(const struct orders_request *q)
{
    struct orders *all = calloc(1, sizeof *all);
    struct batch_user user = {.next = next_file,
                              .take = take_bytes,
                              .ended = file_ended,
                              .done = all_done,
                              .wake = wake,
                              .ctx = all};

    if (!all)
        return NULL;
    all->q = q;
    all->batch = batch_new(q->engine, &user);
    if (all->batch && sem_init(&all->woken, 0, 0) == 0)
        return all;
    batch_free(all->batch);
    free(all);
    return NULL;
}

int orders_run(const struct orders_request *q)
{
    struct orders *all = orders_new(q);
    struct ending ending;
    int ret;

    if (!all)
        return ctl_say("compute: out of memory");
    ending_catch(&ending);
    run_all(all);
    ending_release(&ending);
    ret = all->nfailed > 0 || ending_signal() ? CTL_FAILED : CTL_OK;
    if (ending_signal()) { /* workers may still call back */
        give_up(all);
        return ret;
    }
    batch_free(all->batch);
    sem_destroy(&all->woken);
    free(all);
    return ret;
}

void orders_raise(struct engine *e)
{
    if (ending_signal() && engine_config(e)->engine)
        engine_stop(e);
    ending_raise(ending_signal());
}
