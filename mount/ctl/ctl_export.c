/* SPDX-License-Identifier: MIT
 *
 * derivctl export: images, sidecars and tables as files of a BIDS derivative dataset.
 *
 *     the tree of layout=derivatives -> walks -> orders, each an image and then its sidecar -> tables
 *
 * An image that is there is left alone if its size, its time and its sidecar are right: so the same
 * command goes on after an interruption, and writes only what has changed.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "ending.h"
#include "export_place.h"
#include "grow.h"
#include "orders.h"
#include "sink.h"
#include "suggest.h"
#include "text.h"
#include "utf8.h"
#include "walk.h"

struct strings {
    char **at; /* [n] owned */
    size_t n;
};

struct export
{
    const struct ctl *ctl;
    struct target target; /* with layout=derivatives */
    const char *dest;
    struct strings names; /* "tsnr.nii.gz": of the recipes */
    struct target *roots; /* [nwalks] the target, from the directory of a participant on */
    struct walk **walks;  /* [nwalks] */
    size_t nwalks, at;
    struct progress progress;
    char *dir;              /* of the last order */
    struct strings outs;    /* what is written there so far */
    struct strings unnamed; /* files without a BIDS name */
    int ret;
};

/* `text` is taken over; NULL: no memory. */
static void keep(struct strings *s, char *text)
{
    if (text && GROW(s->at, s->n) == 0)
        s->at[s->n++] = text;
    else
        free(text);
}

static void clear(struct strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->at[i]);
    free(s->at);
    *s = (struct strings){.n = 0};
}

/* ---- one file ---- */

/* "DEST/sub-01/func/NAME", for a file of derivatives/derivfs/sub-01/func. malloced. */
static char *place_of(const struct export *e, const char *path, const char *name)
{
    const char *rest = path + strlen(EXPORT_ROOT), *slash = strrchr(path, '/');
    char *out;

    if (slash < rest || asprintf(&out, "%s%.*s/%s", e->dest, (int)(slash - rest), rest, name) < 0)
        return NULL;
    return out;
}

/* The sidecar of an exported image. malloced. */
static char *sidecar_place(const char *out)
{
    const char *ending = strstr(base_name(out), ".nii");
    char *path;

    return ending && asprintf(&path, "%.*s.json", (int)(ending - out), out) >= 0 ? path : NULL;
}

static bool has_session(const struct export *e, const char *name)
{
    const struct words *w = &e->ctl->sessions;

    for (size_t i = 0; i < w->n; i++) {
        const char *at = strstr(name, "_ses-");
        size_t n = strlen(w->at[i]);

        if (at && strncmp(at + 5, w->at[i], n) == 0 && at[5 + n] == '_')
            return true;
    }
    return w->n == 0;
}

/* Is the file there, with its sidecar? */
static bool is_up_to_date(const struct export *e, const struct order *o)
{
    struct stat there, wanted;
    char *place, *text;
    bool same;

    engine_stat_derived(e->target.engine, o->file.derived, o->file.path, &wanted);
    if (stat(o->out, &there) < 0 || there.st_size != wanted.st_size ||
        there.st_mtim.tv_sec != wanted.st_mtim.tv_sec ||
        there.st_mtim.tv_nsec != wanted.st_mtim.tv_nsec)
        return false;
    if (derived_info(o->file.derived).is_command)
        return true;
    place = sidecar_place(o->out);
    text = engine_sidecar(o->file.derived);
    same = place && text && export_has_text(place, text);
    free(place);
    free(text);
    return same;
}

/* Has another file the same name? That of a group with a single run is the run's own. */
static bool is_taken(struct export *e, const struct order *o)
{
    for (size_t i = 0; i < e->outs.n; i++)
        if (strcmp(e->outs.at[i], o->out) == 0)
            return true;
    keep(&e->outs, strdup(o->out));
    return false;
}

/* Find the order's place. False: it is not exported; counts it. */
static bool set_place(struct export *e, struct order *o)
{
    struct progress *p = &e->progress;
    char *name = derived_bids_name(o->file.derived);

    if (name && !*name)
        keep(&e->unnamed, strdup(o->file.path));
    if (name && *name && has_session(e, name))
        o->out = place_of(e, o->file.path, name);
    free(name);
    if (o->out && !is_taken(e, o)) {
        if (!is_up_to_date(e, o))
            return true;
        p->ncached++;
        p->done_weight += o->weight;
        p->saved_weight += o->weight;
        return false;
    }
    p->nfiles--;
    p->weight -= o->weight;
    return false;
}

