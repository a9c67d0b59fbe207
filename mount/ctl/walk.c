/* SPDX-License-Identifier: MIT
 *
 * First a depth-first walk that keeps a line for each directory with derived files, then one of
 * these directories after the other. What a file weighs is what there is to read, the bytes of its
 * directory's runs, divided by the number of files that share them.
 */
#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    size_t nplaces, nfiles, nfailed;
    double weight;
    size_t at; /* the place after the one that `list` is from */
    struct found *list;
    size_t i, n; /* of the list: next, number */
    double share;
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- the files of one directory ---- */

/* The files of `dir` that the walk is for: *list [*n], for found_free(). */
static int find_files(const struct walk *w, const char *dir, struct found **list, size_t *n,
                      struct error *err)
{
    int ret = 0;

    *list = NULL;
    *n = 0;
    if (w->nnames == 0)
        ret = found_add(w->t->engine, dir, NULL, list, n, err);
    for (size_t i = 0; ret == 0 && i < w->nnames; i++)
        ret = found_add(w->t->engine, dir, w->names[i], list, n, err);
    if (ret < 0)
        found_free(*list, *n);
    return ret;
}

/* ---- counting ---- */

static int add_place(struct walk *w, const char *dir, struct error *err)
{
    struct place *grown;
    struct found *list;
    size_t n;
    int ret = find_files(w, dir, &list, &n, err);

    if (ret < 0 || n == 0) {
        if (ret == 0)
            found_free(list, n);
        return ret;
    }
    grown = realloc(w->places, (w->nplaces + 1) * sizeof *grown);
    w->places = grown ? grown : w->places;
    if (grown && (grown[w->nplaces].dir = strdup(dir))) {
        grown[w->nplaces].nbytes = derived_dir_nbytes(list[0].derived);
        w->weight += (double)grown[w->nplaces++].nbytes;
        w->nfiles += n;
    } else {
        ret = out_of_memory(err);
    }
    found_free(list, n);
    return ret;
}

static void show_counting(const struct walk *w)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\rlooking: %zu files in %zu directories", w->nfiles, w->nplaces);
}

static int enter(void *ctx, const char *dir, struct error *err)
{
    int ret = add_place(ctx, dir, err);

    show_counting(ctx);
    return ret;
}

/* A directory that cannot be read is passed over; want of memory is not. */
static int pass_over(void *ctx, const char *dir, struct error *err)
{
    struct walk *w = ctx;

    if (err->code == ENOMEM)
        return -ENOMEM;
    w->nfailed++;
    error_wrap(err, -err->code, "look into it");
    ctl_complain(*dir ? dir : w->t->asked, err);
    return 0;
}

static bool is_directory(const struct target *t)
{
    struct entry entry;

    if (engine_lookup_path(t->engine, t->path, &entry, NULL) < 0)
        return false;
    entry_clear(&entry);
    return S_ISDIR(entry.st.st_mode);
}

int walk_new(const struct target *t, char *const *names, size_t nnames, struct walk **out,
             struct error *err)
{
    struct walk *w = calloc(1, sizeof *w);
    struct walk_visitor v = {.extent = WALK_ALL, .enter = enter, .failed = pass_over, .ctx = w};
    int ret;

    if (!w)
        return out_of_memory(err);
    *w = (struct walk){.t = t, .names = names, .nnames = nnames};
    if (!is_directory(t)) {
        walk_free(w);
        return error_set(err, ENOTDIR, "not a directory, as -r needs");
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
    for (size_t i = w->i; i < w->n; i++) {
        derived_put(w->list[i].derived);
        free(w->list[i].path);
    }
    free(w->list);
    free(w->places);
    free(w);
}

size_t walk_nfiles(const struct walk *w)
{
    return w->nfiles;
}

size_t walk_nfailed(const struct walk *w)
{
    return w->nfailed;
}

double walk_weight(const struct walk *w)
{
    return w->weight;
}

/* ---- one after the other ---- */

/* The files of the next place; false behind the last. */
static bool next_place(struct walk *w)
{
    struct error err;

    free(w->list); /* its files have been handed out */
    w->list = NULL;
    w->i = w->n = 0;
    if (w->at == w->nplaces)
        return false;
    if (find_files(w, w->places[w->at].dir, &w->list, &w->n, &err) < 0) {
        w->list = NULL;
        w->n = 0;
        w->nfailed++;
        error_wrap(&err, -err.code, "look into it");
        ctl_complain(w->places[w->at].dir, &err);
    }
    w->share = w->n > 0 ? (double)w->places[w->at].nbytes / (double)w->n : 0;
    w->at++;
    return true;
}

bool walk_next(void *walk, struct found *out, double *weight)
{
    struct walk *w = walk;

    while (w->i == w->n)
        if (!next_place(w))
            return false;
    *out = w->list[w->i++];
    *weight = w->share;
    return true;
}
