/* SPDX-License-Identifier: MIT
 *
 * The window of a batch.
 *
 *     next() ---> slot: bytes available? --- take() ---> ended(), the slot is free
 *                           '--- waits, and is served again after the answer
 *
 * One thread at a time serves the slots (`running`). An answer meanwhile makes it serve them again
 * (`again`), also an answer on the same thread, within wait_start(): files that are available at
 * once cause no recursion. An answer marks its slot and becomes the runner in one critical
 * section, because the batch may be freed after the last slot. Costs a reader for each slot, and
 * one buffer.
 */
#include "batch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "elsewhere.h"
#include "reader_private.h"

/* So many files keep the workers busy. Where other nodes compute, many more can be under way. */
enum { WINDOW = 64 };

enum { STEP_NBYTES = 1 << 20 }; /* of a wait */

/* Waits for a file without a byte of it: for the content of its runs, and for its own. */
enum { WAITS_MAX = 2 };

struct slot {
    struct batch *batch;
    struct batch_file file; /* reader NULL: the slot is free */
    uint64_t off;           /* bytes taken */
    unsigned nwaits;        /* since the last byte */
    double before, step;    /* when the wait began: the share done, and that of the wait */
    struct wait *wait;      /* guarded by lock: a reference; NULL: none */
    struct error error;     /* guarded by lock: of the wait; code 0: none */
};

struct batch {
    struct batch_user user;
    char *buf; /* [STEP_NBYTES] */
    size_t nbusy;
    bool exhausted;
    pthread_mutex_t lock;
    bool running;   /* guarded by lock */
    bool again;     /* guarded by lock */
    bool cancelled; /* guarded by lock */
    size_t nslots;
    struct slot slots[]; /* [nslots] */
};

struct batch *batch_new(struct engine *e, const struct batch_user *user)
{
    size_t nslots = e->workers.elsewhere ? ELSEWHERE_NTHREADS : WINDOW;
    struct batch *b = calloc(1, sizeof *b + nslots * sizeof *b->slots);

    if (!b)
        return NULL;
    b->user = *user;
    b->nslots = nslots;
    b->buf = malloc(STEP_NBYTES);
    pthread_mutex_init(&b->lock, NULL);
    for (size_t i = 0; i < b->nslots; i++)
        b->slots[i].batch = b;
    if (b->buf)
        return b;
    batch_free(b);
    return NULL;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b->buf);
    free(b);
}

/* ---- one file ---- */

static bool take_next(struct batch *b, struct slot *s)
{
    pthread_mutex_lock(&b->lock);
    b->exhausted = b->exhausted || b->cancelled;
    pthread_mutex_unlock(&b->lock);
    if (b->exhausted || !b->user.next(b->user.ctx, &s->file))
        b->exhausted = true;
    else
        b->nbusy++;
    return !b->exhausted;
}

static void end_file(struct slot *s, const struct error *err)
{
    struct batch *b = s->batch;

    b->user.ended(b->user.ctx, &s->file, err);
    reader_close(s->file.reader);
    pthread_mutex_lock(&b->lock);
    b->cancelled = b->cancelled || (err && err->code == ECANCELED); /* the engine stops */
    *s = (struct slot){.batch = b};
    pthread_mutex_unlock(&b->lock);
    b->nbusy--;
}

static void answered(void *arg, struct wait *w, const struct error *err);

/* Wait for the bytes from `off` on. */
static int wait_for(struct slot *s, struct error *err)
{
    struct batch *b = s->batch;
    const struct reader *r = s->file.reader;
    struct wait *w;
    bool cancelled;

    if (s->nwaits++ == WAITS_MAX)
        return error_set(err, EIO, "%s: no byte was computed", r->path);
    w = reader_wait_new(s->file.reader, s->off, STEP_NBYTES);
    if (!w)
        return error_set(err, ENOMEM, "out of memory");
    /* before the start: a wait may make the reader find another version of its file */
    s->before = r->parts.n > 1 ? (double)s->off / (double)r->nbytes : 0;
    s->step = r->parts.n > 0 ? 1 / (double)r->parts.n : 1;
    pthread_mutex_lock(&b->lock);
    s->wait = wait_get(w);
    cancelled = b->cancelled;
    pthread_mutex_unlock(&b->lock);
    if (cancelled)
        wait_cancel(w);
    wait_start(w, answered, s);
    wait_put(w);
    return 0;
}

