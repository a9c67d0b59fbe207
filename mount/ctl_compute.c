/* SPDX-License-Identifier: MIT
 *
 * derivctl compute: what a reader of the mount would start, without a mount.
 *
 * All files are asked for at once, so that what they share is computed once and all threads are
 * busy; then each is waited for in turn, with a progress bar when stderr is a terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

/* Bytes that are asked for at a time. */
enum { STEP_NBYTES = 1 << 20 };

/* Where the result goes with -o. A regular file is written beside its place and renamed: never half
 * a file under its name. */
struct sink {
    const char *path; /* NULL: nowhere */
    char *temp; /* NULL for a terminal, a pipe, a device: what nothing may be put in place of */
    FILE *f;
};

/* One file that was asked for. Its bytes are walked through from front to back. */
struct order {
    const struct found *found;
    struct reader *reader;
    struct reader_wait *wait; /* for the bytes from `off` on; NULL: not waiting */
    struct orders *all;
    uint64_t off;       /* bytes that have been there */
    bool finished;      /* all of them, or failed */
    bool answered;      /* guarded by orders.lock, like the next: the wait has ended */
    struct error error; /* code 0: well so far */
};

struct orders {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n, nfinished;
    struct order *list; /* [n] */
    struct sink sink;   /* of the only order, where there is one */
    char *buf;          /* [STEP_NBYTES] */
};

/* ---- the sink ----------------------------------------------------------------------------------
 */

static int sink_open(struct sink *sink, const char *path, struct error *err)
{
    struct stat st;
    int fd;

    *sink = (struct sink){.path = path};
    if (!path)
        return 0;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        sink->f = fopen(path, "we");
        return sink->f ? 0 : error_set(err, errno, "open: %s", strerror(errno));
    }
    if (asprintf(&sink->temp, "%s.XXXXXX", path) < 0) {
        sink->temp = NULL;
        return error_set(err, ENOMEM, "create: out of memory");
    }
    fd = mkostemp(sink->temp, O_CLOEXEC);
    if (fd >= 0)
        sink->f = fdopen(fd, "w");
    if (sink->f)
        return 0;
    error_set(err, errno, "create: %s", strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(sink->temp);
    }
    free(sink->temp);
    sink->temp = NULL;
    return -err->code;
}

static int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err)
{
    if (sink->f && fwrite(bytes, 1, n, sink->f) != n)
        return error_set(err, errno, "write: %s", strerror(errno));
    return 0;
}

/* Give the file its place, with the rights of a new one, or remove it where something failed. */
static int sink_close(struct sink *sink, bool complete, struct error *err)
{
    mode_t mask = umask(0);
    int code = 0;

    umask(mask);
    if (sink->f) {
        if (sink->temp && fchmod(fileno(sink->f), 0666 & ~mask) < 0)
            code = errno;
        if (fclose(sink->f) != 0 && code == 0)
            code = errno;
        if (sink->temp && complete && code == 0 && rename(sink->temp, sink->path) < 0)
            code = errno;
        if (sink->temp && (!complete || code != 0))
            unlink(sink->temp);
    }
    free(sink->temp);
    return code ? error_set(err, code, "write: %s", strerror(code)) : 0;
}

/* ---- orders ------------------------------------------------------------------------------------
 */

static void order_answered(void *arg, struct reader_wait *w, const struct error *err)
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
    o->all->nfinished++;
}

