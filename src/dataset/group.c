/* SPDX-License-Identifier: MIT
 *
 * Groups and their prefixes.
 *
 * First the readable runs: each joins the group of the same name class (suffix and all entities but
 * task and run) and grid as its first run, or opens one. Then the unreadable ones, whose grid
 * nobody knows: each joins every group of its name class, or opens one without a grid. So a group
 * is complete, or has a `bad` run that says why it is not.
 *
 * Names that are not BIDS say too little: of one class and grid may be echoes, maps, and the stages
 * of a pipeline. Only those that differ in nothing but a run number are joined.
 *
 * Prefixes are refined step by step, and each step touches only groups that still collide:
 *
 *     entities that differ   echo-1_  echo-2_
 *     suffix                 bold_  cbv_
 *     rest of the name       open_  closed_             of names that are nearly BIDS
 *     shape                  shape-64x64x30_
 *     affine                 affine-1_  affine-2_       in the order of the groups
 *
 * Names that are not BIDS have few entities and no suffix, so the same steps begin at the shape.
 * Cost: runs times groups comparisons of short names; both are small in any real directory.
 */
#include "group.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "text.h"

enum { PART_MAX = BIDS_NAME_MAX + 16 };

/* A group while it is being formed. */
struct draft {
    struct group group;
    const struct bids_name *name; /* of the run that opened it */
    bool mixed;                   /* names that differ in more than a run number */
    /* scratch of one refinement step */
    size_t head;         /* the first draft with the same prefix */
    size_t nfollowers;   /* of a head: drafts with its prefix so far */
    bool differs;        /* of a head: its followers' parts are not all like its own */
    char part[PART_MAX]; /* what the step would add */
};

struct drafts {
    struct draft *draft; /* [n] */
    size_t n;
};

static int append_run(struct group *group, struct run *run)
{
    if (GROW(group->runs, group->nruns) < 0)
        return -ENOMEM;
    group->runs[group->nruns++] = run_get(run);
    return 0;
}

static int open_draft(struct drafts *drafts, struct run *run, const struct bids_name *name)
{
    if (GROW(drafts->draft, drafts->n) < 0)
        return -ENOMEM;
    struct draft *draft = &drafts->draft[drafts->n++];
    memset(draft, 0, sizeof *draft);
    draft->name = name;
    return append_run(&draft->group, run);
}

/* Grids are compared with the run that opened the group: "nearly equal" is not transitive, and a
 * chain of small differences must not join far ends. */
static int place_readable(struct drafts *drafts, struct run *run, const struct bids_name *name)
{
    for (size_t i = 0; i < drafts->n; i++) {
        struct draft *draft = &drafts->draft[i];
        if (bids_same_group(draft->name, name) &&
            nifti_same_grid(&draft->group.runs[0]->nifti, &run->nifti)) {
            draft->mixed |= strcmp(draft->name->rest, name->rest) != 0;
            return append_run(&draft->group, run);
        }
    }
    return open_draft(drafts, run, name);
}

static int place_unreadable(struct drafts *drafts, struct run *run, const struct bids_name *name)
{
    bool placed = false;
    for (size_t i = 0; i < drafts->n; i++) {
        if (!bids_same_group(drafts->draft[i].name, name))
            continue;
        if (append_run(&drafts->draft[i].group, run))
            return -ENOMEM;
        placed = true;
    }
    return placed ? 0 : open_draft(drafts, run, name);
}

static int place_all(struct drafts *drafts, struct run *const *runs, const struct bids_name *names,
                     size_t nruns)
{
    for (size_t i = 0; i < nruns; i++)
        if (runs[i]->state == RUN_OK && place_readable(drafts, runs[i], &names[i]))
            return -ENOMEM;
    for (size_t i = 0; i < nruns; i++)
        if (runs[i]->state != RUN_OK && place_unreadable(drafts, runs[i], &names[i]))
            return -ENOMEM;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct run *const *x = a, *const *y = b;
    return bids_compare(base_name((*x)->path), base_name((*y)->path));
}

/* Groups that begin with the same unreadable run are ordered by their first readable ones. */
static int by_first_run(const void *a, const void *b)
{
    const struct group *x = &((const struct draft *)a)->group;
    const struct group *y = &((const struct draft *)b)->group;
    int order = by_name(&x->runs[0], &y->runs[0]);
    return order || !x->first || !y->first ? order : by_name(&x->first, &y->first);
}