static void order_free(struct order *o)
{
    derived_put(o->file.derived);
    free(o->file.path);
    free(o->out);
}

/* The names of one directory are compared with each other only. */
static void enter(struct export *e, const char *path)
{
    size_t n = (size_t)(base_name(path) - path);

    if (e->dir && strlen(e->dir) == n && strncmp(e->dir, path, n) == 0)
        return;
    free(e->dir);
    e->dir = strndup(path, n);
    clear(&e->outs);
}

/* An orders_next_fn. */
static bool next_order(void *ctx, struct order *out)
{
    struct export *e = ctx;
    struct error err;

    while (e->at < e->nwalks) {
        if (!walk_next(e->walks[e->at], out)) {
            e->at++;
            continue;
        }
        enter(e, out->file.path);
        if (set_place(e, out)) {
            if (export_make_parents(out->out, &err) == 0)
                return true;
            progress_fail(&e->progress, out->weight, strdup(err.text));
            e->ret = CTL_FAILED;
        }
        progress_show(&e->progress, 0);
        order_free(out);
    }
    return false;
}

/* orders_request.written: an image is complete when its sidecar is. */
static int write_sidecar(void *ctx, const struct order *o, struct error *err)
{
    char *place, *text;
    int ret;

    (void)ctx;
    if (derived_info(o->file.derived).is_command)
        return 0;
    place = sidecar_place(o->out);
    text = engine_sidecar(o->file.derived);
    ret = place && text ? sink_put(place, text, strlen(text), err)
                        : error_set(err, ENOMEM, "%s: sidecar: out of memory", o->out);
    free(place);
    free(text);
    return ret;
}

/* ---- tables ---- */

/* "tsnr_mriqc@drop=4" without what no label has: tsnrmriqc+drop4. malloced. */
static char *table_label(const char *recipe)
{
    char *label = malloc(strlen(recipe) + 1), *to = label;

    for (const char *c = recipe; label && *c; c++)
        if (isalnum((unsigned char)*c))
            *to++ = *c;
        else if (*c == '@' || *c == ',')
            *to++ = '+';
        else if (*c == '.' || (*c == '-' && strchr(recipe, '@') && c > strchr(recipe, '@')))
            *to++ = *c == '.' ? 'p' : 'm';
    if (label)
        *to = '\0';
    return label;
}

static int put_text(const struct export *e, const char *name, const char *text, size_t nbytes)
{
    char *path = join_path(e->dest, name);
    struct error err;
    int ret = !path || (!export_has_text(path, text) && sink_put(path, text, nbytes, &err) < 0)
                  ? ctl_say("%s", path ? err.text : "out of memory")
                  : CTL_OK;

    free(path);
    return ret;
}

/* The table of one recipe, and its dictionary. */
static int write_table(struct export *e, const char *recipe)
{
    char *label = table_label(recipe), *source = NULL, *name = NULL, *text = NULL;
    struct target t = e->target;
    struct entry entry;
    struct error err;
    size_t nbytes;
    int ret = CTL_FAILED;

    if (!label || asprintf(&source, "%s/group_%s.json", EXPORT_ROOT, recipe) < 0 ||
        asprintf(&name, "group_%s.json", label) < 0)
        return ctl_say("%s: out of memory", e->dest);
    if (engine_lookup_path(t.engine, source, &entry, NULL) == 0) { /* not of a series */
        ret = entry.text ? put_text(e, name, entry.text, strlen(entry.text)) : CTL_OK;
        entry_clear(&entry);
        strcpy(strrchr(source, '.'), ".tsv");
        strcpy(strrchr(name, '.'), ".tsv");
        t.path = source;
        if (ctl_table_text(&t, &text, &nbytes, &err) < 0)
            ret = ctl_say("%s: %s", name, err.text);
        else if (put_text(e, name, text, nbytes) != CTL_OK)
            ret = CTL_FAILED;
    } else {
        ret = CTL_OK;
    }
    free(text);
    free(name);
    free(source);
    free(label);
    return ret;
}

static int write_tables(struct export *e)
{
    int ret = CTL_OK;

    for (size_t i = 0; i < e->names.n && !ending_signal(); i++) {
        char *ending = strstr(e->names.at[i], ".nii.gz");

        if (!ending)
            continue;
        *ending = '\0';
        if (write_table(e, e->names.at[i]) != CTL_OK)
            ret = CTL_FAILED;
        *ending = '.';
    }
    return ret;
}

