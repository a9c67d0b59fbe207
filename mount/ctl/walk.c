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

#include "grow.h"
#include "status_line.h"
#include "suggest.h"

/* A directory with derived files. */
struct place {
    char *dir;
    uint64_t nbytes; /* of its runs, as stored */
};

struct walk {
    const struct target *t;
    char *const *names; /* [nnames] */
    size_t nnames;
    size_t *nfound; /* [nnames] files of each name */
    struct status_line line;
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

/* Wrong parameters in a name are wrong everywhere: say so once. -EDOM. */
static int check_parameters(const struct walk *w, const struct found *f, struct error *err)
{
    struct derived_status status;

    if (!derived_info(f->derived).is_wrong)
        return 0;
    engine_derived_status(w->t->engine, f->derived, f->path, &status);
    return status.error.code == EDOM ? error_set(err, EDOM, "%s", status.error.text) : 0;
}

/* The files of `dir` that the walk is for; empty after a failure. */
static int find_files(struct walk *w, const char *dir, struct found_list *list, struct error *err)
{
    int ret = 0;

    *list = (struct found_list){.files = NULL};
    if (w->nnames == 0)
        ret = found_add(w->t->engine, dir, NULL, list, err);
    for (size_t i = 0; ret == 0 && i < w->nnames; i++) {
        size_t before = list->n;

        ret = found_add(w->t->engine, dir, w->names[i], list, err);
        w->nfound[i] += list->n - before;
        for (size_t k = before; k < list->n && ret == 0; k++)
            ret = check_parameters(w, &list->files[k], err);
    }
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

static void show_counting(struct walk *w)
{
    char text[80];

    if (!status_line_is_due(&w->line))
        return;
    snprintf(text, sizeof text, "looking: %zu files in %zu directories", w->counts.nfiles,
             w->nplaces);
    status_line_show(&w->line, text);
}

static int enter(void *ctx, const char *dir, struct error *err)
{
    struct walk *w = ctx;
    int ret = add_place(w, dir, err);

    if (ret == 0)
        ret = engine_remarks(w->t->engine, dir, add_omitted, w, err);
    show_counting(w);
    return ret;
}

static void count_failure(struct walk *w, const char *dir, const struct error *err)
{
    w->counts.nfailed++;
    ctl_say("%s: list: %s", *dir ? dir : w->t->asked, err->text);
}

/* Skip a directory that cannot be read, but end the walk when memory runs out or a name is wrong. */
static int skip(void *ctx, const char *dir, struct error *err)
{
    if (err->code == ENOMEM || err->code == EDOM)
        return -err->code;
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
    w->nfound = calloc(nnames + 1, sizeof *w->nfound);
    if (!w->nfound) {
        ret = error_set(err, ENOMEM, "out of memory");
    } else if (!target_is_dir(t)) {
        ret = error_set(err, ENOTDIR, "not a directory; -r needs one");
    } else {
        status_line_begin(&w->line);
        ret = engine_walk(t->engine, t->path, &v, err);
        status_line_end(&w->line, false);
    }
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
    free(w->nfound);
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

size_t walk_say_unknown(const struct walk *w)
{
    size_t nunknown = 0;
    struct sight sight;

    if (w->nplaces == 0 &&
        (engine_look(w->t->engine, w->t->path, true, &sight, NULL) < 0 || sight.nruns == 0))
        return 0;
    for (size_t i = 0; i < w->nnames; i++) {
        char *guess = w->nfound[i] == 0 ? suggest_file(w->t, NULL, w->names[i]) : NULL;

        if (w->nfound[i] > 0)
            continue;
        nunknown++;
        ctl_say("%s: no file has this name in %s%s%s%s", w->names[i], w->t->asked,
                guess ? " (did you mean " : "", guess ? guess : "", guess ? "?)" : "");
        free(guess);
    }
    return nunknown;
}

const struct walk_counts *walk_counts(const struct walk *w)
{
    return &w->counts;
}

bool walk_next(void *walk, struct order *out)
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
    *out = (struct order){.file = w->list.files[w->i], .weight = w->share};
    w->list.files[w->i++] = (struct found){.path = NULL}; /* the caller's now */
    return true;
}