static void order(struct drafts *drafts)
{
    for (size_t i = 0; i < drafts->n; i++) {
        struct group *group = &drafts->draft[i].group;
        qsort(group->runs, group->nruns, sizeof(struct run *), by_name);
        for (size_t r = group->nruns; r-- > 0;) {
            if (group->runs[r]->state == RUN_OK)
                group->first = group->runs[r];
            else
                group->bad = group->runs[r];
        }
    }
    qsort(drafts->draft, drafts->n, sizeof *drafts->draft, by_first_run);
}

static int append_text(char **text, const char *more)
{
    char *longer;
    if (asprintf(&longer, "%s%s", *text, more) < 0)
        return -ENOMEM;
    free(*text);
    *text = longer;
    return 0;
}

/* Has every group this entity with this value? */
static bool in_all_groups(const struct drafts *drafts, const struct bids_entity *entity)
{
    for (size_t i = 0; i < drafts->n; i++) {
        const char *value = bids_value(drafts->draft[i].name, entity->key);
        if (!value || strcmp(value, entity->value) != 0)
            return false;
    }
    return true;
}

/* The first group's name suffices to know what all have in common: an entity that it lacks, or has
 * with another value, is not common. */
static int prefix_entities(struct drafts *drafts)
{
    struct bids_entity common[BIDS_ENTITIES_MAX];
    size_t ncommon = 0;
    const struct bids_name *model = drafts->draft[0].name;
    for (size_t e = 0; e < model->nentities; e++)
        if (in_all_groups(drafts, &model->entity[e]))
            common[ncommon++] = model->entity[e];

    for (size_t i = 0; i < drafts->n; i++) {
        const struct bids_name *name = drafts->draft[i].name;
        char text[BIDS_NAME_MAX + 1] = "";
        size_t used = 0;
        for (size_t e = 0; e < name->nentities; e++) {
            const struct bids_entity *entity = &name->entity[e];
            bool skip = bids_joins_over(entity->key);
            for (size_t c = 0; c < ncommon && !skip; c++)
                skip = strcmp(common[c].key, entity->key) == 0;
            if (!skip)
                used += (size_t)snprintf(text + used, sizeof text - used, "%s-%s_", entity->key,
                                         entity->value);
        }
        drafts->draft[i].group.prefix = strdup(text);
        if (!drafts->draft[i].group.prefix)
            return -ENOMEM;
    }
    return 0;
}

/* What a refinement step would add to a draft, the nth (from 1) of those with its prefix. */
typedef void (*part_function)(const struct draft *draft, size_t nth, char *part);

static void part_suffix(const struct draft *draft, size_t nth, char *part)
{
    (void)nth;
    snprintf(part, PART_MAX, "%s%s", draft->name->suffix, *draft->name->suffix ? "_" : "");
}

static void part_rest(const struct draft *draft, size_t nth, char *part)
{
    bool tells = *draft->name->suffix && *draft->name->rest;

    (void)nth;
    snprintf(part, PART_MAX, "%s%s", tells ? draft->name->rest : "", tells ? "_" : "");
}

static void part_shape(const struct draft *draft, size_t nth, char *part)
{
    (void)nth;
    const struct run *first = draft->group.first;
    if (!first)
        *part = '\0';
    else
        snprintf(part, PART_MAX, "shape-%" PRId64 "x%" PRId64 "x%" PRId64 "_", first->nifti.dim[0],
                 first->nifti.dim[1], first->nifti.dim[2]);
}

static void part_affine(const struct draft *draft, size_t nth, char *part)
{
    (void)draft;
    snprintf(part, PART_MAX, "affine-%zu_", nth);
}

/* Add the step's part to all groups that share a prefix, where that tells any of them apart. */
static int refine(struct drafts *drafts, part_function make_part)
{
    struct draft *draft = drafts->draft;
    for (size_t i = 0; i < drafts->n; i++) {
        size_t head = 0;
        while (strcmp(draft[head].group.prefix, draft[i].group.prefix) != 0)
            head++;
        draft[i].head = head;
        draft[i].nfollowers = 0;
        draft[i].differs = false;
        make_part(&draft[i], ++draft[head].nfollowers, draft[i].part);
        draft[head].differs |= strcmp(draft[head].part, draft[i].part) != 0;
    }
    for (size_t i = 0; i < drafts->n; i++)
        if (draft[draft[i].head].differs && append_text(&draft[i].group.prefix, draft[i].part))
            return -ENOMEM;
    return 0;
}