/* ---- what to export ---- */

/* An engine_recipe_fn: what listings show. */
static void add_listed(void *ctx, const struct recipe_info *r)
{
    char *name;

    if (r->is_listed && asprintf(&name, "%s%s", r->name, r->is_command ? "" : ".nii.gz") >= 0)
        keep(ctx, name);
}

struct question {
    const char *name; /* without parameters */
    size_t nbytes;
    bool is_known, is_command;
    struct suggestion guess;
};

/* An engine_recipe_fn. */
static void ask(void *ctx, const struct recipe_info *r)
{
    struct question *q = ctx;

    suggestion_try(&q->guess, r->name);
    if (strncmp(q->name, r->name, strlen(r->name)) == 0 && q->name[strlen(r->name)] == '.') {
        free(q->guess.best);
        q->guess = (struct suggestion){q->name, strdup(r->name), 0};
    }
    if (text_is(r->name, q->name, q->nbytes)) {
        q->is_known = true;
        q->is_command = r->is_command;
    }
}

static int add_recipe(struct export *e, const char *recipe)
{
    struct question q = {recipe, strcspn(recipe, "@"), .guess.word = recipe};
    char *name;

    engine_each_recipe(e->target.engine, ask, &q);
    if (!q.is_known)
        ctl_say("--recipe=%s: there is no such recipe%s%s%s", recipe,
                q.guess.best ? " (did you mean " : "", q.guess.best ? q.guess.best : "",
                q.guess.best ? "?)" : "; derivctl recipes lists them");
    else if (asprintf(&name, "%s%s", recipe, q.is_command ? "" : ".nii.gz") >= 0)
        keep(&e->names, name);
    free(q.guess.best);
    return q.is_known ? CTL_OK : CTL_FAILED;
}

static int choose_recipes(struct export *e)
{
    const struct words *w = &e->ctl->recipes;
    int ret = CTL_OK;

    for (size_t i = 0; i < w->n; i++)
        if (add_recipe(e, w->at[i]) != CTL_OK)
            ret = CTL_FAILED;
    if (w->n == 0)
        engine_each_recipe(e->target.engine, add_listed, &e->names);
    return ret;
}

/* Walk from the mount's directory `path` on, which is taken over. */
static int add_walk(struct export *e, char *path)
{
    struct target *root = &e->roots[e->nwalks];
    struct error err;

    *root = e->target;
    root->path = path;
    if (!path)
        return ctl_say("export: out of memory");
    if (walk_new(root, e->names.at, e->names.n, &e->walks[e->nwalks], &err) < 0) {
        free(path);
        return ctl_say("%s: export: %s", e->target.asked, err.text);
    }
    e->nwalks++;
    return CTL_OK;
}

static int add_participant(struct export *e, const char *label)
{
    char *name = NULL, *path = NULL;
    struct target t = e->target;
    int ret = CTL_FAILED;

    if (asprintf(&name, "sub-%s", label) >= 0)
        path = join_path(e->target.path, name);
    t.path = path;
    if (!path)
        ctl_say("export: out of memory");
    else if (!target_is_dir(&t))
        ctl_say("--participant-label=%s: there is no directory %s in %s", label, name,
                e->target.asked);
    else
        ret = CTL_OK;
    free(name);
    if (ret == CTL_OK)
        return add_walk(e, path);
    free(path);
    return ret;
}

static int find_files(struct export *e)
{
    const struct words *w = &e->ctl->participants;
    int ret = CTL_OK;

    e->roots = calloc(w->n + 1, sizeof *e->roots);
    e->walks = calloc(w->n + 1, sizeof *e->walks);
    if (!e->roots || !e->walks)
        return ctl_say("export: out of memory");
    for (size_t i = 0; i < w->n; i++)
        if (add_participant(e, w->at[i]) != CTL_OK)
            ret = CTL_FAILED;
    if (w->n == 0)
        ret = add_walk(e, strdup(e->target.path));
    for (size_t i = 0; i < e->nwalks && ret == CTL_OK; i++)
        if (walk_say_unknown(e->walks[i]) > 0)
            ret = CTL_FAILED;
    return ret;
}

/* ---- all of it ---- */

