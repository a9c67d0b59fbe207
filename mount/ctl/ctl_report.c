/* SPDX-License-Identifier: MIT
 *
 * derivctl report: the page of a dataset, with all that it shows, as files.
 *
 *     numbers of each run -> cache -.
 *     picture of each run -> cache --+-> DIR/pictures/...png, group_tsnr.tsv, group_tsnr.json, index.html
 *
 * The cache has what is computed, so an interrupted command continues where it was. A run whose numbers
 * fail is read once: it has no picture. Each file appears under its name when it is complete, the page
 * last.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl.h"
#include "ending.h"
#include "grow.h"
#include "sink.h"
#include "text.h"

#define TABLE "group_tsnr"
#define PICTURES "pictures"

struct report {
    struct target t;
    const char *dir;
    struct found_list numbers, pictures; /* of the runs; pictures: of those that have numbers */
    size_t nwritten;                     /* files that are there now */
};

/* ---- what to compute ---- */

/* Takes over both, also on failure. `path` NULL: out of memory. */
static int append(struct found_list *list, struct derived *d, char *path)
{
    if (path && GROW(list->files, list->n) == 0) {
        list->files[list->n++] = (struct found){d, path};
        return 0;
    }
    derived_put(d);
    free(path);
    return -ENOMEM;
}

/* An engine_row_fn. */
static int add_numbers(void *ctx, struct derived *d, char *path)
{
    return append(ctx, d, path);
}

/* The picture of the run whose numbers are the file at `path`, "DIR/RUN/numbers". */
static int add_picture(struct report *r, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct entry entry;
    char *picture;
    int ret;

    if (asprintf(&picture, "%.*s.png", (int)(slash - path), path) < 0)
        return error_set(err, ENOMEM, "out of memory");
    ret = engine_lookup_path(r->t.engine, picture, &entry, err);
    if (ret == 0 && entry.kind == ENTRY_DERIVED) {
        ret = append(&r->pictures, entry.derived, picture);
        return ret < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
    }
    if (ret == 0)
        entry_clear(&entry);
    free(picture);
    return ret == -ENOENT ? 0 : ret; /* removed meanwhile */
}

static int add_pictures(struct report *r, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < r->numbers.n && ret == 0; i++) {
        const struct found *f = &r->numbers.files[i];
        struct derived_status status;

        engine_derived_status(r->t.engine, f->derived, f->path, &status);
        if (status.state == STATE_CACHED)
            ret = add_picture(r, f->path, err);
    }
    return ret;
}

/* ---- files ---- */

