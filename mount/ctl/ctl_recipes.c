/* SPDX-License-Identifier: MIT
 *
 * derivctl recipes: the recipes in force. Computes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "utf8.h"

struct shown {
    const char *file; /* the user's recipes */
    json_t *all;      /* NULL: print them */
};

static const char *origin_of(const struct shown *s, const struct recipe_info *r)
{
    return r->is_builtin ? "built in" : s->file;
}

static void print_recipe(const struct shown *s, const struct recipe_info *r)
{
    ctl_print("%s%s%s\n", r->name, *r->params_text ? "@" : "", r->params_text);
    ctl_print("    %s%s\n", r->is_command ? "command: " : "", r->text);
    if (*r->description)
        ctl_print("    %s\n", r->description);
    ctl_print("    %s%s%s\n", origin_of(s, r), r->is_listed ? ", in listings" : "",
              r->is_series ? ", 4-D" : "");
}

/* An engine_recipe_fn. */
static void show(void *ctx, const struct recipe_info *r)
{
    struct shown *s = ctx;

    if (!s->all) {
        print_recipe(s, r);
        return;
    }
    json_array_append_new(
        s->all, json_pack("{s:o, s:o, s:o, s:s, s:o, s:b, s:b}", "name", utf8_json(r->name),
                          r->is_command ? "command" : "expression", utf8_json(r->text),
                          "description", utf8_json(r->description), "parameters", r->params_text,
                          "from", utf8_json(origin_of(s, r)), "listed", (int)r->is_listed, "series",
                          (int)r->is_series));
}

int ctl_recipes(const struct ctl *ctl)
{
    struct shown s = {.all = NULL};
    struct target t;
    int ret;

    if (ctl->npaths > 1)
        return CTL_USAGE;
    ret = target_open(ctl, ctl->npaths ? ctl->paths[0] : ".", &t);
    if (ret != CTL_OK)
        return ret;
    ret = ctl_check_dir(&t);
    s.file = engine_config(t.engine)->recipes;
    s.all = ctl->json ? json_array() : NULL;
    if (ret == CTL_OK)
        engine_each_recipe(t.engine, show, &s);
    if (s.all)
        ctl_print_json(s.all);
    target_close(&t);
    return ret;
}
