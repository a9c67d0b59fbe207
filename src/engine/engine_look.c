/* SPDX-License-Identifier: MIT
 *
 * What a directory has beside derived files: remarks, what of it is noted in the errors, and what was
 * seen where no run was found.
 */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "remarks.h"
#include "text.h"

/* A remark_fn. */
static int note_remark(void *ctx, const struct remark *remark)
{
    const struct tree *t = ctx;
    struct error err;

    error_set(&err, EIO, "%s", remark->text);
    if (remark->kind == REMARK_REFUSED)
        errlog_failed(t->errors, remark->path, &err);
    else
        errlog_remark(t->errors, remark->path, &err);
    return 0;
}

void tree_note_scan(const struct tree *t, struct dir_scan *scan)
{
    const unsigned kinds = REMARKS_ALL & ~(REMARKS(EXPECTED) | REMARKS(RULE)); /* to be heard of */

    if (atomic_exchange(&scan->noted, true))
        return;
    errlog_clear(t->errors, *scan->dir.path ? scan->dir.path : ".");
    if (scan->nruns > 0)
        errlog_clear(t->errors, dataset_path(t->dataset));
    for (size_t i = 0; i < scan->nfiles; i++)
        if (scan->files[i]->state == RUN_BROKEN || scan->files[i]->state == RUN_UNKNOWN)
            errlog_failed(t->errors, scan->files[i]->path, &scan->files[i]->error);
        else
            errlog_clear(t->errors, scan->files[i]->path);
    if (remarks_visit(scan, kinds, note_remark, (void *)t) < 0)
        errlog_write(t->errors, LOG_LEVEL_ERROR, "%s: out of memory", scan->dir.path);
}

struct links {
    const struct tree *tree;
    const char *dir;
    remark_fn *fn;
    void *ctx;
};

/* An engine_list_fn: pass a link that leads out. */
static int pass_link(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    const struct links *l = ctx;
    struct dir_id id;
    char *path;
    int ret;

    (void)ino;
    if (type != DT_LNK || tree_link(l->tree, l->dir, name, &id) != LINK_OUT)
        return 0;
    path = join_path(tree_source_dir(l->tree, l->dir), name);
    if (!path)
        return -ENOMEM;
    ret = l->fn(l->ctx, &(struct remark){REMARK_OMITTED, path, LINK_OUT_TEXT});
    free(path);
    return ret;
}

int engine_remarks(struct engine *e, const char *dir, remark_fn *fn, void *ctx, struct error *err)
{
    char *at = tree_derived_dir(&e->tree, dir);
    struct links links = {&e->tree, at, fn, ctx};
    struct dir_scan *scan;
    int ret =
        at ? tree_scan(&e->tree, &(struct dir){.path = at}, SCAN_RECENT, &scan, err) : -ENOMEM;

    if (ret == 0) {
        ret = remarks_visit(scan, REMARKS_ALL, fn, ctx);
        dir_scan_put(scan);
    }
    if (ret == 0)
        ret = tree_subdirs(&e->tree, at, pass_link, &links, err);
    free(at);
    return ret == -ENOMEM ? error_set(err, ENOMEM, "%s: out of memory", dir) : ret;
}

/* An engine_list_fn. */
static int count_name(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct sight *s = ctx;

    (void)name;
    (void)ino;
    (void)type;
    s->nsubdirs++;
    return 0;
}

/* A visitor's enter(). A run ends the walk: there is something. */
static int look_into(void *ctx, const char *dir, struct error *err)
{
    struct sight *s = ctx;
    struct dir_scan *scan;
    int ret = tree_scan(&s->engine->tree, &(struct dir){.path = dir}, SCAN_RECENT, &scan, err);

    if (ret < 0)
        return ret;
    s->ndirs++;
    s->nruns += scan->nruns;
    s->nomitted += scan->omissions.n;
    s->nothers += scan->nothers;
    dir_scan_put(scan);
    return s->nruns > 0;
}

