/* SPDX-License-Identifier: MIT
 *
 * The walk through the directories of a dataset: what its tables, its page and `derivctl compute -r`
 * take for all of it.
 *
 * Links wait until all directories have been visited. So a directory is visited under its own name if
 * it has one in the walk, and links in a circle come to an end. Costs a stat() and a place in a hash
 * table for each directory.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "engine_private.h"
#include "grow.h"

/* A directory that was visited. */
struct seen {
    struct dir_id id;
    UT_hash_handle hh;
};

struct names {
    char **list; /* [n] owned */
    size_t n;
};

struct walk {
    struct engine *engine;
    const struct walk_visitor *v;
    struct seen *seen;
    struct names links; /* paths that have not been followed yet */
};

/* The names of one directory. */
struct names_of {
    struct names dirs, links;
};

static int out_of_memory(const char *dir, struct error *err)
{
    return error_set(err, ENOMEM, "%s: out of memory", dir);
}

/* `name` is taken over; NULL: no memory. */
static int append(struct names *names, char *name)
{
    if (!name || GROW(names->list, names->n) < 0) {
        free(name);
        return -ENOMEM;
    }
    names->list[names->n++] = name;
    return 0;
}

static void clear(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
}

/* An engine_list_fn. */
static int add_name(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct names_of *names = ctx;

    (void)ino;
    return append(type == DT_LNK ? &names->links : &names->dirs, strdup(name));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct names *names)
{
    if (names->n > 0)
        qsort(names->list, names->n, sizeof *names->list, compare_names);
}

/* Is this its first visit? -ENOMEM. */
static int mark(struct walk *w, const char *dir, bool *first, struct error *err)
{
    struct seen *new = calloc(1, sizeof *new), *old;

    *first = false;
    if (!new)
        return out_of_memory(dir, err);
    if (tree_link(&w->engine->tree, dir, ".", &new->id) != LINK_INSIDE) {
        free(new);
        *first = true; /* gone, or forbidden: listing it says so */
        return 0;
    }
    HASH_FIND(hh, w->seen, &new->id, sizeof new->id, old);
    if (!old)
        HASH_ADD(hh, w->seen, id, sizeof new->id, new);
    *first = !old;
    if (old || !new->hh.tbl) {
        free(new);
        return old ? 0 : out_of_memory(dir, err);
    }
    return 0;
}

static int visit(struct walk *w, const char *dir, struct error *err);

static int visit_all(struct walk *w, const char *dir, struct names_of *names, struct error *err)
{
    int ret = 0;

    sort(&names->dirs);
    sort(&names->links);
    for (size_t i = 0; i < names->links.n && ret == 0; i++)
        if (append(&w->links, join_path(dir, names->links.list[i])) < 0)
            ret = out_of_memory(dir, err);
    for (size_t i = 0; i < names->dirs.n && ret == 0; i++) {
        char *path = join_path(dir, names->dirs.list[i]);

        ret = path ? visit(w, path, err) : out_of_memory(dir, err);
        free(path);
    }
    return ret;
}

static int visit(struct walk *w, const char *dir, struct error *err)
{
    const struct walk_visitor *v = w->v;
    struct names_of names = {.dirs.n = 0};
    bool first;
    int ret = mark(w, dir, &first, err);

    if (ret < 0 || !first)
        return ret;
    ret = tree_subdirs(&w->engine->tree, dir, add_name, &names, err);
    if (ret == -ENOMEM)
        out_of_memory(dir, err);
    if (ret == 0)
        ret = v->enter(v->ctx, dir, err);
    if (ret == -ENOENT) /* gone since it was listed */
        ret = 0;
    if (ret < 0 && v->failed)
        ret = v->failed(v->ctx, dir, err);
    if (ret == 0)
        ret = visit_all(w, dir, &names, err);
    clear(&names.dirs);
    clear(&names.links);
    return ret;
}

static int follow(struct walk *w, const char *path, struct error *err)
{
    const struct tree *t = &w->engine->tree;
    const char *source = tree_source_dir(t, path);
    struct dir_id id;

    switch (tree_link(t, path, ".", &id)) {
    case LINK_INSIDE:
        return visit(w, path, err);
    case LINK_OUT:
        tree_note_link(t, source);
        return w->v->left_out ? w->v->left_out(w->v->ctx, source, LINK_OUT_TEXT, err) : 0;
    case LINK_NO_DIR:
        break;
    }
    return 0;
}

