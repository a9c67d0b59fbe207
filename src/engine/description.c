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
#include "path.h"
#include "text.h"
#include "utf8.h"

static char *dataset_json(const char *dataset, const struct recipe_table *table)
{
    const char *base = base_name(dataset);
    char *name, *text;
    json_t *o;

    (void)table;
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

static char *readme_text(const char *dataset, const struct recipe_table *table)
{
    (void)dataset;
    (void)table;
    return strdup("These images are derived from the runs of the dataset two levels above by "
                  "derivfs\n" DERIVFS_VERSION
                  ", which computes them when they are first read. The sidecar of "
                  "each (.json)\nhas the expression, its definition and the runs that it is made "
                  "of. Group images, such as\ntsnr.nii, are of all runs of a directory joined in "
                  "time.\n");
}

static char *ignore_text(const char *dataset, const struct recipe_table *table)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    (void)dataset;
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

static const struct {
    const char *name;
    char *(*text)(const char *dataset, const struct recipe_table *table);
} files[] = {
    {"dataset_description.json", dataset_json},
    {"README", readme_text},
    {".bidsignore", ignore_text},
};

const char *description_name(size_t i)
{
    return i < sizeof files / sizeof *files ? files[i].name : NULL;
}

int description_text(const char *name, const char *dataset, const struct recipe_table *table,
                     char **out, struct error *err)
{
    for (size_t i = 0; description_name(i); i++)
        if (strcmp(name, files[i].name) == 0) {
            *out = files[i].text(dataset, table);
            return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", name);
        }
    return error_set(err, ENOENT, "%s: no such file", name);
}
