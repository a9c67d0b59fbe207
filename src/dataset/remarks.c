/* SPDX-License-Identifier: MIT
 *
 * Doubts about joined runs. Compares each pair of names: linear in memory, quadratic in cheap looks.
 */
#include "remarks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bids.h"
#include "text.h"

/* Of these runs those with the shortest and the longest TR that is known. */
struct tr_range {
    const struct run *shortest, *longest; /* NULL: none is known */
};

static struct tr_range range_of_tr(struct run *const *runs, size_t nruns)
{
    struct tr_range r = {NULL, NULL};

    for (size_t i = 0; i < nruns; i++) {
        if (runs[i]->state != RUN_OK || runs[i]->nifti.tr <= 0)
            continue;
        if (!r.shortest || runs[i]->nifti.tr < r.shortest->nifti.tr)
            r.shortest = runs[i];
        if (!r.longest || runs[i]->nifti.tr > r.longest->nifti.tr)
            r.longest = runs[i];
    }
    return r;
}

/* Headers store float32, some of them in milliseconds. */
static bool differs(struct tr_range r)
{
    return r.shortest && r.longest->nifti.tr - r.shortest->nifti.tr > 1e-3 * r.longest->nifti.tr;
}

/* ---- stages of one pipeline ---- */

static bool begins_with_stage(const char *text)
{
    static const char *const stages[] = {
        "preproc", "proc",  "smooth", "filt", "denois", "clean", "mcf",  "moco",   "motion",
        "stc",     "slice", "topup",  "sdc",  "unwarp", "warp",  "bet",  "brain",  "mask",
        "norm",    "reg",   "align",  "mni",  "resamp", "scale", "fix",  "aroma",  "ica",
        "despike", "crop",  "trim",   "bp",   "hp",     "res",   "corr", "undist", NULL};

    for (const char *const *s = stages; *s; s++)
        if (strncasecmp(text, *s, strlen(*s)) == 0)
            return true;
    return false;
}

/* Is `longer` the name of what became of `shorter`? */
static bool is_later_stage(const struct bids_name *longer, const struct bids_name *shorter)
{
    const char *a = bids_value(longer, "task"), *b = bids_value(shorter, "task");
    size_t n = b ? strlen(b) : 0;

    if (longer->form == BIDS_FREE)
        return strlen(longer->rest) > strlen(shorter->rest) &&
               strstr(longer->rest, shorter->rest) != NULL;
    /* most runs of a group have the same task: then no word has to be looked for */
    return a && b && strncmp(a, b, n) == 0 && a[n] && begins_with_stage(a + n + (a[n] == '-'));
}

struct stages {
    const struct run *first, *later; /* NULL: none */
};

static struct stages find_stages(struct run *const *runs, size_t nruns)
{
    struct stages found = {NULL, NULL};
    struct bids_name *names = calloc(nruns, sizeof *names);

    for (size_t i = 0; names && i < nruns; i++)
        bids_parse(base_name(runs[i]->path), &names[i]);
    for (size_t i = 0; names && i < nruns && !found.first; i++)
        for (size_t k = 0; k < nruns && !found.first; k++)
            if (k != i && runs[i]->state == RUN_OK && runs[k]->state == RUN_OK &&
                runs[i]->nifti.nvol == runs[k]->nifti.nvol && is_later_stage(&names[k], &names[i]))
                found = (struct stages){runs[i], runs[k]};
    free(names);
    return found;
}

/* ---- texts ---- */

static void print_doubts(FILE *f, struct run *const *runs, size_t nruns)
{
    struct tr_range tr = range_of_tr(runs, nruns);
    struct stages stages = find_stages(runs, nruns);

    if (differs(tr))
        fprintf(f, "the joined runs differ in TR: %g s in %s, %g s in %s%s", tr.shortest->nifti.tr,
                base_name(tr.shortest->path), tr.longest->nifti.tr, base_name(tr.longest->path),
                stages.first ? "; " : "");
    if (stages.first)
        fprintf(f, "the joined runs may be stages of one pipeline: %s, %s",
                base_name(stages.first->path), base_name(stages.later->path));
}

static void print_brief(FILE *f, struct run *const *runs, size_t nruns)
{
    struct tr_range tr = range_of_tr(runs, nruns);

    if (differs(tr))
        fprintf(f, "TR %g to %g s", tr.shortest->nifti.tr, tr.longest->nifti.tr);
    if (find_stages(runs, nruns).first)
        fprintf(f, "%sperhaps stages of one pipeline", differs(tr) ? ", " : "");
}

/* Is the task of run `i` one of those before it? */
static bool is_known_task(struct run *const *runs, size_t i, const char *task)
{
    struct bids_name name;

    for (size_t k = 0; k < i; k++) {
        const char *other =
            bids_parse(base_name(runs[k]->path), &name) ? bids_value(&name, "task") : NULL;
        if (other && strcmp(other, task) == 0)
            return true;
    }
    return false;
}

