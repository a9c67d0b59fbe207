/* SPDX-License-Identifier: MIT
 *
 * The table of control files.
 */
#include "control.h"

#include <string.h>

static char *version_text(struct engine *e)
{
    (void)e;
    return strdup(DERIVFS_VERSION_TEXT "\n");
}

static const struct {
    const char *name;
    char *(*text)(struct engine *e);
    bool is_public;
} control_files[] = {
    {"status", engine_status_text, false},
    {"status.json", engine_status_json, false},
    {"errors", engine_errors_text, false},
    {"metrics", engine_metrics_text, false},
    {"counters", engine_counters_text, true},
    {"recipes.ini", engine_recipes_text, false},
    {"trace.json", engine_trace_json, false},
    {"version", version_text, true},
    {"index.html", NULL, false},
};

const char *control_name(size_t i)
{
    return i < sizeof control_files / sizeof *control_files ? control_files[i].name : NULL;
}

bool control_is_page(size_t i)
{
    return !control_files[i].text;
}

bool control_is_public(size_t i)
{
    return control_files[i].is_public;
}

char *control_text(struct engine *e, size_t i)
{
    return control_files[i].text(e);
}