static void say_unnamed(const struct export *e)
{
    enum { SAID_MAX = 20 };

    for (size_t i = 0; i < e->unnamed.n && i < SAID_MAX; i++)
        ctl_say("not exported: %s: neither its runs' names nor their directories name a subject "
                "(sub-LABEL)",
                e->unnamed.at[i]);
    if (e->unnamed.n > SAID_MAX)
        ctl_say("not exported: %zu more", e->unnamed.n - SAID_MAX);
}

static void print_summary(const struct export *e)
{
    const struct progress *p = &e->progress;
    size_t nfinished = p->ncomputed + p->ncached + p->nfailed;

    ctl_print("%s: %zu images: %zu written, %zu were up to date, %zu failed", e->dest, p->nfiles,
              p->ncomputed, p->ncached, p->nfailed);
    if (p->nfiles > nfinished)
        printf(", %zu left: the same command continues", p->nfiles - nfinished);
    puts("");
}

static int write_images(struct export *e)
{
    struct orders_request q = {.engine = e->target.engine,
                               .next = next_order,
                               .ctx = e,
                               .progress = &e->progress,
                               .keep_times = true,
                               .written = write_sidecar};
    size_t nfiles = 0;
    double weight = 0;
    int ret;

    for (size_t i = 0; i < e->nwalks; i++) {
        nfiles += walk_counts(e->walks[i])->nfiles;
        weight += walk_counts(e->walks[i])->weight;
    }
    if (nfiles == 0) {
        ctl_say("%s: nothing to export: no runs", e->target.asked);
        ctl_say_why_missing(&e->target, true);
        return CTL_FAILED;
    }
    progress_begin(&e->progress, nfiles, weight);
    ret = orders_run(&q);
    progress_end(&e->progress);
    print_summary(e);
    for (size_t i = 0; i < e->nwalks; i++) {
        walk_say_left_out(e->walks[i]);
        if (walk_counts(e->walks[i])->nfailed > 0)
            ret = CTL_FAILED;
    }
    say_unnamed(e);
    return e->ret != CTL_OK || e->progress.nfiles == 0 ? CTL_FAILED : ret;
}

static int write_all(struct export *e)
{
    enum export_level level = e->ctl->level;
    struct error err;
    int ret = choose_recipes(e);

    if (level == LEVEL_ALL && e->ctl->participants.n + e->ctl->sessions.n > 0)
        level = LEVEL_PARTICIPANT; /* a table is of all runs */
    if (ret == CTL_OK && level != LEVEL_GROUP)
        ret = find_files(e);
    if (ret == CTL_OK)
        ret = export_describe(&e->target, e->dest);
    if (ret == CTL_OK && engine_start(e->target.engine, &err) < 0)
        ret = ctl_say("%s: export: start: %s", e->target.asked, err.text);
    if (ret != CTL_OK)
        return ret;
    if (level != LEVEL_GROUP)
        ret = write_images(e);
    orders_raise(e->target.engine);
    if (level != LEVEL_PARTICIPANT && write_tables(e) != CTL_OK)
        ret = CTL_FAILED;
    return ret;
}

int ctl_export(const struct ctl *ctl)
{
    struct export e = {.ctl = ctl};
    struct ctl derivatives = *ctl;
    int ret;

    if (ctl->npaths != 2)
        return CTL_USAGE;
    if (ctl->level == LEVEL_GROUP && ctl->participants.n + ctl->sessions.n > 0) {
        ctl_say("--level=group: tables are of all runs: leave out --participant-label and "
                "--session-label");
        return CTL_USAGE;
    }
    if (options_copy(&ctl->options, &derivatives.options) < 0 ||
        options_set(&derivatives.options, OPTION_LAYOUT, "derivatives") < 0)
        return ctl_say("export: out of memory");
    e.dest = ctl->paths[1];
    ret = target_open(&derivatives, ctl->paths[0], &e.target);
    if (ret == CTL_OK) {
        ret = ctl_check_dir(&e.target);
        if (ret == CTL_OK)
            ret = export_check(&e.target, e.dest);
        if (ret == CTL_OK)
            ret = write_all(&e);
        for (size_t i = 0; i < e.nwalks; i++) {
            walk_free(e.walks[i]);
            free(e.roots[i].path);
        }
        target_close(&e.target);
    }
    free(e.roots);
    free(e.walks);
    free(e.dir);
    clear(&e.names);
    clear(&e.outs);
    clear(&e.unnamed);
    options_free(&derivatives.options);
    return ret;
}