static int make_prefixes(struct drafts *drafts)
{
    static const part_function steps[] = {part_suffix, part_rest, part_shape, part_affine};
    int ret;

    if (drafts->n == 1) /* nothing to tell it apart from */
        return (drafts->draft->group.prefix = strdup("")) ? 0 : -ENOMEM;
    ret = prefix_entities(drafts);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !ret; i++)
        ret = refine(drafts, steps[i]);
    return ret;
}

/* Two files of a group that mean the same run cannot both be counted. Compares each pair: names are
 * short, and most differ at once. */
static int find_conflict(struct group *group)
{
    struct bids_name *names = calloc(group->nruns, sizeof *names);
    int ret = names ? 0 : -ENOMEM;

    for (size_t i = 0; i < group->nruns && ret == 0; i++)
        bids_parse(base_name(group->runs[i]->path), &names[i]);
    for (size_t i = 1; i < group->nruns && ret == 0; i++)
        for (size_t k = 0; k < i && ret == 0 && !group->refusal; k++)
            if (bids_same_run(&names[k], &names[i]) &&
                asprintf(&group->refusal, "%s and %s mean the same run: rename or remove one",
                         group->runs[k]->path, base_name(group->runs[i]->path)) < 0) {
                group->refusal = NULL;
                ret = -ENOMEM;
            }
    free(names);
    return ret;
}

static int form(struct drafts *drafts, struct run *const *runs, const struct bids_name *names,
                size_t nruns)
{
    int ret = place_all(drafts, runs, names, nruns);
    if (ret)
        return ret;
    order(drafts);
    ret = make_prefixes(drafts);
    for (size_t i = 0; i < drafts->n && !ret; i++)
        ret = find_conflict(&drafts->draft[i].group);
    return ret;
}

/* Move the groups out of the drafts, those that are joined first. */
static int take_groups(const struct drafts *drafts, bool join_all, struct group **out,
                       size_t *njoined)
{
    struct group *groups = calloc(drafts->n, sizeof *groups);
    size_t n = 0;
    if (!groups)
        return -ENOMEM;
    for (int apart = 0; apart < 2; apart++) {
        for (size_t i = 0; i < drafts->n; i++) {
            const struct draft *draft = &drafts->draft[i];
            bool mixed = draft->mixed && !*draft->name->suffix && !join_all;
            if (mixed == apart)
                groups[n++] = draft->group;
        }
        *njoined = apart ? *njoined : n;
    }
    *out = groups;
    return 0;
}

static void release_group(struct group *group)
{
    for (size_t i = 0; i < group->nruns; i++)
        run_put(group->runs[i]);
    free(group->runs);
    free(group->prefix);
    free(group->refusal);
}

int groups_form(struct run *const *runs, size_t nruns, bool join_all, struct group **out,
                size_t *nout, size_t *njoined, struct error *err)
{
    *out = NULL;
    *nout = *njoined = 0;
    if (!nruns)
        return 0;
    struct drafts drafts = {0};
    struct bids_name *names = calloc(nruns, sizeof *names);
    int ret = names ? 0 : -ENOMEM;
    for (size_t i = 0; i < nruns && !ret; i++)
        bids_parse(base_name(runs[i]->path), &names[i]);
    if (!ret)
        ret = form(&drafts, runs, names, nruns);
    if (!ret)
        ret = take_groups(&drafts, join_all, out, njoined);
    if (ret)
        for (size_t i = 0; i < drafts.n; i++)
            release_group(&drafts.draft[i].group);
    else
        *nout = drafts.n;
    free(drafts.draft);
    free(names);
    return ret ? error_set(err, ENOMEM, "%s: group runs: out of memory", runs[0]->path) : 0;
}

void groups_free(struct group *groups, size_t ngroups)
{
    for (size_t i = 0; i < ngroups; i++)
        release_group(&groups[i]);
    free(groups);
}