static void print_rule(FILE *f, struct run *const *runs, size_t nruns)
{
    enum { TASKS_MAX = 8 };
    struct bids_name name, first;
    const char *one =
        bids_parse(base_name(runs[0]->path), &first) ? bids_value(&first, "task") : NULL;
    size_t n = 0;

    for (size_t i = 1; i < nruns && one && n < TASKS_MAX; i++) {
        const char *task =
            bids_parse(base_name(runs[i]->path), &name) ? bids_value(&name, "task") : NULL;
        if (!task || is_known_task(runs, i, task))
            continue;
        if (n++ == 0)
            fprintf(f, "runs of different tasks are joined (%s", one);
        fprintf(f, ", %s", n < TASKS_MAX ? task : "...");
    }
    if (n > 0)
        fputs("): differences between their means count as noise; tsnr_within leaves these out", f);
}

char *runs_printed(runs_print_fn *print, struct run *const *runs, size_t nruns)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    print(f, runs, nruns);
    return text_end(f, &text);
}

char *remarks_doubts(struct run *const *runs, size_t nruns)
{
    return runs_printed(print_doubts, runs, nruns);
}

char *remarks_brief(struct run *const *runs, size_t nruns)
{
    return runs_printed(print_brief, runs, nruns);
}

char *remarks_rule(struct run *const *runs, size_t nruns)
{
    return runs_printed(print_rule, runs, nruns);
}

/* ---- all of a directory ---- */

static void print_apart(FILE *f, struct run *const *runs, size_t nruns)
{
    enum { NAMES_MAX = 4 };

    fprintf(f, "%zu runs are not joined, because their names differ in more than a run number (",
            nruns);
    for (size_t i = 0; i < nruns && i < NAMES_MAX; i++)
        fprintf(f, "%s%s", i > 0 ? ", " : "", base_name(runs[i]->path));
    fprintf(f,
            "%s): each has its own files; to join all runs of one grid: -o join=all, "
            "or join = all in a recipe",
            nruns > NAMES_MAX ? ", ..." : "");
}

/* Takes `text` over. */
static int tell(remark_fn *fn, void *ctx, enum remark_kind kind, const char *path, char *text)
{
    int ret = text ? 0 : -ENOMEM;

    if (text && *text)
        ret = fn(ctx, &(struct remark){kind, *path ? path : ".", text});
    free(text);
    return ret;
}

static int visit_name(const char *path, remark_fn *fn, void *ctx)
{
    struct bids_name name;
    char *text = NULL;

    if (!bids_parse(base_name(path), &name) || !name.bad)
        return 0;
    if (asprintf(
            &text,
            "not a valid BIDS name, because of \"%s\": after sub-LABEL come pairs KEY-LABEL of "
            "letters and digits, each key once",
            name.bad) < 0)
        return -ENOMEM;
    return tell(fn, ctx, REMARK_NAME, path, text);
}

static int visit_group(const struct dir_scan *scan, const struct group *g, bool apart,
                       unsigned kinds, remark_fn *fn, void *ctx)
{
    int ret = 0;

    if (apart)
        return kinds & REMARKS(APART) ? tell(fn, ctx, REMARK_APART, scan->dir.path,
                                             runs_printed(print_apart, g->runs, g->nruns))
                                      : 0;
    if (g->refusal)
        return kinds & REMARKS(REFUSED)
                   ? tell(fn, ctx, REMARK_REFUSED, scan->dir.path, strdup(g->refusal))
                   : 0;
    if (g->nruns > 1 && kinds & REMARKS(DOUBT))
        ret = tell(fn, ctx, REMARK_DOUBT, scan->dir.path, remarks_doubts(g->runs, g->nruns));
    if (g->nruns > 1 && kinds & REMARKS(RULE) && ret == 0)
        ret = tell(fn, ctx, REMARK_RULE, scan->dir.path, remarks_rule(g->runs, g->nruns));
    return ret;
}

int remarks_visit(const struct dir_scan *scan, unsigned kinds, remark_fn *fn, void *ctx)
{
    int ret = 0;

    for (size_t i = 0; i < scan->omissions.n && ret == 0; i++) {
        const struct omission *o = &scan->omissions.list[i];
        enum remark_kind kind = o->expected ? REMARK_EXPECTED : REMARK_OMITTED;

        if (kinds & 1U << kind)
            ret = fn(ctx, &(struct remark){kind, o->path, o->reason});
    }
    for (size_t i = 0; i < scan->nruns && ret == 0 && kinds & REMARKS(NAME); i++)
        ret = visit_name(scan->runs[i].run->path, fn, ctx);
    for (size_t i = 0; i < scan->ngroups + scan->napart && ret == 0; i++)
        ret = visit_group(scan, &scan->groups[i], i >= scan->ngroups, kinds, fn, ctx);
    return ret;
}