/* A visitor's failed(). */
static int skip(void *ctx, const char *dir, struct error *err)
{
    struct sight *s = ctx;

    (void)dir;
    s->nunread++;
    return err->code == ENOMEM || err->code == ECANCELED ? -err->code : 0;
}

int engine_look(struct engine *e, const char *dir, bool below, struct sight *out, struct error *err)
{
    struct walk_visitor v = {.enter = look_into, .failed = skip, .ctx = out};
    int ret;

    *out = (struct sight){.engine = e};
    ret = below ? engine_walk(e, dir, &v, err) : look_into(out, dir, err);
    if (ret >= 0)
        ret = tree_subdirs(&e->tree, dir, count_name, out, err);
    return ret < 0 ? ret : 0;
}

/* ---- in the background ---- */

/* Whoever mounts and looks at once does not have to share his processor. */
static const int64_t SEARCH_AFTER_NS = 500000000;

struct search {
    struct work_item item;
    struct sight sight;
};

/* A visitor's enter(). A name that may be a run's ends the walk. */
static int search_names(void *ctx, const char *dir, struct error *err)
{
    struct sight *s = ctx;
    struct engine *e = s->engine;
    struct name_counts n;
    int ret;

    if (work_queue_ending(e->workers.work_queue))
        return error_set(err, ECANCELED, "cancelled");
    ret = dataset_count_names(e->tree.dataset,
                              &(struct dir){.path = tree_source_dir(&e->tree, dir)}, &n, err);
    if (ret < 0)
        return ret;
    s->ndirs++;
    s->nruns += n.ncandidates;
    s->nomitted += n.nomitted;
    s->nothers += n.nothers;
    return s->nruns > 0;
}

/* Until a directory with runs is looked at. */
static void note_no_runs(const struct tree *t, const struct error *why)
{
    errlog_remark(t->errors, dataset_path(t->dataset), why);
    errlog_write(t->errors, LOG_LEVEL_WARN, "%s: %s", dataset_path(t->dataset), why->text);
}

static void run_search(struct work_item *item)
{
    struct search *search = (struct search *)((char *)item - offsetof(struct search, item));
    struct engine *e = search->sight.engine;
    struct walk_visitor v = {.enter = search_names, .failed = skip, .ctx = &search->sight};
    struct error err;
    char *text = NULL;

    if (work_queue_pause(e->workers.work_queue, SEARCH_AFTER_NS) &&
        engine_walk(e, tree_derived_root(&e->tree), &v, &err) == 0)
        text = sight_text(&search->sight);
    if (text) {
        error_set(&err, ENOENT, "no runs: %s", text);
        note_no_runs(&e->tree, &err);
    }
    free(text);
    free(search);
}

void engine_search_runs(struct engine *e)
{
    struct search *search = calloc(1, sizeof *search);

    if (!search) /* a convenience only */
        return;
    search->sight.engine = e;
    search->item.run = run_search;
    work_queue_add(e->workers.work_queue, &search->item);
}

char *sight_text(const struct sight *s)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    fprintf(f, "looked in %zu director%s: ", s->ndirs, s->ndirs == 1 ? "y" : "ies");
    if (s->nothers == 0 && s->nomitted == 0)
        fputs("no NIfTI file", f);
    if (s->nothers > 0)
        fprintf(f, "%zu NIfTI file%s with BIDS names of something else than runs", s->nothers,
                s->nothers == 1 ? "" : "s");
    if (s->nomitted > 0)
        fprintf(f, "%s%zu file%s that might be taken for a run and %s none",
                s->nothers > 0 ? ", " : "", s->nomitted, s->nomitted == 1 ? "" : "s",
                s->nomitted == 1 ? "is" : "are");
    if (s->nunread > 0)
        fprintf(f, "; %zu cannot be read", s->nunread);
    return text_end(f, &text);
}
