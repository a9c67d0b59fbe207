/* SPDX-License-Identifier: MIT
 *
 * From a PATH on the command line to a dataset and a path in its tree.
 *
 * In a mount, derivctl takes the settings of the daemon (.derivfs/status.json), so that it uses the
 * same cache and recipes. Elsewhere the dataset is the nearest parent directory with a
 * dataset_description.json, or the file's own directory.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "grow.h"
#include "mounts.h"
#include "suggest.h"
#include "text.h"
#include "utf8.h"

int split_path(const char *path, char **dir, const char **name)
{
    const char *slash = strrchr(path, '/');

    *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    *name = slash ? slash + 1 : path;
    return *dir ? 0 : -ENOMEM;
}

/* Cut the last part off: "a/b/" and "a/b" become "a/", "b" becomes "". Returns the length. */
static size_t cut_last(char *path)
{
    size_t n = strlen(path);

    while (n > 0 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    path[n] = '\0';
    return n;
}

/* Resolve links in the part of the path that exists: a derived file, and with layout=derivatives
 * its directory, exist in a mount only. malloced. */
static char *canonical_path(const char *path, struct error *err)
{
    char *out = mount_realpath(path, err), *prefix = strdup(path);

    while (!out && prefix && *prefix && err->code == ENOENT) {
        size_t n = cut_last(prefix);
        char *exists = mount_realpath(n > 0 ? prefix : ".", err);

        if (exists && asprintf(&out, "%s/%s", strcmp(exists, "/") ? exists : "", path + n) < 0)
            out = NULL;
        free(exists);
    }
    free(prefix);
    if (!out)
        error_wrap(err, -ENOENT, "open");
    for (size_t n = out ? strlen(out) : 0; n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return out;
}

/* The rest of `path` below `top`, or NULL. */
static const char *below(const char *path, const char *top)
{
    size_t n = strlen(top);

    if (strcmp(top, "/") == 0)
        return path + 1;
    if (strncmp(path, top, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

/* Shorten `dir` to its nearest parent that is a dataset, if there is one. */
static void find_dataset(char *dir)
{
    char marker[PATH_MAX];

    for (size_t n = strlen(dir); n > 0; n--) {
        if (dir[n] != '/' && dir[n] != '\0')
            continue;
        if (snprintf(marker, sizeof marker, "%.*s/dataset_description.json", (int)n, dir) <
                (int)sizeof marker &&
            access(marker, F_OK) == 0) {
            dir[n] = '\0';
            return;
        }
    }
}

/* Take a setting that the command line does not give from the mount. */
static void take_setting(struct target *t, enum option_id option, const json_t *object,
                         const char *name)
{
    char **text = &t->options.text[option];
    const json_t *value = json_object_get(object, name);

    if (!*text && !json_is_integer(value))
        *text = utf8_of_json(value);
    else if (!*text && asprintf(text, "%lld", (long long)json_integer_value(value)) < 0)
        *text = NULL;
}

/* The same for an option that may have several values. */
static int take_settings(struct target *t, enum option_id option, const json_t *values)
{
    const json_t *value;
    size_t i;
    int ret = 0;

    if (t->options.text[option])
        return 0;
    json_array_foreach((json_t *)values, i, value)
    {
        char *text = json_is_integer(value) ? NULL : utf8_of_json(value);

        if (json_is_integer(value) &&
            asprintf(&text, "%lld", (long long)json_integer_value(value)) < 0)
            text = NULL;
        if (ret == 0)
            ret = text ? options_set(&t->options, option, text) : -ENOMEM;
        free(text);
    }
    return ret;
}

static int locate_in_mount(struct target *t, const char *path, const struct mount_point *m,
                           struct error *err)
{
    const json_t *cache;

    t->path = strdup(below(path, m->dir));
    t->status = mount_json(m, "status.json", err);
    if (!t->status)
        return error_wrap(err, -EIO, "status");
    t->trace = mount_json(m, "trace.json", NULL);
    cache = json_object_get(t->status, "cache");
    take_setting(t, OPTION_CACHE_DIR, cache, "dir");
    take_setting(t, OPTION_CACHE_SIZE, cache, "max_bytes");
    take_setting(t, OPTION_LAYOUT, t->status, "layout");
    take_setting(t, OPTION_ANNEX, t->status, "annex");
    take_setting(t, OPTION_TRUST_IDS, t->status, "trust_ids");
    t->options.engine.session = json_string_value(json_object_get(t->status, "session"));
    take_setting(t, OPTION_JOIN, t->status, "join");
    take_setting(t, OPTION_RECIPES, t->status, "recipes");
    if (take_settings(t, OPTION_CACHE_FROM, json_object_get(t->status, "cache_from")) < 0 ||
        take_settings(t, OPTION_CACHE_FROM_OWNER, json_object_get(t->status, "cache_from_owner")) <
            0)
        return error_set(err, ENOMEM, "out of memory");
    t->options.dataset = utf8_of_json(json_object_get(t->status, "dataset"));
    if (t->options.dataset && strcmp(t->options.dataset, m->dir) == 0)
        return error_set(err, EBUSY,
                         "open: the mount hides its own dataset; read the file itself, or "
                         ".derivfs/status, or mount elsewhere");
    return 0;
}

static int locate_in_dataset(struct target *t, const char *path, struct error *err)
{
    char *dataset = strdup(path);
    struct stat st;

    if (!dataset)
        return error_set(err, ENOMEM, "out of memory");
    t->options.dataset = dataset;
    while (*dataset && (stat(dataset, &st) < 0 || !S_ISDIR(st.st_mode)))
        *strrchr(dataset, '/') = '\0';
    if (!*dataset)
        strcpy(dataset, "/");
    find_dataset(dataset);
    t->path = strdup(below(path, dataset));
    return 0;
}

static int locate(struct target *t, const char *path, struct error *err)
{
    struct mount_point m;
    int ret = mount_of(path, &m, err);

    if (ret < 0)
        return error_wrap(err, ret, "open");
    ret = m.dir ? locate_in_mount(t, path, &m, err) : locate_in_dataset(t, path, err);
    free(m.dir);
    return ret == 0 && !t->path ? error_set(err, ENOMEM, "out of memory") : ret;
}

static void say_problem(void *ctx, const char *text)
{
    (void)ctx;
    ctl_say_lines(text);
}

int target_open(const struct ctl *ctl, const char *path, struct target *out)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    char *canonical = canonical_path(path, &err);
    int ret = canonical ? 0 : -err.code;
    bool bad_option = false;

    *out = (struct target){.asked = path, .with = ctl->with};
    if (ret == 0)
        ret = options_copy(&ctl->options, &out->options);
    if (ret == 0)
        ret = locate(out, canonical, &err);
    free(canonical);
    if (ret == 0) {
        ret = options_resolve(&out->options, &err);
        bad_option = ret == -EINVAL;
    }
    if (ret == 0)
        ret = engine_open(&out->options.engine, &out->engine, &err);
    if (ret < 0) {
        target_close(out);
        ctl_say("%s: %s", path, err.text);
        return bad_option ? CTL_USAGE : CTL_FAILED;
    }
    /* a mistake in the recipes may be why a file is missing */
    engine_recipe_problems(out->engine, say_problem, NULL);
    return CTL_OK;
}

void target_close(struct target *t)
{
    engine_close(t->engine);
    options_free(&t->options);
    json_decref(t->status);
    json_decref(t->trace);
    free(t->path);
}

/* Is the task in the mount's daemon, running or queued? */
static bool find_active(const struct target *t, const struct key *key, struct task_status *out)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(t->status, "tasks"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "key"));
        const char *state = json_string_value(json_object_get(item, "state"));
        double work = json_number_value(json_object_get(item, "work_bytes"));
        double done = json_number_value(json_object_get(item, "done_bytes"));

        if (!name || !state || strcmp(name, key->hex) != 0)
            continue;
        out->state = strcmp(state, "running") == 0 ? TASK_RUNNING : TASK_QUEUED;
        out->percent = work > 0 ? 100 * done / work : -1;
        return true;
    }
    return false;
}

void target_status(const struct target *t, const struct derived *d, const char *path,
                   struct derived_status *out)
{
    struct task_status task;
    const json_t *item;
    size_t i;

    engine_derived_status(t->engine, d, path, out);
    if (out->state == STATE_CACHED)
        return;
    json_array_foreach(json_object_get(t->status, "errors"), i, item)
    {
        char *where = utf8_of_json(json_object_get(item, "path"));
        char *why = utf8_of_json(json_object_get(item, "error"));

        if (where && why && strcmp(where, path) == 0) {
            out->state = STATE_FAILED;
            error_set(&out->error, EIO, "%s", why);
        }
        free(where);
        free(why);
    }
    if (find_active(t, &out->key, &task))
        out->state = STATE_COMPUTING;
}

/* The outcome of the task's last run in the mount's daemon, NULL: none; and its longest run. */
static const char *last_outcome(const struct target *t, const struct key *key, int64_t *longest_ns)
{
    const char *outcome = NULL;
    const json_t *item;
    size_t i;

    *longest_ns = 0;
    json_array_foreach(json_object_get(t->trace, "traceEvents"), i, item)
    {
        const json_t *args = json_object_get(item, "args");
        const char *name = json_string_value(json_object_get(args, "key"));
        int64_t span_ns = json_integer_value(json_object_get(item, "dur")) * 1000;

        if (!name || strcmp(name, key->hex) != 0)
            continue;
        outcome = json_string_value(json_object_get(args, "outcome"));
        *longest_ns = span_ns > *longest_ns ? span_ns : *longest_ns;
    }
    return outcome;
}

void target_task_status(const struct target *t, const struct key *key, struct task_status *out)
{
    int64_t longest_ns;
    const char *outcome = last_outcome(t, key, &longest_ns);

    engine_task_status(t->engine, key, out);
    if (out->state == TASK_CACHED)
        out->took_ns = longest_ns;
    else if (!find_active(t, key, out) && outcome && strcmp(outcome, "failed") == 0)
        out->state = TASK_FAILED;
}

void found_free(struct found_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        derived_put(list->files[i].derived);
        free(list->files[i].path);
    }
    free(list->files);
    *list = (struct found_list){.files = NULL};
}

