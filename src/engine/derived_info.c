/* SPDX-License-Identifier: MIT
 *
 * Derived files as callers of the engine see them.
 */
#include "derived.h"

#include <errno.h>
#include <stdlib.h>

#include "remarks.h"
#include "unit.h"

struct derived_info derived_info(const struct derived *d)
{
    const struct recipe *recipe = d->recipe;
    bool is_drawing = d->format->kind == OUTPUT_DRAWING;
    struct derived_info info = {
        .name = d->name,
        .recipe = recipe->name,
        .text = recipe->text,
        .description = recipe->description,
        .unit = recipe->expr ? unit_of(recipe->expr) : "",
        .is_command = recipe->command,
        .drawing = is_drawing ? d->format->extension + 1 : NULL,
        .is_wrong = d->error.code != 0,
        .nbytes = d->nbytes,
        .version = d->version,
        .nsources = d->nruns,
    };
    struct parts parts;

    derived_parts(d, &parts);
    info.nparts = parts.n;
    if (!d->first || recipe->command)
        return info;
    if (recipe_is_number(recipe))
        return info;
    info.ndim = recipe_is_series(d->recipe) ? 4 : 3;
    for (int i = 0; i < 3; i++)
        info.shape[i] = d->first->nifti.dim[i];
    info.shape[3] = d->nvol;
    return info;
}

bool derived_is_image(const struct derived *d)
{
    size_t stem;
    const struct output_format *format = output_find(d->name, &stem);

    return format == &output_nii || format == &output_nii_gz;
}

const char *derived_source(const struct derived *d, size_t i)
{
    return d->runs[i]->path;
}

/* Is it the file of an input or run before? */
static bool is_listed_before(const struct derived *d, size_t input, size_t run)
{
    const struct run *file = d->inputs.list[input].files[run];

    for (size_t i = 0; i <= input; i++)
        for (size_t k = 0; k < (i < input ? d->inputs.list[i].nruns : run); k++)
            if (d->inputs.list[i].files[k] == file)
                return true;
    return false;
}

const struct run *derived_input_file(const struct derived *d, size_t n)
{
    for (size_t i = 0; i < d->inputs.n; i++)
        for (size_t k = 0; k < d->inputs.list[i].nruns; k++)
            if (d->inputs.list[i].files[k] && !is_listed_before(d, i, k) && n-- == 0)
                return d->inputs.list[i].files[k];
    return NULL;
}

const char *derived_input(const struct derived *d, size_t i)
{
    const struct run *file = derived_input_file(d, i);

    return file ? file->path : NULL;
}

uint64_t derived_dir_nbytes(const struct derived *d)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->scan->nruns; i++)
        sum += d->scan->runs[i].run->id.size;
    return sum;
}

struct array_desc derived_array_desc(const struct derived *d)
{
    struct array_desc n = {
        .dtype = "float32", .ndim = recipe_is_series(d->recipe) ? 4 : 3, .shape[3] = d->nvol};
    struct parts parts;

    if (recipe_is_number(d->recipe))
        return (struct array_desc){.dtype = "float64"};
    derived_parts(d, &parts);
    for (int i = 0; i < 3; i++)
        n.shape[i] = n.chunks[i] = d->first->nifti.dim[i];
    n.chunks[3] = parts.nvol;
    return n;
}

char *derived_array(const struct derived *d)
{
    struct array_desc n;
    struct graph *slice;

    if (d->nvol == 0)
        return NULL;
    n = derived_array_desc(d);
    if (n.ndim == 3 &&
        derived_plan(d, (struct plan_extent){PLAN_SLICES, 0, 1}, 0, &slice, NULL) == 0) {
        n.chunks[2] = 1;
        graph_put(slice);
    }
    return array_desc_text(&n, true);
}

struct remarks_of {
    const struct derived *d;
    remark_fn *fn;
    void *ctx;
};

static bool is_of_group(const struct derived *d)
{
    for (size_t i = 0; i < d->scan->nruns; i++)
        if (d->runs == &d->scan->runs[i].run)
            return false;
    return true;
}

static int pass_text(const struct remarks_of *of, enum remark_kind kind, char *text)
{
    const char *path = *of->d->scan->dir.path ? of->d->scan->dir.path : ".";
    int ret = text ? 0 : -ENOMEM;

    if (text && *text)
        ret = of->fn(of->ctx, &(struct remark){kind, path, text});
    free(text);
    return ret;
}

int derived_remarks(const struct derived *d, remark_fn *fn, void *ctx)
{
    struct remarks_of of = {d, fn, ctx};
    int ret;

    if (!is_of_group(d))
        return 0;
    ret = pass_text(&of, REMARK_DOUBT, remarks_doubts(d->runs, d->nruns));
    if (ret == 0)
        ret = pass_text(&of, REMARK_RULE, remarks_rule(d->runs, d->nruns));
    /* those on groups are made above, for the file's own runs */
    return ret == 0 ? remarks_visit(d->scan, REMARKS(OMITTED), fn, ctx) : ret;
}
