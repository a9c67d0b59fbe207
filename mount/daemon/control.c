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
} control_files[] = {
    {"status", engine_status_text},
    {"status.json", engine_status_json},
    {"errors", engine_errors_text},
    {"metrics", engine_metrics_text},
    {"recipes.ini", engine_recipes_text},
    {"trace.json", engine_trace_json},
    {"version", version_text},
    {"index.html", NULL},
};

const char *control_name(size_t i)
{
    return i < sizeof control_files / sizeof *control_files ? control_files[i].name : NULL;
}

bool control_is_page(size_t i)
{
    return !control_files[i].text;
}

char *control_text(struct engine *e, size_t i)
{
    return control_files[i].text(e);
}