/* An engine_row_fn: append to the struct found_list `ctx`. Takes over both, also on failure. `path`
 * NULL: out of memory. */
static int append(void *ctx, struct derived *d, char *path)
{
    struct found_list *list = ctx;

    if (path && GROW(list->files, list->n) == 0) {
        list->files[list->n++] = (struct found){d, path};
        return 0;
    }
    derived_put(d);
    free(path);
    return -ENOMEM;
}

int found_add(struct engine *e, const char *dir, const char *plain, struct found_list *list,
              struct error *err)
{
    struct derived **files;
    size_t nfiles;
    int ret = engine_list_derived(e, dir, plain, &files, &nfiles, err);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < nfiles && ret == 0; i++)
        ret = append(list, derived_get(files[i]), join_path(dir, derived_info(files[i]).name));
    derived_list_free(files, nfiles);
    return ret < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

static int find_rows(const struct target *t, struct found_list *out, struct error *err)
{
    const char *name;
    char *dir;
    int ret = split_path(t->path, &dir, &name);

    if (ret == 0) {
        ret = engine_each_row(t->engine, dir, name, append, out, err);
        free(dir);
    }
    return ret == -ENOMEM ? error_set(err, ENOMEM, "out of memory") : ret;
}

bool target_is_table(const struct target *t)
{
    struct entry entry;

    if (engine_lookup_path(t->engine, t->path, &entry, NULL) < 0)
        return false;
    entry_clear(&entry);
    return entry.kind == ENTRY_TABLE;
}

