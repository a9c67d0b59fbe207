/* SPDX-License-Identifier: MIT
 *
 * Orders: files that are computed, each walked through from front to back.
 *
 *     next ---> slot: opened --- bytes there? --- passed on ---> finished: counted, slot is free
 *                                    '--- asked for, and looked at again when answered
 *
 * WINDOW slots are filled in the order in which the files come, so that files of one directory,
 * which share work, are under way together. Cost: a reader for each slot, and one line for each
 * failure until the end.
 */
#include "orders.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ending.h"
#include "human.h"
#include "monotonic.h"
#include "sink.h"

enum { WINDOW = 64 };

/* Bytes that are asked for at a time. */
enum { STEP_NBYTES = 1 << 20 };

/* One file that was asked for. */
struct order {
    struct found found; /* path NULL: the slot is free */
    double weight;
    struct reader *reader;
    struct wait *wait; /* for the bytes from `off` on; NULL: not waiting */
    struct orders *all;
    uint64_t off;       /* bytes that have been there */
    bool finished;      /* all of them, or failed */
    bool answered;      /* guarded by orders.lock, like the next: the wait has ended */
    struct error error; /* code 0: well so far */
};

struct orders {
    const struct orders_request *q;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct order slots[WINDOW];
    struct orders_outcome outcome;
    bool exhausted;      /* no more files come */
    double done_weight;  /* of files that are finished */
    double saved_weight; /* of those of them that were cached before */
    char **failures;     /* [nkept] "PATH: compute: REASON" */
    size_t nkept;        /* outcome.nfailed, but for want of memory */
    struct sink sink;
    char *buf; /* [STEP_NBYTES] */
    bool terminal;
    int drawn; /* columns of the bar on the terminal */
    int64_t began_ns, drawn_ns;
};

/* ---- one order ---------------------------------------------------------------------------------
 */

static void order_answered(void *arg, struct wait *w, const struct error *err)
{
    struct order *o = arg;

    (void)w;
    pthread_mutex_lock(&o->all->lock);
    if (err)
        o->error = *err;
    o->answered = true;
    pthread_cond_signal(&o->all->changed);
    pthread_mutex_unlock(&o->all->lock);
}

static void order_finish(struct order *o, const struct error *err)
{
    if (err)
        o->error = *err;
    o->finished = true;
}

static void order_open(struct order *o, struct engine *e)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    const char *name = o->found.derived->name; /* what the path ends with */
    size_t before = strlen(o->found.path) - strlen(name);
    char *dir = strndup(o->found.path, before > 0 ? before - 1 : 0);

    if (!dir) {
        order_finish(o, &err);
        return;
    }
    if (reader_open(e, dir, name, &o->reader, &err) < 0)
        order_finish(o, &err);
    free(dir);
}

/* Has the wait of this order ended? Then it is over. */
static bool order_is_ready(struct order *o)
{
    bool ready;

    if (!o->wait)
        return true;
    pthread_mutex_lock(&o->all->lock);
    ready = o->answered;
    pthread_mutex_unlock(&o->all->lock);
    if (ready) {
        wait_put(o->wait);
        o->wait = NULL;
        if (o->error.code != 0)
            order_finish(o, NULL);
    }
    return ready;
}

/* Wait for the bytes from `off` on. */
static void order_ask(struct order *o)
{
    struct error err;

    o->answered = false;
    o->wait = reader_wait_new(o->reader, o->off, STEP_NBYTES);
    if (o->wait) {
        wait_start(o->wait, order_answered, o);
        return;
    }
    error_set(&err, ENOMEM, "out of memory");
    order_finish(o, &err);
}

/* Pass on what is there by now, and ask for what is not. */
static void order_advance(struct order *o)
{
    struct orders *all = o->all;
    struct error err;

    while (!o->finished) {
        size_t got;

        if (!reader_is_sized(o->reader)) { /* a command's file is there as a whole or not at all */
            order_ask(o);
            return;
        }
        if (reader_read(o->reader, o->off, all->buf, STEP_NBYTES, &got, &err) < 0 ||
            sink_write(&all->sink, all->buf, got, &err) < 0) {
            order_finish(o, &err);
            return;
        }
        o->off += got;
        if (o->off == reader_nbytes(o->reader)) {
            order_finish(o, NULL);
        } else if (got == 0) {
            order_ask(o);
            return;
        }
    }
}

/* How much of the order is done, from 0 to 1: the bytes that have been there, and of the part that
 * is under way (of an image: all of it) as much as is done. */
static double order_progress(const struct order *o)
{
    struct parts parts;
    double passed, step;

    if (!o->wait)
        return 0;
    derived_parts(o->found.derived, &parts);
    step = 1 / (double)parts.n;
    passed = parts.n > 1 ? (double)o->off / (double)reader_nbytes(o->reader) : 0;
    return passed + (step < 1 - passed ? step : 1 - passed) * reader_wait_progress(o->wait);
}

/* ---- the bar -----------------------------------------------------------------------------------
 */

