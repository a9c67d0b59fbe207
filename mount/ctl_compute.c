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

/* One file that was asked for. */
struct order {
    const struct found *found;
    struct reader *reader;
    struct reader_wait *wait;
    struct orders *all;
    bool done;          /* guarded by orders.lock, like the next two */
    struct blob *blob;  /* a reference */
    struct error error; /* where blob is NULL */
};

struct orders {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n, ndone;    /* ndone guarded by lock */
    struct order *list; /* [n] */
};

static void order_done(void *arg, struct blob *result, const struct error *err)
{
    struct order *o = arg;

    pthread_mutex_lock(&o->all->lock);
    o->blob = result ? blob_get(result) : NULL;
    if (err)
        o->error = *err;
    o->done = true;
    o->all->ndone++;
    pthread_cond_signal(&o->all->changed);
    pthread_mutex_unlock(&o->all->lock);
}

static void order_fail(struct order *o, const struct error *err)
{
    order_done(o, NULL, err);
}

static void order_start(struct order *o, struct engine *e)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    const char *name;
    char *dir;

    if (split_path(o->found->path, &dir, &name) < 0) {
        order_fail(o, &err);
        return;
    }
    if (reader_open(e, dir, name, &o->reader, &err) == 0)
        o->wait = reader_wait_new(o->reader, order_done, o);
    free(dir);
    if (o->wait)
        reader_wait_start(o->wait);
    else
        order_fail(o, &err);
}

/* Asks the disk, so without the lock. */
static double percent_done(struct engine *e, struct orders *all)
{
    double sum = 0;

    for (size_t i = 0; i < all->n; i++) {
        const struct order *o = &all->list[i];
        struct derived_status status = {.percent = 100};
        bool done;

        pthread_mutex_lock(&all->lock);
        done = o->done;
        pthread_mutex_unlock(&all->lock);
        if (!done)
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

/* Wait a tenth of a second, or less if a file gets done. Returns how many are. */
static size_t wait_a_moment(struct orders *all)
{
    struct timespec until;
    size_t ndone;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&all->lock);
    if (all->ndone < all->n)
        pthread_cond_timedwait(&all->changed, &all->lock, &until);
    ndone = all->ndone;
    pthread_mutex_unlock(&all->lock);
    return ndone;
}

static void wait_for_all(struct engine *e, struct orders *all)
{
    bool terminal = isatty(STDERR_FILENO);
    size_t ndone = 0;

    while (ndone < all->n) {
        if (terminal)
            draw_bar(percent_done(e, all), ndone, all->n);
        ndone = wait_a_moment(all);
    }
    if (terminal) {
        draw_bar(100, all->n, all->n);
        fputc('\n', stderr);
    }
}

static int copy_blob(const struct blob *blob, FILE *f, struct error *err)
{
    uint64_t total = blob_nbytes(blob), off = 0;
    char *buf = malloc(1 << 20);
    int ret = buf ? 0 : error_set(err, ENOMEM, "out of memory");

    while (ret == 0 && off < total) {
        size_t n = total - off < 1 << 20 ? (size_t)(total - off) : 1 << 20;

        ret = blob_read(blob, off, buf, n, err);
        if (ret == 0 && fwrite(buf, 1, n, f) != n)
            ret = error_set(err, errno, "write: %s", strerror(errno));
        off += n;
    }
    free(buf);
    return ret;
}

/* Give the temporary file the rights of a new one, close it, and rename it to `out`. */
static int finish_out(FILE *f, const char *temp, const char *out, struct error *err)
{
    mode_t mask = umask(0);
    int code = 0;

    umask(mask);
    if (fchmod(fileno(f), 0666 & ~mask) < 0)
        code = errno;
    if (fclose(f) != 0 && code == 0)
        code = errno;
    if (code == 0 && rename(temp, out) < 0)
        code = errno;
    return code ? error_set(err, code, "write: %s", strerror(code)) : 0;
}

/* Write to a temporary file beside `out` and rename: never half a file under its name. */
static int write_file(const struct blob *blob, const char *out, struct error *err)
{
    char *temp = NULL;
    FILE *f = NULL;
    int fd, ret;

    if (asprintf(&temp, "%s.XXXXXX", out) < 0)
        return error_set(err, ENOMEM, "write: out of memory");
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd >= 0)
        f = fdopen(fd, "w");
    if (f) {
        ret = copy_blob(blob, f, err);
        if (ret == 0)
            ret = finish_out(f, temp, out, err);
        else
            fclose(f);
    } else {
        ret = error_set(err, errno, "create: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (ret < 0 && fd >= 0)
        unlink(temp);
    free(temp);
    return ret;
}

/* A terminal, a pipe, a device: nothing that a file may be put in the place of. */
static int write_through(const struct blob *blob, const char *out, struct error *err)
{
    FILE *f = fopen(out, "we");
    int ret;

    if (!f)
        return error_set(err, errno, "open: %s", strerror(errno));
    ret = copy_blob(blob, f, err);
    if (fclose(f) != 0 && ret == 0)
        ret = error_set(err, errno, "write: %s", strerror(errno));
    return ret;
}

static int write_out(const struct blob *blob, const char *out, struct error *err)
{
    struct stat st;

    if (lstat(out, &st) == 0 && !S_ISREG(st.st_mode))
        return write_through(blob, out, err);
    return write_file(blob, out, err);
}

/* Tell how each went; 0 if all are there. */
static int report(const struct ctl *ctl, const struct orders *all)
{
    int ret = CTL_OK;

    for (size_t i = 0; i < all->n; i++) {
        struct order *o = &all->list[i];

        if (o->blob && ctl->out && write_out(o->blob, ctl->out, &o->error) < 0)
            ret = ctl_complain(ctl->out, &o->error);
        if (!o->blob) {
            error_wrap(&o->error, -1, "compute");
            ret = ctl_complain(o->found->path, &o->error);
        }
    }
    return ret;
}

static int compute_all(const struct ctl *ctl, struct engine *e, const struct found *list, size_t n)
{
    struct orders all = {.n = n, .list = calloc(n + 1, sizeof *all.list)};
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    int ret;

    if (!all.list || engine_start(e, &err) < 0) {
        free(all.list);
        error_wrap(&err, -1, "start");
        return ctl_complain("compute", &err);
    }
    pthread_mutex_init(&all.lock, NULL);
    pthread_cond_init(&all.changed, NULL);
    for (size_t i = 0; i < n; i++) {
        all.list[i].found = &list[i];
        all.list[i].all = &all;
        order_start(&all.list[i], e);
    }
    wait_for_all(e, &all);
    ret = report(ctl, &all);
    for (size_t i = 0; i < n; i++) {
        if (all.list[i].wait)
            reader_wait_put(all.list[i].wait);
        reader_close(all.list[i].reader);
        blob_put(all.list[i].blob);
    }
    pthread_cond_destroy(&all.changed);
    pthread_mutex_destroy(&all.lock);
    free(all.list);
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
