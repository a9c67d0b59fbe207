/* SPDX-License-Identifier: MIT
 *
 * derivctl list: what there is. Computes nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "utf8.h"

static json_t *shape_json(const struct derived *d)
{
    const int64_t *dim;

    if (!d->first || d->recipe->command)
        return json_null();
    dim = d->first->nifti.dim;
    if (d->recipe->expr->rank == EXPR_SERIES)
        return json_pack("[I, I, I, I]", (json_int_t)dim[0], (json_int_t)dim[1], (json_int_t)dim[2],
                         (json_int_t)d->nvol);
    return json_pack("[I, I, I]", (json_int_t)dim[0], (json_int_t)dim[1], (json_int_t)dim[2]);
}

static json_t *sources_json(const struct derived *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->nruns; i++)
        json_array_append_new(list, utf8_json(d->runs[i]->path));
    return list;
}

json_t *ctl_summary_json(const struct target *t, const struct found *f)
{
    struct derived_status status;
    json_t *o;

    target_status(t, f->derived, f->path, &status);
    o = json_pack("{s:o, s:s, s:o, s:I, s:o}", "path", utf8_json(f->path), "state",
                  derived_state_name(status.state), "shape", shape_json(f->derived), "bytes",
                  (json_int_t)engine_derived_nbytes(t->engine, f->derived), "sources",
                  sources_json(f->derived));
    if (status.state == STATE_FAILED)
        json_object_set_new(o, "error", utf8_json(status.error.text));
    return o;
}

static void print_summary(const struct target *t, const struct found *f)
{
    struct derived_status status;
    char shape[128] = "?";

    target_status(t, f->derived, f->path, &status);
    if (f->derived->recipe->command) {
        snprintf(shape, sizeof shape, "-");
    } else if (f->derived->first) {
        const int64_t *dim = f->derived->first->nifti.dim;

        int n = snprintf(shape, sizeof shape, "%" PRId64 "x%" PRId64 "x%" PRId64, dim[0], dim[1],
                         dim[2]);

        if (f->derived->recipe->expr->rank == EXPR_SERIES)
            snprintf(shape + n, sizeof shape - (size_t)n, "x%" PRId64, f->derived->nvol);
    }
    ctl_print("%-9s %-12s %3zu run%s  %s\n", derived_state_name(status.state), shape,
              f->derived->nruns, f->derived->nruns == 1 ? " " : "s", f->path);
}

int ctl_list(const struct ctl *ctl)
{
    struct target t;
    struct found *list;
    size_t n;
    int ret;

    if (ctl->npaths > 1)
        return CTL_USAGE;
    ret = target_open_files(ctl, ctl->npaths ? ctl->paths[0] : ".", &t, &list, &n);
    if (ret != CTL_OK)
        return ret;
    if (ctl->json) {
        json_t *all = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(all, ctl_summary_json(&t, &list[i]));
        ctl_print_json(all);
    } else {
        for (size_t i = 0; i < n; i++)
            print_summary(&t, &list[i]);
    }
    target_close_files(&t, list, n);
    return ret;
}
