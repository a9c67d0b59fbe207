/* SPDX-License-Identifier: MIT
 *
 * The three texts. Names of recipes have no character that is special in .bidsignore (a gitignore
 * pattern), so they need no escaping.
 */
#include "description.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "text.h"
#include "utf8.h"

static char *dataset_json(const char *dataset, const char *raw)
{
    const char *base = base_name(dataset);
    char *name, *text;
    json_t *o;

    if (asprintf(&name, "Derived images of %s", *base ? base : dataset) < 0)
        return NULL;
    utf8_clean(name);
    o = json_pack("{s:s, s:s, s:s, s:[{s:s, s:s, s:s}], s:{s:s}}", "Name", name, "BIDSVersion",
                  "1.11.2", "DatasetType", "derivative", "GeneratedBy", "Name", "derivfs",
                  "Version", DERIVFS_VERSION, "Description",
                  "statistics over time of functional runs, by recipes", "DatasetLinks",
                  DESCRIPTION_RAW, raw);
    text = json_text(o);
    json_decref(o);
    free(name);
    return text;
}

static const char readme[] =
    "derivfs " DERIVFS_VERSION
    " has derived these images from the functional runs of the dataset that DatasetLinks in\n"
    "dataset_description.json calls \"" DESCRIPTION_RAW
    "\". The sidecar of each (.json) has the expression, its\n"
    "definition and the runs that it is made of. \"joined\" in desc: the runs in Sources, joined "
    "in "
    "time.\n\n"
    "The entity stat and the suffix boldmap are those of a draft, BIDS extension proposal 12 "
    "(BEP012,\n"
    "functional derivatives). BIDS does not have them yet: .bidsignore names them, for the "
    "validator.\n";

static char *ignore_text(const struct recipe_table *table)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    fputs("# not in BIDS yet: the entity stat, and the suffixes boldmap and cbvmap (draft BEP012)\n"
          "**/*_stat-*_boldmap.*\n**/*_stat-*_cbvmap.*\n# tables of all runs\ngroup_*\n"
          "# other names of images of joined runs\n",
          f);
    for (size_t i = 0; i < table->nrecipes; i++) {
        const struct recipe *r = &table->recipes[i];
        const char *ending = r->command ? "" : ".*";

        fprintf(f, "**/%s%s\n**/*_%s%s\n", r->name, ending, r->name, ending);
        if (r->nparams > 0)
            fprintf(f, "**/%s@*\n**/*_%s@*\n", r->name, r->name);
    }
    return text_end(f, &text);
}

static const char *const names[] = {"dataset_description.json", "README", ".bidsignore"};

const char *description_name(size_t i)
{
    return i < sizeof names / sizeof *names ? names[i] : NULL;
}

int description_text(const char *name, const char *dataset, const char *raw,
                     const struct recipe_table *table, char **out, struct error *err)
{
    if (strcmp(name, names[0]) == 0)
        *out = dataset_json(dataset, raw);
    else if (strcmp(name, names[1]) == 0)
        *out = strdup(readme);
    else if (strcmp(name, names[2]) == 0)
        *out = ignore_text(table);
    else
        return error_set(err, ENOENT, "%s: no such file", name);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}
