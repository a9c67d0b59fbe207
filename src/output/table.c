/* SPDX-License-Identifier: MIT
 *
 * The first pass over the names collects the entities that have columns. A new key is inserted
 * after the one before it in its name: the columns have the order of BIDS even if the first names
 * lack some. Costs a look at every name and column.
 */
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bids.h"
#include "headmask.h"
#include "json_text.h"
#include "text.h"
#include "utf8.h"

enum { KEYS_MAX = 64 };

struct keys {
    char *list[KEYS_MAX]; /* [n] owned, in the order of the columns */
    size_t n;
};

/* The index of `key`; keys->n: not found. */
static size_t find_key(const struct keys *keys, const char *key)
{
    size_t at = 0;

    while (at < keys->n && strcmp(keys->list[at], key) != 0)
        at++;
    return at;
}

static bool add_key(struct keys *keys, size_t at, const char *key)
{
    char *copy = strdup(key);

    if (!copy)
        return false;
    memmove(keys->list + at + 1, keys->list + at, (keys->n - at) * sizeof *keys->list);
    keys->list[at] = copy;
    keys->n++;
    return true;
}

static bool collect_keys(struct keys *keys, const char *path)
{
    struct bids_name name;
    size_t next = 0;

    if (!bids_parse(base_name(path), &name))
        return true;
    for (size_t i = 0; i < name.nentities; i++) {
        size_t at = find_key(keys, name.entity[i].key);

        if (at == keys->n && keys->n < KEYS_MAX) {
            at = next;
            if (!add_key(keys, at, name.entity[i].key))
                return false;
        }
        next = at < keys->n ? at + 1 : keys->n;
    }
    return true;
}

/* ---- cells ---- */

/* Print a cell, which may have any bytes, and the text after it. */
static void print_text(FILE *f, const char *text, const char *after)
{
    for (const char *at = text && *text ? text : "n/a"; *at;) {
        size_t n = utf8_clean_nbytes(at);

        if (n == 0)
            fputc('?', f);
        else
            fwrite(at, 1, n, f);
        at += n > 0 ? n : 1;
    }
    fputs(after, f);
}

static void print_number(FILE *f, double number)
{
    if (isnan(number))
        fputs("n/a\t", f);
    else
        fprintf(f, "%.9g\t", number);
}

/* The label of "sub-02", a link to a subject, say. */
static const char *label_of(const char *name, const char *key)
{
    size_t n = strlen(key);

    return strncmp(name, key, n) == 0 && name[n] == '-' && !strpbrk(name, "_.") ? name + n + 1
                                                                                : NULL;
}

static void print_row(FILE *f, const struct keys *keys, const struct table_row *row)
{
    struct numbers n = row->numbers;
    struct bids_name name;
    bool is_bids = bids_parse(base_name(row->path), &name);

    print_text(f, name.codec ? name.stem : base_name(row->path), "\t");
    for (size_t i = 0; i < keys->n; i++)
        print_text(f,
                   is_bids ? bids_value(&name, keys->list[i])
                           : label_of(base_name(row->path), keys->list[i]),
                   "\t");
    if (row->reason)
        n = (struct numbers){NAN, NAN, NAN, NAN, NAN};
    print_number(f, row->nvol > 0 ? (double)row->nvol : NAN);
    print_number(f, n.median);
    print_number(f, n.mean);
    print_number(f, n.p05);
    print_number(f, n.p95);
    print_number(f, n.nvox);
    print_text(f, row->path, "\t");
    print_text(f, row->reason, "\n");
}

static void print_table(FILE *f, const char *recipe, const struct keys *keys,
                        const struct table_row *rows, size_t nrows)
{
    fputs("bids_name\t", f);
    for (size_t i = 0; i < keys->n; i++)
        fprintf(f, "%s\t", keys->list[i]);
    fprintf(f, "size_t\t%s\t%s_mean\t%s_p05\t%s_p95\t%s_n\tfilename\treason\n", recipe, recipe,
            recipe, recipe, recipe);
    for (size_t i = 0; i < nrows; i++)
        print_row(f, keys, &rows[i]);
}

char *table_text(const char *recipe, const struct table_row *rows, size_t nrows)
{
    struct keys keys = {.n = 0};
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);
    bool all = f;

    for (size_t i = 0; i < nrows && all; i++)
        all = collect_keys(&keys, rows[i].path);
    if (all)
        print_table(f, recipe, &keys, rows, nrows);
    for (size_t i = 0; i < keys.n; i++)
        free(keys.list[i]);
    if (f)
        text = text_end(f, &text);
    if (all)
        return text;
    free(text);
    return NULL;
}

/* ---- the dictionary ---- */

static bool describe_column(json_t *o, const char *recipe, const char *ending,
                            const char *description)
{
    char *name = NULL;
    json_t *column;
    bool done;

    if (asprintf(&name, "%s%s", recipe, ending) < 0)
        return false;
    column = json_pack("{s:s}", "Description", description);
    done = json_object_set_new(o, name, column) == 0;
    free(name);
    return done;
}

/* The entities of functional runs in BIDS. The dictionary lists all of them, used or not, so that
 * its size needs no look at the names. */
static bool describe_entities(json_t *o)
{
    static const char *const entities[][2] = {
        {"sub", "Subject"},
        {"ses", "Session"},
        {"task", "Task"},
        {"acq", "Acquisition parameters"},
        {"ce", "Contrast agent"},
        {"rec", "Reconstruction"},
        {"dir", "Phase encoding direction"},
        {"run", "Index among repeated runs"},
        {"echo", "Index of the echo"},
        {"part", "Part of the complex signal"},
        {"space", "Space of the image"},
        {"res", "Resolution of the image"},
        {"desc", "Description that tells variants apart"},
    };

    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) {
        char text[96];

        snprintf(text, sizeof text, "%s: the run's entity %s, where its name has one",
                 entities[i][1], entities[i][0]);
        if (!describe_column(o, entities[i][0], "", text))
            return false;
    }
    return true;
}

bool table_describe(json_t *o, const char *recipe)
{
#define WITHIN                                                                                     \
    " over the head's finite voxels; the head is what is brighter than " HEADMASK_DEFINITION

    return describe_column(o, "bids_name", "", "File name of the run, without its ending") &&
           describe_entities(o) && describe_column(o, "size_t", "", "Volumes of the run") &&
           describe_column(o, recipe, "", "Median of the run's image" WITHIN) &&
           describe_column(o, recipe, "_mean", "Mean" WITHIN) &&
           describe_column(o, recipe, "_p05", "5th percentile" WITHIN) &&
           describe_column(o, recipe, "_p95", "95th percentile" WITHIN) &&
           describe_column(o, recipe, "_n", "Number of the head's finite voxels") &&
           describe_column(o, "filename", "", "Path of the run in its dataset") &&
           describe_column(o, "reason", "", "Why the run has no numbers");
#undef WITHIN
}

char *table_dictionary(const char *recipe)
{
    json_t *o = json_object();
    char *text = o && table_describe(o, recipe) ? json_text(o) : NULL;

    json_decref(o);
    return text;
}
