/* SPDX-License-Identifier: MIT
 *
 * A depth-first walk lists the directories with derived files. The weight of a file is the bytes of
 * its directory's runs divided by the number of files that share them.
 */
#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grow.h"

/* A directory with derived files. */
struct place {
    char *dir;
    uint64_t nbytes; /* of its runs, as stored */
};

struct walk {
    const struct target *t;
    char *const *names; /* [nnames] */
    size_t nnames;
    struct place *places; /* [nplaces] */
    size_t nplaces;
    struct walk_counts counts;
    char **left; /* [nleft] "PATH: REASON": files and links that are not used */
    size_t nleft;
    size_t at; /* the place after the one that `list` is from */
    struct found_list list;
    size_t i; /* the next file of the list; those before are handed out */
    double share;
};

/* ---- the files of one directory ---- */

/* The files of `dir` that the walk is for; empty after a failure. */
static int find_files(const struct walk *w, const char *dir, struct found_list *list,
                      struct error *err)
{
    int ret = 0;

    *list = (struct found_list){.files = NULL};
    if (w->nnames == 0)
        ret = found_add(w->t->engine, dir, NULL, list, err);
    for (size_t i = 0; ret == 0 && i < w->nnames; i++)
        ret = found_add(w->t->engine, dir, w->names[i], list, err);
    if (ret < 0)
        found_free(list);
    return ret;
}

/* ---- counting ---- */

static int add_place(struct walk *w, const char *dir, struct error *err)
{
    struct found_list list;
    struct place place;
    int ret = find_files(w, dir, &list, err);

    if (ret < 0 || list.n == 0)
        return ret;
    place = (struct place){strdup(dir), derived_dir_nbytes(list.files[0].derived)};
    if (place.dir && GROW(w->places, w->nplaces) == 0) {
        w->places[w->nplaces++] = place;
        w->counts.weight += (double)place.nbytes;
        w->counts.nfiles += list.n;
    } else {
        free(place.dir);
        ret = error_set(err, ENOMEM, "out of memory");
    }
    found_free(&list);
    return ret;
}

/* A remark_fn. */
static int add_omitted(void *ctx, const struct remark *r)
{
    struct walk *w = ctx;

    if (r->kind != REMARK_OMITTED)
        return 0;
    if (GROW(w->left, w->nleft) < 0 || asprintf(&w->left[w->nleft], "%s: %s", r->path, r->text) < 0)
        return -ENOMEM;
    w->nleft++;
    return 0;
}

static void show_counting(const struct walk *w)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\rlooking: %zu files in %zu directories", w->counts.nfiles, w->nplaces);
}

static int enter(void *ctx, const char *dir, struct error *err)
{
    const struct walk *w = ctx;
    int ret = add_place(ctx, dir, err);

    if (ret == 0)
        ret = engine_remarks(w->t->engine, dir, add_omitted, ctx, err);
    show_counting(ctx);
    return ret;
}

static void count_failure(struct walk *w, const char *dir, const struct error *err)
{
    w->counts.nfailed++;
    ctl_say("%s: list: %s", *dir ? dir : w->t->asked, err->text);
}

/* Skip a directory that cannot be read, but end the walk when memory runs out. */
static int skip(void *ctx, const char *dir, struct error *err)
{
    if (err->code == ENOMEM)
        return -ENOMEM;
    count_failure(ctx, dir, err);
    return 0;
}

int walk_new(const struct target *t, char *const *names, size_t nnames, struct walk **out,
             struct error *err)
{
    struct walk *w = calloc(1, sizeof *w);
    struct walk_visitor v = {.enter = enter, .failed = skip, .ctx = w};
    int ret;

    if (!w)
        return error_set(err, ENOMEM, "out of memory");
    *w = (struct walk){.t = t, .names = names, .nnames = nnames};
    if (!target_is_dir(t)) {
        walk_free(w);
        return error_set(err, ENOTDIR, "not a directory; -r needs one");
    }
    ret = engine_walk(t->engine, t->path, &v, err);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%*s\r", 70, "");
    if (ret < 0) {
        walk_free(w);
        return ret;
    }
    *out = w;
    return 0;
}

void walk_free(struct walk *w)
{
    for (size_t i = 0; i < w->nplaces; i++)
        free(w->places[i].dir);
    for (size_t i = 0; i < w->nleft; i++)
        free(w->left[i]);
    free(w->left);
    found_free(&w->list);
    free(w->places);
    free(w);
}

void walk_say_left_out(const struct walk *w)
{
    enum { SAID_MAX = 20 };

    for (size_t i = 0; i < w->nleft && i < SAID_MAX; i++)
        ctl_say("not used: %s", w->left[i]);
    if (w->nleft > SAID_MAX)
        ctl_say("not used: %zu more (group_tsnr.tsv lists all)", w->nleft - SAID_MAX);
}

const struct walk_counts *walk_counts(const struct walk *w)
{
    return &w->counts;
}

bool walk_next(void *walk, struct found *out, double *weight)
{
    struct walk *w = walk;
    struct error err;

    while (w->i == w->list.n) {
        const struct place *place = &w->places[w->at];

        found_free(&w->list);
        w->i = 0;
        if (w->at == w->nplaces)
            return false;
        w->at++;
        if (find_files(w, place->dir, &w->list, &err) < 0)
            count_failure(w, place->dir, &err);
        w->share = w->list.n > 0 ? (double)place->nbytes / (double)w->list.n : 0;
    }
    *out = w->list.files[w->i];
    w->list.files[w->i++] = (struct found){.path = NULL}; /* the caller's now */
    *weight = w->share;
    return true;
}