int engine_walk(struct engine *e, const char *dir, const struct walk_visitor *v, struct error *err)
{
    struct walk w = {.engine = e, .v = v};
    char *start = tree_derived_dir(&e->tree, dir);
    struct seen *s, *next;
    int ret = start ? visit(&w, start, err) : out_of_memory(dir, err);

    for (size_t i = 0; i < w.links.n && ret == 0; i++) /* they may lead to more */
        ret = follow(&w, w.links.list[i], err);
    HASH_ITER(hh, w.seen, s, next)
    {
        HASH_DEL(w.seen, s); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(s);
    }
    clear(&w.links);
    free(start);
    return ret;
}

/* ---- the runs of these directories ---- */

struct collection {
    const struct tree *tree;
    enum scan_freshness freshness;
    const struct cancel_token *cancel;
    struct run_list *list;
};

static void place_clear(struct run_place *at)
{
    free(at->dir);
    free(at->path);
    free(at->entities);
    free(at->map_suffix);
    free(at->reason);
}

/* Takes the texts of `at` over, of which only those of a run may be NULL by intent. */
static int add_place(struct run_list *l, struct run_place *at, struct error *err)
{
    bool whole = at->dir && at->path && (at->reason || (at->entities && at->map_suffix));

    if (whole && GROW(l->at, l->n) == 0) {
        l->at[l->n++] = *at;
        return 0;
    }
    place_clear(at);
    return error_set(err, ENOMEM, "walk: out of memory");
}

static int add_run(struct run_list *l, const char *dir, const struct dir_scan *scan,
                   const struct dir_run *member, struct error *err)
{
    struct run_place at = {
        .dir = strdup(dir),
        .dev = scan->dir.dev,
        .ino = scan->dir.ino,
        .path = strdup(member->run->path),
        .entities = strdup(member->entities),
        .map_suffix = strdup(member->map_suffix),
        .nvol = member->run->state == RUN_OK ? member->run->nifti.nvol : 0,
    };

    return add_place(l, &at, err);
}

static int add_omission(struct run_list *l, const char *dir, const char *path, const char *reason,
                        struct error *err)
{
    struct run_place at = {.dir = strdup(dir), .path = strdup(path), .reason = strdup(reason)};

    return add_place(l, &at, err);
}

/* The runs and what is left out, in the order of paths. */
static int add_runs_of(struct collection *c, const struct dir *dir, struct error *err)
{
    const struct omission *o, *end;
    struct dir_scan *scan;
    int ret = cancel_check(c->cancel, err);

    if (ret == 0)
        ret = tree_scan(c->tree, dir, c->freshness, &scan, err);
    if (ret != 0)
        return ret;
    o = scan->omissions.list;
    end = o + scan->omissions.n;
    for (size_t i = 0; i <= scan->nruns && ret == 0; i++) {
        const char *path = i < scan->nruns ? scan->runs[i].run->path : NULL;

        for (; o < end && ret == 0 && (!path || strcmp(o->path, path) < 0); o++)
            if (!o->expected)
                ret = add_omission(c->list, dir->path, o->path, o->reason, err);
        if (path && ret == 0)
            ret = add_run(c->list, dir->path, scan, &scan->runs[i], err);
    }
    dir_scan_put(scan);
    return ret;
}

/* A visitor's enter(). */
static int add_runs(void *ctx, const char *dir, struct error *err)
{
    return add_runs_of(ctx, &(struct dir){.path = dir}, err);
}

/* A visitor's left_out(). */
static int add_left_out(void *ctx, const char *path, const char *reason, struct error *err)
{
    struct collection *c = ctx;

    return add_omission(c->list, "", path, reason, err);
}

int engine_runs(struct engine *e, const struct dir *dir, bool below, enum scan_freshness freshness,
                const struct cancel_token *cancel, struct run_list *out, struct error *err)
{
    struct collection c = {&e->tree, freshness, cancel, out};
    struct walk_visitor v = {.enter = add_runs, .left_out = add_left_out, .ctx = &c};

    return below ? engine_walk(e, dir->path, &v, err) : add_runs_of(&c, dir, err);
}

void run_list_clear(struct run_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        place_clear(&l->at[i]);
    free(l->at);
}