static void order_open(struct order *o, struct engine *e)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    const char *name;
    char *dir;

    if (split_path(o->found->path, &dir, &name) < 0) {
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
        reader_wait_put(o->wait);
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
    o->wait = reader_wait_new(o->reader, o->off, STEP_NBYTES, order_answered, o);
    if (o->wait) {
        reader_wait_start(o->wait);
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

static double percent_done(struct engine *e, const struct orders *all)
{
    double sum = 0;

    for (size_t i = 0; i < all->n; i++) {
        const struct order *o = &all->list[i];
        struct derived_status status = {.percent = 100};

        if (!o->finished)
            engine_derived_status(e, o->found->derived, o->found->path, &status);
        sum += status.percent;
    }
    return all->n ? sum / (double)all->n : 100;
}

static void draw_bar(double percent, size_t ndone, size_t n)
{
    enum { WIDTH = 40 };
    int filled = (int)(percent * WIDTH / 100);

    fprintf(stderr, "\r[%.*s%*s] %3.0f %%  %zu of %zu", filled,
            "########################################", WIDTH - filled, "", percent, ndone, n);
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

static void walk_all(struct engine *e, struct orders *all)
{
    bool terminal = isatty(STDERR_FILENO);

    while (all->nfinished < all->n) {
        for (size_t i = 0; i < all->n; i++)
            if (!all->list[i].finished && order_is_ready(&all->list[i]))
                order_advance(&all->list[i]);
        if (terminal)
            draw_bar(percent_done(e, all), all->nfinished, all->n);
        if (all->nfinished < all->n)
            wait_a_moment(all);
    }
    if (terminal) {
        draw_bar(100, all->n, all->n);
        fputc('\n', stderr);
    }
}

/* Tell how each went; 0 if all are there. */
static int report(const struct orders *all)
{
    int ret = CTL_OK;

    for (size_t i = 0; i < all->n; i++) {
        struct order *o = &all->list[i];

        if (o->error.code != 0) {
            error_wrap(&o->error, -1, "compute");
            ret = ctl_complain(o->found->path, &o->error);
        }
    }
    return ret;
}

static int compute_all(const struct ctl *ctl, struct engine *e, const struct found *list, size_t n)
{
    struct orders all = {
        .n = n, .list = calloc(n + 1, sizeof *all.list), .buf = malloc(STEP_NBYTES)};
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    int ret;

    pthread_mutex_init(&all.lock, NULL);
    pthread_cond_init(&all.changed, NULL);
    if (!all.list || !all.buf || engine_start(e, &err) < 0) {
        error_wrap(&err, -1, "start");
        ret = ctl_complain("compute", &err);
    } else if (sink_open(&all.sink, ctl->out, &err) < 0) {
        ret = ctl_complain(ctl->out, &err);
    } else {
        for (size_t i = 0; i < n; i++) {
            all.list[i].found = &list[i];
            all.list[i].all = &all;
            order_open(&all.list[i], e);
        }
        walk_all(e, &all);
        ret = report(&all);
        if (sink_close(&all.sink, ret == CTL_OK, &err) < 0)
            ret = ctl_complain(ctl->out, &err);
        for (size_t i = 0; i < n; i++)
            reader_close(all.list[i].reader);
    }
    pthread_cond_destroy(&all.changed);
    pthread_mutex_destroy(&all.lock);
    free(all.list);
    free(all.buf);
    return ret;
}

static int compute_path(const struct ctl *ctl, const char *path)
{
    struct target t;
    struct found *list;
    size_t n;
    int ret = target_open(ctl, path, &t);

    if (ret != CTL_OK)
        return ret;
    ret = target_find(&t, &list, &n);
    if (ret == CTL_OK && ctl->out && n != 1) {
        fprintf(stderr, "derivctl: %s: -o takes the result of one file, and there are %zu\n", path,
                n);
        ret = CTL_USAGE;
    } else if (ret == CTL_OK && n == 0) {
        fprintf(stderr, "derivctl: %s: there is nothing to compute here: no runs\n", path);
        ret = CTL_FAILED;
    } else if (ret == CTL_OK) {
        ret = compute_all(ctl, t.engine, list, n);
    }
    found_free(list, n);
    target_close(&t);
    return ret;
}

int ctl_compute(const struct ctl *ctl)
{
    int ret = CTL_OK;

    if (ctl->npaths == 0 || (ctl->out && ctl->npaths > 1))
        return CTL_USAGE;
    for (int i = 0; i < ctl->npaths; i++) {
        int one = compute_path(ctl, ctl->paths[i]);

        if (one != CTL_OK)
            ret = one;
    }
    return ret;
}
