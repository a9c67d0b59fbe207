/* SPDX-License-Identifier: MIT
 *
 * The first pass over the rows collects the columns and the groups of equals, the second prints.
 */
#include "table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "headmask.h"
#include "human.h"
#include "json_text.h"
#include "peers.h"
#include "text.h"
#include "utf8.h"

struct table {
    const char *recipe;
    bool is_number;               /* the recipe's result */
    const struct table_row *rows; /* [nrows] */
    size_t nrows;
    const struct joined *joined; /* may be NULL */
    struct columns columns;
    struct peers peers;
};

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

static void print_number(FILE *f, double number, int digits)
{
    fprintf(f, "%s\t", isnan(number) ? "n/a" : human_number(number, digits).text);
}

/* The numbers, and what they mean among equals. */
static void print_numbers(FILE *f, const struct table *t, size_t i)
{
    enum { WHOLE = 15 }; /* digits of a count */
    static const struct numbers none = {NAN, NAN, NAN, NAN, NAN};
    const struct table_row *row = &t->rows[i];
    const struct numbers *n = row->has_numbers ? &row->numbers : &none;
    const struct peer_group *group = row->omitted ? NULL : &t->peers.groups[t->peers.of[i]];

    print_number(f, row->nvol > 0 ? (double)row->nvol : NAN, WHOLE);
    print_number(f, n->median, TABLE_DIGITS);
    if (!t->is_number) {
        print_number(f, n->mean, TABLE_DIGITS);
        print_number(f, n->p05, TABLE_DIGITS);
        print_number(f, n->p95, TABLE_DIGITS);
        print_number(f, n->nvox, WHOLE);
    }
    print_number(f, group ? (double)group->spread.n : NAN, WHOLE);
    print_number(f, group ? outliers_z(&group->spread, n->median) : NAN, TABLE_Z_DIGITS);
    fprintf(f, "%s\t",
            verdict_name(group ? outliers_judge(&group->spread, n->median) : VERDICT_NONE));
}

static void print_row(FILE *f, const struct table *t, size_t i)
{
    const struct table_row *row = &t->rows[i];
    struct bids_name name;
    char cell[BIDS_NAME_MAX];

    bids_parse(base_name(row->path), &name);
    print_text(f, name.codec ? name.stem : base_name(row->path), "\t");
    for (size_t k = 0; k < t->columns.n; k++)
        print_text(f, columns_cell(&t->columns, k, row->path, cell), "\t");
    print_numbers(f, t, i);
    if (!t->is_number)
        print_text(f, row->has_numbers ? row->mask : NULL, "\t");
    print_text(f, row->path, "\t");
    print_text(f, row->reason, "");
    for (size_t k = 0; t->joined && k < t->joined->n; k++) {
        fputc('\t', f);
        print_text(f, t->joined->cells[k][i], "");
    }
    fputc('\n', f);
}

/* What follows the recipe's name in the names of columns. */
static const struct {
    const char *text;
    bool of_image; /* no column of a number */
} endings[] = {
    {"", false},  {"_mean", true},   {"_p05", true}, {"_p95", true},
    {"_n", true}, {"_peers", false}, {"_z", false},  {"_outlier", false},
};

enum { NENDINGS = sizeof endings / sizeof *endings };

static void print_table(FILE *f, const struct table *t)
{
    fputs("bids_name\t", f);
    for (size_t i = 0; i < t->columns.n; i++)
        fprintf(f, "%s\t", t->columns.key[i]);
    fputs("size_t\t", f);
    for (size_t i = 0; i < NENDINGS; i++)
        if (!t->is_number || !endings[i].of_image)
            fprintf(f, "%s%s\t", t->recipe, endings[i].text);
    fprintf(f, "%sfilename\treason", t->is_number ? "" : "mask\t");
    for (size_t i = 0; t->joined && i < t->joined->n; i++) {
        fputc('\t', f);
        print_text(f, t->joined->name[i], "");
    }
    fputc('\n', f);
    for (size_t i = 0; i < t->nrows; i++)
        print_row(f, t, i);
}

int table_text(const struct recipe *recipe, const struct table_row *rows, size_t nrows,
               const struct joined *joined, char **out, struct error *err)
{
    struct table t = {.recipe = recipe->name,
                      .is_number = recipe_is_number(recipe),
                      .rows = rows,
                      .nrows = nrows,
                      .joined = joined};
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);
    int ret = peers_form(rows, nrows, &t.peers, err);

    for (size_t i = 0; i < nrows && ret == 0; i++)
        ret = columns_add(&t.columns, rows[i].path);
    if (f && ret == 0)
        print_table(f, &t);
    columns_clear(&t.columns);
    peers_clear(&t.peers);
    if (f)
        text = text_end(f, &text);
    if (text && ret == 0) {
        *out = text;
        return 0;
    }
    free(text);
    return error_set(err, ENOMEM, "table: out of memory");
}

