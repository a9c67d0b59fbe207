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

static char *dataset_json(const char *dataset)
{
    const char *base = base_name(dataset);
    char *name, *text;
    json_t *o;

    if (asprintf(&name, "Derived images of %s", *base ? base : dataset) < 0)
        return NULL;
    utf8_clean(name);
    o = json_pack("{s:s, s:s, s:s, s:[{s:s, s:s, s:s}], s:{s:s}}", "Name", name, "BIDSVersion",
                  "1.10.0", "DatasetType", "derivative", "GeneratedBy", "Name", "derivfs",
                  "Version", DERIVFS_VERSION, "Description",
                  "computed from the runs when first read", "DatasetLinks", DESCRIPTION_RAW,
                  "../../");
    text = json_text(o);
    json_decref(o);
    free(name);
    return text;
}

static const char readme[] =
    "These images are derived from the runs of the dataset two levels above by "
    "derivfs\n" DERIVFS_VERSION
    ", which computes them when they are first read. The sidecar of each (.json)\n"
    "has the expression, its definition and the runs that it is made of. Group images, such as\n"
    "tsnr.nii, are of all runs of a directory joined in time.\n";

static char *ignore_text(const struct recipe_table *table)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    fputs("# the entity stat, and the suffixes boldmap and cbvmap\n"
          "**/*_stat-*_boldmap.*\n**/*_stat-*_cbvmap.*\n# of joined runs\n",
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

int description_text(const char *name, const char *dataset, const struct recipe_table *table,
                     char **out, struct error *err)
{
    if (strcmp(name, names[0]) == 0)
        *out = dataset_json(dataset);
    else if (strcmp(name, names[1]) == 0)
        *out = strdup(readme);
    else if (strcmp(name, names[2]) == 0)
        *out = ignore_text(table);
    else
        return error_set(err, ENOENT, "%s: no such file", name);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
}
