/* SPDX-License-Identifier: MIT
 *
 * An export is a dataset of its own: not the runs' one, nor one that another program has written.
 */
#include "export_place.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sink.h"
#include "text.h"

bool export_has_text(const char *path, const char *text)
{
    size_t n = strlen(text);
    char *there = malloc(n + 2);
    FILE *f = there ? fopen(path, "re") : NULL;
    bool same = f && fread(there, 1, n + 1, f) == n && memcmp(there, text, n) == 0;

    if (f)
        fclose(f);
    free(there);
    return same;
}

int export_make_parents(const char *path, struct error *err)
{
    char *dir = strdup(path);
    int ret = 0;

    if (!dir)
        return error_set(err, ENOMEM, "%s: out of memory", path);
    for (char *slash = dir; ret == 0 && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(dir, 0777) < 0 && errno != EEXIST)
            ret = error_set(err, errno, "%s: create: %s", dir, strerror(errno));
        *slash = '/';
    }
    free(dir);
    return ret;
}

/* The part of `path` below `dir`; NULL: it is not in there. */
static const char *below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (strncmp(path, dir, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path + n + (path[n] == '/');
}

/* Would the next look at the dataset take the export for a part of it? */
static bool is_among_runs(const char *inside)
{
    static const char *const others[] = {"derivatives/", "sourcedata/", "code/", "."};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(inside, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

/* The name of the program that made the dataset `dest`; NULL: it is none, or does not say. */
static json_t *maker_of(const char *dest)
{
    char *path = join_path(dest, "dataset_description.json");
    json_t *description = path ? json_load_file(path, 0, NULL) : NULL;
    json_t *maker =
        json_object_get(json_array_get(json_object_get(description, "GeneratedBy"), 0), "Name");

    if (description && !maker)
        maker = json_string("another program");
    else
        json_incref(maker);
    json_decref(description);
    free(path);
    return maker;
}

/* `top` and `place` are the real paths. */
static int check(const struct target *t, const char *dest, const char *top, const char *place)
{
    const char *inside = below(place, top);
    json_t *maker = maker_of(dest);
    const char *name = json_string_value(maker);
    int ret = CTL_OK;

    if (inside && is_among_runs(inside))
        ret =
            ctl_say("%s: export: it is in the dataset, among the runs: choose %s/derivatives/NAME, "
                    "or a directory elsewhere",
                    dest, t->options.dataset);
    else if (name && strcmp(name, "derivfs") != 0)
        ret = ctl_say("%s: export: there is a dataset of %s already: choose an empty directory",
                      dest, name);
    json_decref(maker);
    return ret;
}

/* The real path of what is there already, and the rest. malloced. */
static char *real_place(const char *dest)
{
    char *path = realpath(dest, NULL), *up = NULL;
    const char *name = base_name(dest);

    if (path || errno != ENOENT || !*dest)
        return path;
    if (name == dest)
        up = strdup(".");
    else
        up = strndup(dest, name == dest + 1 ? 1 : (size_t)(name - dest - 1));
    if (up && !*name) { /* dest ends with a slash */
        path = real_place(up);
    } else if (up) {
        char *parent = real_place(up);

        path = parent ? join_path(strcmp(parent, "/") == 0 ? "" : parent, name) : NULL;
        free(parent);
    }
    free(up);
    return path;
}

int export_check(const struct target *t, const char *dest)
{
    char *top = realpath(t->options.dataset, NULL), *place = real_place(dest);
    struct error err;
    int ret;

    if (!top || !place)
        ret = ctl_say("%s: export: %s", dest, strerror(errno));
    else
        ret = check(t, dest, top, place);
    free(top);
    free(place);
    if (ret == CTL_OK && export_make_parents(dest, &err) < 0)
        ret = ctl_say("%s", err.text);
    if (ret == CTL_OK && mkdir(dest, 0777) < 0 && errno != EEXIST)
        ret = ctl_say("%s: create: %s", dest, strerror(errno));
    return ret;
}

/* The URI of the runs' dataset as seen from `dest`: relative if the export is in it. malloced. */
static char *raw_uri(const struct target *t, const char *dest)
{
    char *top = realpath(t->options.dataset, NULL), *place = realpath(dest, NULL);
    const char *inside = top && place ? below(place, top) : NULL;
    char *uri = NULL;
    size_t nbytes;
    FILE *f = top && place ? open_memstream(&uri, &nbytes) : NULL;

    if (f && inside)
        for (const char *c = inside; c; c = strchr(c, '/') ? strchr(c, '/') + 1 : NULL)
            fputs("../", f);
    if (f && !inside)
        fputs("file://", f);
    for (const char *c = top; f && !inside && *c; c++)
        if (isascii((unsigned char)*c) && (isalnum((unsigned char)*c) || strchr("-._~/", *c)))
            fputc(*c, f);
        else
            fprintf(f, "%%%02X", (unsigned char)*c);
    free(top);
    free(place);
    return f ? text_end(f, &uri) : NULL;
}

int export_describe(const struct target *t, const char *dest)
{
    char *raw = raw_uri(t, dest), *text;
    const char *name;
    int ret = raw ? CTL_OK : ctl_say("%s: export: %s", dest, strerror(errno));

    for (size_t i = 0; ret == CTL_OK && (name = engine_description(t->engine, i, raw, &text));
         i++) {
        char *path = join_path(dest, name);
        struct error err;

        if (!path || !text)
            ret = ctl_say("%s: export: out of memory", dest);
        else if (!export_has_text(path, text) && sink_put(path, text, strlen(text), &err) < 0)
            ret = ctl_say("%s", err.text);
        free(path);
        free(text);
    }
    free(raw);
    return ret;
}
