/* SPDX-License-Identifier: MIT
 *
 * derivctl list: the derived files of a directory. Computes nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "utf8.h"

static json_t *shape_json(const struct derived_info *info)
{
    json_t *list = info->ndim > 0 ? json_array() : json_null();

    for (int i = 0; i < info->ndim; i++)
        json_array_append_new(list, json_integer((json_int_t)info->shape[i]));
    return list;
}

static json_t *sources_json(const struct derived *d, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, utf8_json(derived_source(d, i)));
    return list;
}

static json_t *inputs_json(const struct derived *d)
{
    json_t *list = json_array();

    for (size_t i = 0; derived_input(d, i); i++)
        json_array_append_new(list, utf8_json(derived_input(d, i)));
    return list;
}

json_t *ctl_summary_json(const struct target *t, const struct found *f,
                         struct derived_status *status)
{
    struct derived_info info = derived_info(f->derived);
    json_t *o;

    target_status(t, f->derived, f->path, status);
    o = json_pack("{s:o, s:s, s:o, s:I, s:o}", "path", utf8_json(f->path), "state",
                  derived_state_name(status->state), "shape", shape_json(&info), "bytes",
                  (json_int_t)engine_derived_nbytes(t->engine, f->derived), "sources",
                  sources_json(f->derived, info.nsources));
    if (derived_input(f->derived, 0))
        json_object_set_new(o, "inputs", inputs_json(f->derived));
    if (status->state == STATE_FAILED)
        json_object_set_new(o, "error", utf8_json(status->error.text));
    return o;
}

static void print_summary(const struct target *t, const struct found *f)
{
    struct derived_info info = derived_info(f->derived);
    struct derived_status status;
    char shape[128];
    int n = 0;

    snprintf(shape, sizeof shape, info.is_command ? "-" : "?");
    target_status(t, f->derived, f->path, &status);
    for (int i = 0; i < info.ndim; i++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%" PRId64, i > 0 ? "x" : "",
                      info.shape[i]);
    ctl_print("%-9s %-12s %3zu run%s  %s", derived_state_name(status.state), shape, info.nsources,
              info.nsources == 1 ? " " : "s", f->path);
    for (size_t i = 0; derived_input(f->derived, i); i++)
        ctl_print("%s%s", i > 0 ? ", " : "  with ", derived_input(f->derived, i));
    printf("\n");
}

/* Print the files, or add them to `all`. */
static void show_files(const struct target *t, const struct found_list *list, json_t *all)
{
    struct derived_status status;

    for (size_t i = 0; i < list->n; i++)
        if (all)
            json_array_append_new(all, ctl_summary_json(t, &list->files[i], &status));
        else
            print_summary(t, &list->files[i]);
}

static int list_files(const struct ctl *ctl, const struct target *t, const struct found_list *list)
{
    json_t *all = ctl->json ? json_array() : NULL;

    show_files(t, list, all);
    if (list->n == 0 || target_is_dir(t))
        ctl_show_remarks(t, all, true);
    if (all)
        ctl_print_json(all);
    return CTL_OK;
}

/* ---- -r ---- */

struct tree_list {
    const struct target *target;
    json_t *all;
    size_t nshown;
    int ret;
};

/* A visitor's enter(). */
static int list_dir(void *ctx, const char *dir, struct error *err)
{
    struct tree_list *l = ctx;
    struct target here = *l->target;
    struct found_list list = {.files = NULL};
    int ret = found_add(here.engine, dir, NULL, &list, err);

    here.path = (char *)dir;
    if (ret == 0) {
        show_files(&here, &list, l->all);
        l->nshown += list.n + ctl_show_remarks(&here, l->all, false);
    }
    found_free(&list);
    return ret;
}

/* A visitor's failed(). */
static int say_failed(void *ctx, const char *dir, struct error *err)
{
    struct tree_list *l = ctx;

    l->ret = ctl_say("%s: list: %s", *dir ? dir : l->target->asked, err->text);
    return err->code == ENOMEM ? -ENOMEM : 0;
}

static int list_tree(const struct ctl *ctl, const char *path)
{
    struct tree_list list = {.ret = CTL_OK};
    struct walk_visitor v = {.enter = list_dir, .failed = say_failed, .ctx = &list};
    struct target t;
    struct error err;
    int ret = target_open(ctl, path, &t);

    if (ret != CTL_OK)
        return ret;
    list.target = &t;
    list.all = ctl->json ? json_array() : NULL;
    if (!target_is_dir(&t))
        list.ret = ctl_say("%s: list: not a directory; -r needs one", path);
    else if (engine_walk(t.engine, t.path, &v, &err) < 0)
        list.ret = ctl_say("%s: list: %s", path, err.text);
    else if (list.nshown == 0)
        ctl_say_why_missing(&t, true);
    if (list.all)
        ctl_print_json(list.all);
    target_close(&t);
    return list.ret;
}

int ctl_list(const struct ctl *ctl)
{
    const char *path = ctl->npaths ? ctl->paths[0] : ".";

    if (ctl->npaths > 1)
        return CTL_USAGE;
    return ctl->recursive ? list_tree(ctl, path) : ctl_with_files(ctl, path, list_files);
}