/* A remark_fn. */
static int is_about(void *path, const struct remark *r)
{
    return strcmp(path, r->path) == 0;
}

/* Is there something to be said of a file of the dataset? */
static bool is_remarked(const struct target *t)
{
    const char *name;
    char *dir;
    bool found = false;

    if (split_path(t->path, &dir, &name) == 0) {
        found = engine_remarks(t->engine, dir, is_about, t->path, NULL) > 0;
        free(dir);
    }
    return found;
}

/* The derived files that target->path means. If it fails, *out is still to be freed. */
static int find_files(const struct target *t, struct found_list *out, struct error *err)
{
    struct entry entry;
    int ret = engine_lookup_path(t->engine, t->path, &entry, err);

    if (ret == -ENOENT)
        return error_set(err, ENOENT, "no such file, nor a derived one");
    if (ret < 0)
        return ret;
    if (entry.kind == ENTRY_DERIVED)
        return append(out, entry.derived, strdup(t->path)) < 0
                   ? error_set(err, ENOMEM, "out of memory")
                   : 0;
    entry_clear(&entry);
    if (S_ISDIR(entry.st.st_mode))
        return found_add(t->engine, t->path, NULL, out, err);
    if (entry.kind == ENTRY_TABLE)
        return find_rows(t, out, err);
    if (entry.kind == ENTRY_SOURCE && is_remarked(t))
        return 0;
    return error_set(err, EINVAL, "a file of the dataset, not a derived one");
}

int ctl_find_files(const struct target *t, struct found_list *out)
{
    struct error err;
    const char *name;
    char *dir = NULL, *guess = NULL;
    int ret;

    *out = (struct found_list){.files = NULL};
    if (find_files(t, out, &err) == 0)
        return CTL_OK;
    if (err.code == ENOENT && split_path(t->path, &dir, &name) == 0)
        guess = suggest_file(t, dir, name);
    ret = ctl_say("%s: look up: %s%s%s%s", t->asked, err.text, guess ? " (did you mean " : "",
                  guess ? guess : "", guess ? "?)" : "");
    if (err.code == ENOENT)
        ctl_say_why_missing(t, false);
    free(guess);
    free(dir);
    return ret;
}

int ctl_with_files(const struct ctl *ctl, const char *path, ctl_files_fn *fn)
{
    struct found_list list;
    struct target t;
    int ret = target_open(ctl, path, &t);

    if (ret != CTL_OK)
        return ret;
    ret = ctl_find_files(&t, &list);
    if (ret == CTL_OK)
        ret = fn(ctl, &t, &list);
    found_free(&list);
    target_close(&t);
    return ret;
}
