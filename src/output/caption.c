/* SPDX-License-Identifier: MIT
 *
 * Words for people, from file names.
 *
 * The title has each entity of the runs' names once. If the runs differ in one (task, run), it
 * lists the values in the order of the runs, VALUES_MAX at most: run-1+2.
 */
#include "caption.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bids.h"
#include "remarks.h"
#include "text.h"
#include "unit.h"
#include "utf8.h"

enum { VALUES_MAX = 8 };

/* Is `value` among those that runs [0, end) have for `key`? */
static bool is_known(struct run *const *runs, size_t end, const char *key, const char *value)
{
    struct bids_name name;

    for (size_t i = 0; i < end; i++) {
        const char *other =
            bids_parse(base_name(runs[i]->path), &name) ? bids_value(&name, key) : NULL;

        if (other && strcmp(other, value) == 0)
            return true;
    }
    return false;
}

/* "run-1+2" */
static void print_entity(FILE *f, const char *key, struct run *const *runs, size_t nruns)
{
    struct bids_name name;
    int nvalues = 0;

    for (size_t i = 0; i < nruns && nvalues <= VALUES_MAX; i++) {
        const char *value =
            bids_parse(base_name(runs[i]->path), &name) ? bids_value(&name, key) : NULL;

        if (!value || is_known(runs, i, key, value))
            continue;
        if (nvalues == 0)
            fprintf(f, "%s-%s", key, value);
        else
            fprintf(f, "+%s", nvalues < VALUES_MAX ? value : "...");
        nvalues++;
    }
}

static void print_title(FILE *f, struct run *const *runs, size_t nruns)
{
    struct bids_name name;
    const char *path = runs[0]->path, *base = base_name(path), *end, *start;

    if (bids_parse(base, &name)) {
        for (size_t i = 0; i < name.nentities; i++) {
            fputs(i > 0 ? " " : "", f);
            print_entity(f, name.entity[i].key, runs, nruns);
        }
    } else if (nruns == 1 || base == path) {
        fprintf(f, "%s", name.stem);
    } else {
        start = end = base - 1; /* the slash */
        while (start > path && start[-1] != '/')
            start--;
        fprintf(f, "%.*s", (int)(end - start), start);
    }
}

static void print_extent(FILE *f, struct run *const *runs, size_t nruns)
{
    int64_t nvol = 0;
    char *doubts; /* NULL without memory: the sidecar has them, too */

    for (size_t i = 0; i < nruns; i++)
        nvol += runs[i]->nifti.nvol;
    fprintf(f, "%zu run%s, %" PRId64 " volumes", nruns, nruns == 1 ? "" : "s", nvol);
    doubts = nruns > 1 ? remarks_brief(runs, nruns) : NULL;
    if (doubts && *doubts)
        fprintf(f, ", %s", doubts);
    free(doubts);
}

/* The output of `print`, malloced and clean; NULL: out of memory. */
static char *printed(runs_print_fn *print, struct run *const *runs, size_t nruns)
{
    char *text = runs_printed(print, runs, nruns);

    if (text)
        utf8_clean(text);
    return text;
}

static char *clean_copy(const char *text)
{
    char *copy = strdup(text);

    if (copy)
        utf8_clean(copy);
    return copy;
}

int caption_new(const struct recipe *recipe, struct run *const *runs, size_t nruns,
                const char *mask, struct caption **out, struct error *err)
{
    struct caption *c = calloc(1, sizeof *c);

    if (c) {
        c->title = printed(print_title, runs, nruns);
        c->extent = printed(print_extent, runs, nruns);
        c->recipe = clean_copy(recipe->name);
        c->description = clean_copy(recipe->description);
        c->expression = clean_copy(recipe->canonical);
        c->unit = unit_of(recipe->expr);
        c->mask = clean_copy(mask ? base_name(mask) : "");
    }
    if (!c || !c->mask || !c->title || !c->extent || !c->recipe || !c->description ||
        !c->expression) {
        if (c)
            caption_free(c);
        return error_set(err, ENOMEM, "%s: out of memory", recipe->name);
    }
    *out = c;
    return 0;
}

void caption_free(struct caption *c)
{
    free(c->title);
    free(c->recipe);
    free(c->description);
    free(c->expression);
    free(c->extent);
    free(c->mask);
    free(c);
}

void caption_add_to_key(const struct caption *c, struct key_builder *b)
{
    key_add_text(b, "title", c->title);
    key_add_text(b, "recipe", c->recipe);
    key_add_text(b, "description", c->description);
    key_add_text(b, "definition", c->expression);
    key_add_text(b, "unit", c->unit);
    key_add_text(b, "extent", c->extent);
    if (*c->mask) /* the head's has nothing: keys of before stay */
        key_add_text(b, "mask", c->mask);
}