/* ---- the dictionary ---- */

/* `description` is taken over; NULL: out of memory. */
static bool describe_column(json_t *o, const char *name, const char *ending, char *description)
{
    char *column = NULL;
    bool done = description && asprintf(&column, "%s%s", name, ending) >= 0 &&
                json_object_set_new(o, column, json_pack("{s:s}", "Description", description)) == 0;

    free(column);
    free(description);
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
        bool whole = strcmp(entities[i][0], "sub") == 0 || strcmp(entities[i][0], "ses") == 0;
        char *text;

        if (asprintf(&text, "%s: the run's entity %s, where its name has one%s", entities[i][1],
                     entities[i][0], whole ? ", as the whole identifier" : "") < 0 ||
            !describe_column(o, entities[i][0], "", text))
            return false;
    }
    return true;
}

#define WITHIN " over the finite voxels of the mask"

static bool describe_number(json_t *o, const struct recipe *recipe)
{
    char *clean = strdup(*recipe->description ? recipe->description : recipe->text), *text;

    if (clean)
        utf8_clean(clean);
    if (!clean ||
        asprintf(&text,
                 "%s: %s, where bold is the run; over voxels that are finite, in float64; "
                 "std and var divide by their number less ddof (0 unless given)",
                 clean, recipe->canonical) < 0)
        text = NULL;
    free(clean);
    return describe_column(o, recipe->name, "", text);
}

static bool describe_median(json_t *o, const struct recipe *recipe)
{
    /* MRIQC has a column of this name */
    bool tsnr = strcmp(recipe->name, "tsnr") == 0;
    char *clean = strdup(recipe->description), *text;

    if (clean)
        utf8_clean(clean);
    if (!clean || asprintf(&text, "Median of the run's image%s%s%s" WITHIN ".%s",
                           *clean ? " (" : "", clean, *clean ? ")" : "",
                           tsnr ? " Of the run as it is, with all volumes; "
                                  "MRIQC's tsnr is the median over the brain, after it has removed "
                                  "the volumes before the steady state and realigned the others"
                                : "") < 0)
        text = NULL;
    free(clean);
    return describe_column(o, recipe->name, "", text);
}

static bool describe_image(json_t *o, const struct recipe *recipe)
{
    const char *name = recipe->name;

    return describe_median(o, recipe) && describe_column(o, name, "_mean", strdup("Mean" WITHIN)) &&
           describe_column(o, name, "_p05", strdup("5th percentile" WITHIN)) &&
           describe_column(o, name, "_p95", strdup("95th percentile" WITHIN)) &&
           describe_column(o, name, "_n", strdup("Number of the mask's finite voxels")) &&
           describe_column(o, "mask", "",
                           strdup("Where the numbers are from: the run's brain mask, as a path in "
                                  "the dataset or an expression; or otsu, the head, which is what "
                                  "is brighter than " HEADMASK_DEFINITION
                                  ", with scalp and eyes. Numbers of different kinds of masks do "
                                  "not compare"));
}

static bool describe_verdict(json_t *o, const char *recipe)
{
    static const char peers[] =
        "Number of runs of this table with a median that this one is compared with, itself "
        "included: " PEERS_DEFINITION;
    static const char z[] = "Robust z of the median among them: " OUTLIERS_Z;
    static const char verdict[] =
        "Does the median stand out among them? By two rules: " OUTLIERS_FENCES ", and a robust z "
        "beyond " OUTLIERS_Z_LIMIT ". A median within " OUTLIERS_TENTH
        " of that of the group does not stand out. low, high: by both; low?, high?: by one; too "
        "few: fewer than five runs, not judged";

    return describe_column(o, recipe, "_peers", strdup(peers)) &&
           describe_column(o, recipe, "_z", strdup(z)) &&
           describe_column(o, recipe, "_outlier", strdup(verdict));
}

static bool describe(json_t *o, const struct recipe *recipe)
{
    const char *name = recipe->name;

    return describe_column(o, "bids_name", "",
                           strdup("File name of the run, without its ending")) &&
           describe_entities(o) && describe_column(o, "size_t", "", strdup("Volumes of the run")) &&
           (recipe_is_number(recipe) ? describe_number(o, recipe) : describe_image(o, recipe)) &&
           describe_verdict(o, name) &&
           describe_column(o, "filename", "", strdup("Path of the run in its dataset")) &&
           describe_column(o, "reason", "", strdup("Why the run has no numbers"));
}

char *table_dictionary(const struct recipe *recipe)
{
    json_t *o = json_object();
    char *text = o && describe(o, recipe) ? json_text(o) : NULL;

    json_decref(o);
    return text;
}