/* Columns of the terminal; 80 where it does not tell. */
static int terminal_width(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static double weight_done(const struct orders *all)
{
    double sum = all->done_weight;

    for (int i = 0; i < WINDOW; i++)
        if (all->slots[i].found.path && !all->slots[i].finished)
            sum += all->slots[i].weight * order_progress(&all->slots[i]);
    return sum;
}

/* "", or how long the rest takes if it goes on as so far. */
static struct human time_left(const struct orders *all, double done)
{
    int64_t elapsed_ns = monotonic_ns() - all->began_ns;
    double fresh = done - all->saved_weight, rest = all->q->weight - done;
    struct human out = {""};

    if (elapsed_ns < 1000000000 || fresh <= 0 || rest <= 0)
        return out;
    out = human_span((int64_t)((double)elapsed_ns * rest / fresh));
    return out;
}

static void draw_bar(struct orders *all)
{
    enum { WIDTH = 40 };
    const struct orders_outcome *o = &all->outcome;
    size_t nfinished = o->ncomputed + o->ncached + o->nfailed;
    size_t n = nfinished > all->q->nfiles ? nfinished : all->q->nfiles;
    double done = weight_done(all);
    double fraction = nfinished < n && all->q->weight > 0 ? done / all->q->weight : 1;
    struct human left = time_left(all, done);
    int width = terminal_width() < 2 * WIDTH ? terminal_width() / 4 : WIDTH;
    int filled = (int)(fraction * width), before = all->drawn;
    char text[160];

    all->drawn_ns = monotonic_ns();
    snprintf(text, sizeof text, "[%.*s%*s] %3.0f %%  %zu of %zu", filled,
             "########################################", width - filled, "", floor(100 * fraction),
             nfinished, n);
    if (o->nfailed > 0)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  %zu failed", o->nfailed);
    if (left.text[0])
        snprintf(text + strlen(text), sizeof text - strlen(text), "  %s left", left.text);
    all->drawn = (int)strlen(text);
    fprintf(stderr, "\r%s%*s", text, before > all->drawn ? before - all->drawn : 0, "");
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static void keep_failure(struct orders *all, const struct order *o)
{
    char **grown = realloc(all->failures, (all->nkept + 1) * sizeof *grown);

    all->outcome.nfailed++;
    if (!grown)
        return;
    all->failures = grown;
    if (asprintf(&grown[all->nkept], "%s: compute: %s", o->found.path, o->error.text) >= 0)
        all->nkept++;
}

/* Count the order, and free its slot. */
static void order_leave(struct orders *all, struct order *o)
{
    if (o->error.code != 0)
        keep_failure(all, o);
    else
        all->outcome.ncomputed++;
    all->done_weight += o->weight;
    reader_close(o->reader);
    derived_put(o->found.derived);
    free(o->found.path);
    *o = (struct order){.all = all};
}

/* Take the next file that is to be computed into the slot; false where there is none. */
static bool order_take(struct orders *all, struct order *o)
{
    struct derived_status status;

    while (!all->exhausted && !ending_signal()) {
        all->exhausted = !all->q->next(all->q->ctx, &o->found, &o->weight);
        if (all->exhausted)
            break;
        if (!all->q->skip_cached) {
            order_open(o, all->q->engine);
            return true;
        }
        engine_derived_status(all->q->engine, o->found.derived, o->found.path, &status);
        if (status.state != STATE_CACHED) {
            order_open(o, all->q->engine);
            return true;
        }
        all->outcome.ncached++;
        all->done_weight += o->weight;
        all->saved_weight += o->weight;
        derived_put(o->found.derived);
        free(o->found.path);
        o->found.path = NULL;
        if (all->terminal && monotonic_ns() - all->drawn_ns > 100000000)
            draw_bar(all);
    }
    o->found.path = NULL;
    return false;
}

/* Wait a tenth of a second, or less if something is answered meanwhile. */
static void wait_a_moment(struct orders *all)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&all->lock);
    pthread_cond_timedwait(&all->changed, &all->lock, &until);
    pthread_mutex_unlock(&all->lock);
}

/* One look at every slot; the number of those that still wait. */
static int look_at_slots(struct orders *all, bool *moved)
{
    int nwaiting = 0;

    *moved = false;
    for (int i = 0; i < WINDOW; i++) {
        struct order *o = &all->slots[i];

        if (!o->found.path && !order_take(all, o))
            continue;
        if (!o->finished && order_is_ready(o))
            order_advance(o);
        if (o->finished) {
            order_leave(all, o);
            *moved = true;
        } else {
            nwaiting++;
        }
    }
    return nwaiting;
}

static void walk_all(struct orders *all)
{
    bool moved = true;

    while (!ending_signal() && (look_at_slots(all, &moved) > 0 || moved)) {
        if (all->terminal && monotonic_ns() - all->drawn_ns > 100000000)
            draw_bar(all);
        if (!moved)
            wait_a_moment(all);
    }
    if (all->terminal) {
        draw_bar(all);
        fputc('\n', stderr);
    }
}

static void print_failures(const struct orders *all)
{
    for (size_t i = 0; i < all->nkept; i++) {
        ctl_say("%s", all->failures[i]);
        free(all->failures[i]);
    }
    free(all->failures);
}

int orders_run(const struct orders_request *q, struct orders_outcome *out)
{
    struct orders *all = calloc(1, sizeof *all);
    struct error err = {.code = ENOMEM, .text = "compute: out of memory"};
    struct ending ending;
    int ret;

    if (!all || !(all->buf = malloc(STEP_NBYTES))) {
        free(all);
        return ctl_complain("orders", &err);
    }
    all->q = q;
    all->terminal = isatty(STDERR_FILENO);
    all->began_ns = monotonic_ns();
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    for (int i = 0; i < WINDOW; i++)
        all->slots[i].all = all;
    if (sink_open(&all->sink, q->out, &err) < 0) {
        ret = ctl_complain(q->out, &err);
    } else {
        ending_catch(&ending);
        walk_all(all);
        ending_release(&ending);
        all->outcome.signal = ending_signal();
        print_failures(all);
        ret = all->outcome.nfailed || ending_signal() ? CTL_FAILED : CTL_OK;
        if (sink_close(&all->sink, ret == CTL_OK, &err) < 0)
            ret = ctl_complain(q->out, &err);
    }
    *out = all->outcome;
    if (out->signal) /* the slots' waits are still under way, and need their orders */
        return ret;
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all->buf);
    free(all);
    return ret;
}