/* The directories on the way to the file `path`. */
static int make_dirs(char *path, struct error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int ret;

        *slash = '\0';
        ret = mkdir(path, 0777) < 0 && errno != EEXIST
                  ? error_set(err, errno, "%s: create: %s", path, strerror(errno))
                  : 0;
        *slash = '/';
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Write the file `name` in the directory of the report. */
static int put(struct report *r, const char *name, const char *bytes, size_t nbytes,
               struct error *err)
{
    char *path = join_path(r->dir, name);
    int ret = path ? make_dirs(path, err) : error_set(err, ENOMEM, "out of memory");

    if (ret == 0 && sink_put(path, bytes, nbytes, err) < 0)
        ret = error_wrap(err, -EIO, "%s", path);
    r->nwritten += ret == 0;
    free(path);
    return ret;
}

/* Read a computed file: *out is malloced. */
static int read_file(const struct report *r, const struct found *f, char **out, size_t *nbytes,
                     struct error *err)
{
    const char *name = derived_info(f->derived).name;
    size_t before = strlen(f->path) - strlen(name), got = 0;
    char *dir = strndup(f->path, before > 0 ? before - 1 : 0);
    struct reader *reader = NULL;
    int ret = dir ? reader_open(r->t.engine, &(struct dir){.path = dir}, name, &reader, err)
                  : error_set(err, ENOMEM, "out of memory");

    *out = NULL;
    if (ret == 0) {
        *nbytes = (size_t)reader_info(reader).nbytes;
        *out = malloc(*nbytes + 1);
        ret = *out ? reader_read(reader, 0, *out, *nbytes, false, &got, err)
                   : error_set(err, ENOMEM, "out of memory");
    }
    if (ret == 0 && got != *nbytes)
        ret = error_set(err, EAGAIN, "the cache has lost it: the same command continues");
    reader_close(reader);
    free(dir);
    return ret;
}

static int write_picture(struct report *r, const struct found *f, struct error *err)
{
    char *bytes = NULL, *name = join_path(PICTURES, f->path);
    size_t nbytes = 0;
    int ret =
        name ? read_file(r, f, &bytes, &nbytes, err) : error_set(err, ENOMEM, "out of memory");

    if (ret == 0)
        ret = put(r, name, bytes, nbytes, err);
    free(bytes);
    free(name);
    return ret;
}

static int write_text(struct report *r, struct wait *w, const char *name, struct error *err)
{
    size_t nbytes;
    char *text = NULL;
    int ret = w ? ctl_wait_text(w, &text, &nbytes, err) : error_set(err, ENOMEM, "out of memory");

    if (ret == 0)
        ret = put(r, name, text, nbytes, err);
    free(text);
    return ret;
}

static int write_dictionary(struct report *r, struct error *err)
{
    char *path = join_path(engine_derived_root(r->t.engine), TABLE ".json");
    struct entry entry;
    int ret = path ? engine_lookup_path(r->t.engine, path, &entry, err)
                   : error_set(err, ENOMEM, "out of memory");

    free(path);
    if (ret < 0)
        return ret;
    if (entry.kind == ENTRY_TEXT)
        ret = put(r, TABLE ".json", entry.text, strlen(entry.text), err);
    entry_clear(&entry);
    return ret;
}

static int write_all(struct report *r, struct error *err)
{
    struct engine *e = r->t.engine;
    struct dir root = {.path = engine_derived_root(e)};
    int ret = 0;

    for (size_t i = 0; i < r->pictures.n && ret == 0 && !ending_signal(); i++)
        ret = write_picture(r, &r->pictures.files[i], err);
    if (ret == 0 && !ending_signal())
        ret = write_text(r, table_wait_new(e, &root, TABLE ".tsv", r->t.with), TABLE ".tsv", err);
    if (ret == 0 && !ending_signal())
        ret = write_dictionary(r, err);
    if (ret == 0 && !ending_signal())
        ret = write_text(r, page_wait_new(e, PICTURES "/", r->t.with), "index.html", err);
    return ret;
}

/* ---- the command ---- */

static int compute(struct report *r, const struct found_list *list)
{
    int ret = list->n > 0 ? ctl_compute_list(&r->t, list, NULL) : CTL_OK;

    ending_raise(ending_signal());
    return ret;
}

static int say_error(const struct report *r, const struct error *err)
{
    return ctl_say("%s: report: %s", r->t.asked, err->text);
}

static int write_report(struct report *r)
{
    struct ending ending;
    struct error err;
    int ret;

    ending_catch(&ending);
    ret = write_all(r, &err);
    ending_release(&ending);
    ending_raise(ending_signal());
    if (ret < 0)
        return say_error(r, &err);
    ctl_print("%s/index.html: %zu runs, %zu of them computed; %zu files in %s\n", r->dir,
              r->numbers.n, r->pictures.n, r->nwritten, r->dir);
    return CTL_OK;
}

static int run(struct report *r)
{
    struct engine *e = r->t.engine;
    struct error err;
    int ret, pictures;

    if (engine_config(e)->cache_nbytes == 0)
        return ctl_say("%s: report: needs a cache, but cache_size is 0", r->t.asked);
    if (engine_each_row(e, engine_derived_root(e), TABLE ".tsv", add_numbers, &r->numbers, &err) <
        0)
        return say_error(r, &err);
    if (r->numbers.n == 0)
        ctl_say_why_missing(&r->t, true);
    ret = compute(r, &r->numbers);
    if (add_pictures(r, &err) < 0)
        return say_error(r, &err);
    pictures = compute(r, &r->pictures);
    if (write_report(r) != CTL_OK || pictures != CTL_OK)
        ret = CTL_FAILED;
    return ret;
}

int ctl_report(const struct ctl *ctl)
{
    struct report r = {.dir = ctl->out};
    int ret;

    if (ctl->npaths > 1 || !ctl->out)
        return CTL_USAGE;
    ret = target_open(ctl, ctl->npaths ? ctl->paths[0] : ".", &r.t);
    if (ret != CTL_OK)
        return ret;
    if (*r.t.path && strcmp(r.t.path, engine_derived_root(r.t.engine)) != 0)
        ret = ctl_say("%s: report: is within the dataset %s: a report is about all of it",
                      r.t.asked, engine_config(r.t.engine)->dataset);
    else
        ret = run(&r);
    found_free(&r.numbers);
    found_free(&r.pictures);
    target_close(&r.t);
    return ret;
}
