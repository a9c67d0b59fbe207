/* SPDX-License-Identifier: MIT
 *
 * The batch runs on the calling thread; workers wake it. Keeps one line for each failure.
 */
#include "orders.h"

#include <errno.h>
#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ending.h"
#include "grow.h"
#include "human.h"
#include "monotonic.h"
#include "sink.h"

struct orders {
    const struct orders_request *q;
    struct batch *batch;
    sem_t woken; /* by workers */
    bool over;
    struct orders_outcome outcome;
    double done_weight;  /* of finished files */
    double saved_weight; /* of those of them that were cached before */
    char **failures;     /* [nkept] "PATH: compute: REASON" */
    size_t nkept;        /* outcome.nfailed, or fewer if memory ran out */
    struct sink sink;
    bool terminal;
    int drawn; /* columns of the bar on the terminal */
    int64_t began_ns, drawn_ns;
};

/* ---- the bar ---- */

/* Columns of the terminal; 80 if unknown. */
static int terminal_width(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The time that the rest takes at the rate so far; "" if unknown. */
static struct human time_left(const struct orders *all, double done)
{
    int64_t elapsed_ns = monotonic_ns() - all->began_ns;
    double fresh = done - all->saved_weight, rest = all->q->weight - done;

    if (elapsed_ns < 1000000000 || fresh <= 0 || rest <= 0)
        return (struct human){""};
    return human_span((int64_t)((double)elapsed_ns * rest / fresh));
}

static void draw_bar(struct orders *all)
{
    enum { WIDTH = 40 };
    const struct orders_outcome *o = &all->outcome;
    size_t nfinished = o->ncomputed + o->ncached + o->nfailed;
    size_t n = nfinished > all->q->nfiles ? nfinished : all->q->nfiles;
    double done = all->done_weight + batch_progress(all->batch);
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

/* Ten times a second at most. */
static void draw_bar_again(struct orders *all)
{
    if (all->terminal && monotonic_ns() - all->drawn_ns > 100000000)
        draw_bar(all);
}

/* ---- the files, for the batch ---- */

static void keep_failure(struct orders *all, const char *path, const struct error *err)
{
    all->outcome.nfailed++;
    if (GROW(all->failures, all->nkept) == 0 &&
        asprintf(&all->failures[all->nkept], "%s: compute: %s", path, err->text) >= 0)
        all->nkept++;
}

/* The file is finished. `file->of` is its path. */
static void file_ended(void *ctx, const struct batch_file *file, const struct error *err)
{
    struct orders *all = ctx;

    if (err)
        keep_failure(all, file->of, err);
    else
        all->outcome.ncomputed++;
    all->done_weight += file->weight;
    free(file->of);
    draw_bar_again(all);
}

static bool is_skipped(struct orders *all, const struct found *found)
{
    struct derived_status status = {.state = STATE_VIRTUAL};

    if (all->q->skip_cached)
        engine_derived_status(all->q->engine, found->derived, found->path, &status);
    return status.state == STATE_CACHED;
}

static int open_file(struct engine *e, const struct found *found, struct reader **out,
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

static bool next_file(void *ctx, struct batch_file *out)
{
    struct orders *all = ctx;
    struct found found;
    struct error err;

    while (!ending_signal() && all->q->next(all->q->ctx, &found, &out->weight)) {
        bool opened = false;

        out->of = found.path;
        if (is_skipped(all, &found)) {
            all->outcome.ncached++;
            all->done_weight += out->weight;
            all->saved_weight += out->weight;
            free(found.path);
            draw_bar_again(all);
        } else if (open_file(all->q->engine, &found, &out->reader, &err) < 0) {
            file_ended(all, out, &err);
        } else {
            opened = true;
        }
        derived_put(found.derived);
        if (opened)
            return true;
    }
    return false;
}

static int take_bytes(void *ctx, const struct batch_file *file, const void *bytes, size_t nbytes,
                      struct error *err)
{
    struct orders *all = ctx;

    (void)file;
    return sink_write(&all->sink, bytes, nbytes, err);
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
        draw_bar_again(all);
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
    all->terminal = isatty(STDERR_FILENO);
    all->began_ns = monotonic_ns();
    all->batch = batch_new(&user);
    if (all->batch && sem_init(&all->woken, 0, 0) == 0)
        return all;
    batch_free(all->batch);
    free(all);
    return NULL;
}

int orders_run(const struct orders_request *q, struct orders_outcome *out)
{
    struct orders *all = orders_new(q);
    struct ending ending;
    struct error err;
    int ret;

    *out = (struct orders_outcome){.ncomputed = 0};
    if (!all)
        return ctl_say("compute: out of memory");
    if (sink_open(&all->sink, q->out, &err) < 0) {
        ret = ctl_say("%s: %s", q->out, err.text);
    } else {
        ending_catch(&ending);
        run_all(all);
        ending_release(&ending);
        all->outcome.signal = ending_signal();
        print_failures(all);
        ret = all->outcome.nfailed || ending_signal() ? CTL_FAILED : CTL_OK;
        if (sink_close(&all->sink, ret == CTL_OK, &err) < 0)
            ret = ctl_say("%s: %s", q->out, err.text);
    }
    *out = all->outcome;
    if (out->signal) /* workers may still call back */
        return ret;
    batch_free(all->batch);
    sem_destroy(&all->woken);
    free(all);
    return ret;
}