/* Pass available bytes on, and wait for others. True: the file has ended. */
static bool advance(struct slot *s)
{
    const struct batch_user *u = &s->batch->user;
    struct reader *r = s->file.reader;
    struct reader_info info;
    struct error err;

    while (!(info = reader_info(r)).sized || s->off < info.nbytes) {
        size_t got = 0;
        int ret = 0;

        /* a command's file is available as a whole or not at all; no header by itself: until the
         * first byte a wait can start again */
        if (info.sized)
            ret = reader_read(r, s->off, s->batch->buf, STEP_NBYTES, s->off > 0 || s->nwaits > 0,
                              &got, &err);
        if (ret == 0 && got > 0)
            ret = u->take(u->ctx, &s->file, s->batch->buf, got, &err);
        else if (ret == 0 && (ret = wait_for(s, &err)) == 0)
            return false;
        if (ret < 0) {
            end_file(s, &err);
            return true;
        }
        s->off += got;
        s->nwaits = 0;
    }
    end_file(s, NULL);
    return true;
}

/* The wait of the slot: a reference, or NULL. It may end at any time. */
static struct wait *wait_of(struct slot *s)
{
    struct wait *w;

    pthread_mutex_lock(&s->batch->lock);
    w = s->wait ? wait_get(s->wait) : NULL;
    pthread_mutex_unlock(&s->batch->lock);
    return w;
}

static void serve(struct slot *s)
{
    while (s->file.reader || take_next(s->batch, s)) {
        struct wait *w = wait_of(s);

        if (w) {
            wait_put(w);
            return;
        }
        if (s->error.code != 0)
            end_file(s, &s->error);
        else if (!advance(s))
            return;
    }
}

/* ---- all files ---- */

/* Serve the slots until all wait, unless another thread does. The caller locks; unlocks. */
static void run(struct batch *b)
{
    bool over;

    b->again = true;
    if (b->running) {
        pthread_mutex_unlock(&b->lock);
        return;
    }
    b->running = true;
    while (b->again) {
        b->again = false;
        pthread_mutex_unlock(&b->lock);
        for (size_t i = 0; i < b->nslots; i++)
            serve(&b->slots[i]);
        pthread_mutex_lock(&b->lock);
    }
    b->running = false;
    over = b->exhausted && b->nbusy == 0;
    pthread_mutex_unlock(&b->lock);
    if (over)
        b->user.done(b->user.ctx);
}

static void answered(void *arg, struct wait *w, const struct error *err)
{
    struct slot *s = arg;
    struct batch *b = s->batch;

    wait_put(w); /* the slot's reference; the caller has another */
    pthread_mutex_lock(&b->lock);
    s->wait = NULL;
    if (err)
        s->error = *err;
    if (!b->user.wake) {
        run(b);
        return;
    }
    b->user.wake(b->user.ctx);
    pthread_mutex_unlock(&b->lock);
}

void batch_run(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    run(b);
}

void batch_cancel(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    b->cancelled = true;
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < b->nslots; i++) {
        struct wait *w = wait_of(&b->slots[i]);

        if (w) {
            wait_cancel(w);
            wait_put(w);
        }
    }
}

double batch_progress(struct batch *b)
{
    double sum = 0;

    for (size_t i = 0; i < b->nslots; i++) {
        struct slot *s = &b->slots[i];
        struct wait *w = wait_of(s);
        double left = 1 - s->before;

        if (w) {
            sum += s->file.weight *
                   (s->before + (s->step < left ? s->step : left) * reader_wait_progress(w));
            wait_put(w);
        }
    }
    return sum;
}
