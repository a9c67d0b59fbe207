/* SPDX-License-Identifier: MIT
 *
 * The table of attributes.
 */
#include "describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *describe_array(const struct derived *d)
{
    const int64_t *dim;
    struct parts parts;
    char *text;
    int n;

    if (d->nvol == 0)
        return NULL;
    dim = d->first->nifti.dim;
    if (d->recipe->expr->rank != EXPR_SERIES) {
        n = asprintf(&text,
                     "float32 (%" PRId64 ", %" PRId64 ", %" PRId64 ") chunks (%" PRId64 ", %" PRId64
                     ", %" PRId64 ")",
                     dim[0], dim[1], dim[2], dim[0], dim[1], derived_is_by_slices(d) ? 1 : dim[2]);
        return n < 0 ? NULL : text;
    }
    derived_parts(d, &parts);
    n = asprintf(&text,
                 "float32 (%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 ") chunks (%" PRId64
                 ", %" PRId64 ", %" PRId64 ", %" PRId64 ")",
                 dim[0], dim[1], dim[2], d->nvol, dim[0], dim[1], dim[2], parts.nvol);
    return n < 0 ? NULL : text;
}

static char *describe_sources(const struct derived *d)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    for (size_t i = 0; i < d->nruns; i++)
        fprintf(f, "%s%s", i > 0 ? "\n" : "", d->runs[i]->path);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static char *attribute_state(const struct derived *d, const struct derived_status *s)
{
    (void)d;
    return strdup(derived_state_name(s->state));
}

static char *attribute_progress(const struct derived *d, const struct derived_status *s)
{
    char *text;

    (void)d;
    return asprintf(&text, "%.0f", s->percent) < 0 ? NULL : text;
}

static char *attribute_recipe(const struct derived *d, const struct derived_status *s)
{
    (void)s;
    return strdup(d->recipe->name);
}

static char *attribute_expression(const struct derived *d, const struct derived_status *s)
{
    (void)s;
    return strdup(d->recipe->text);
}

static char *attribute_array(const struct derived *d, const struct derived_status *s)
{
    (void)s;
    return describe_array(d);
}

static char *attribute_sources(const struct derived *d, const struct derived_status *s)
{
    (void)s;
    return describe_sources(d);
}

static char *attribute_key(const struct derived *d, const struct derived_status *s)
{
    (void)d;
    return s->key.hex[0] ? strdup(s->key.hex) : NULL;
}

static char *attribute_error(const struct derived *d, const struct derived_status *s)
{
    (void)d;
    return s->state == STATE_FAILED ? strdup(s->error.text) : NULL;
}

static const struct {
    const char *name;
    char *(*value)(const struct derived *d, const struct derived_status *s);
} attributes[] = {
    {"state", attribute_state},   {"progress", attribute_progress},
    {"recipe", attribute_recipe}, {"expression", attribute_expression},
    {"array", attribute_array},   {"sources", attribute_sources},
    {"key", attribute_key},       {"error", attribute_error},
};

const char *describe_attribute_name(size_t i)
{
    return i < sizeof attributes / sizeof *attributes ? attributes[i].name : NULL;
}

char *describe_attribute(struct engine *e, const struct derived *d, const char *path,
                         const char *name)
{
    struct derived_status status;

    for (size_t i = 0; describe_attribute_name(i); i++)
        if (strcmp(attributes[i].name, name) == 0) {
            engine_derived_status(e, d, path, &status);
            return attributes[i].value(d, &status);
        }
    return NULL;
}
