/* SPDX-License-Identifier: MIT
 *
 * All derived files of a directory that one plain name stands for: "tsnr.nii" is the file of every
 * group (echo-1_tsnr.nii) and of every run (sub-01_task-rest_stat-tsnr_boldmap.nii), listed or not.
 *
 * Makes the names that such files would have and looks each of them up, so that there is one place
 * that knows what a name means. Costs a lookup for each group and run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "derived.h"

char *derived_run_name(const struct dir_run *run, const char *recipe, size_t nbytes,
                       const char *ending)
{
    char *made;

    if (asprintf(&made, "%s_stat-%.*s_%s%s", run->entities, (int)nbytes, recipe, run->map_suffix,
                 ending) < 0)
        return NULL;
    return made;
}

/* Add the file called `made`, which is freed, if there is one. */
static int add_file(struct dir_scan *scan, struct recipe_table *table, char *made,
                    struct derived **list, size_t *n, struct error *err)
{
    int ret = made ? derived_lookup(scan, table, made, &list[*n], err)
                   : error_set(err, ENOMEM, "%s: out of memory", scan->dir);

    free(made);
    if (ret == 0)
        ++*n;
    return ret == -ENOENT ? 0 : ret;
}

int derived_named(struct dir_scan *scan, struct recipe_table *table, const char *plain,
                  struct derived ***out, size_t *n, struct error *err)
{
    size_t stem = strcspn(plain, ".");
    int ret = 0;

    *n = 0;
    *out = calloc(scan->ngroups + scan->nruns + 1, sizeof **out);
    if (!*out)
        return error_set(err, ENOMEM, "%s: out of memory", scan->dir);
    output_find(plain, &stem); /* a parameter's value may have a point */
    for (size_t i = 0; ret == 0 && i < scan->ngroups; i++) {
        char *made;

        if (asprintf(&made, "%s%s", scan->groups[i].prefix, plain) < 0)
            made = NULL;
        ret = add_file(scan, table, made, *out, n, err);
    }
    for (size_t i = 0; ret == 0 && i < scan->nruns; i++) {
        char *made = derived_run_name(&scan->runs[i], plain, stem, plain + stem);

        ret = add_file(scan, table, made, *out, n, err);
    }
    if (ret < 0)
        derived_list_free(*out, *n);
    return ret;
}
