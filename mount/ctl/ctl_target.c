/* SPDX-License-Identifier: MIT
 *
 * From a PATH on the command line to a dataset and a path in its tree.
 *
 * In a mount of derivfs, the daemon's own settings (.derivfs/status.json) are taken, so that
 * derivctl finds the same cache and the same recipes. Elsewhere the dataset is the nearest
 * directory upwards that has a dataset_description.json, or the file's own directory.
 */
#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
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

/* The path with links resolved as far as it exists: a derived file exists in a mount only, and with
 * layout=derivatives its directory too. malloced. */
static char *canonical_path(const char *path, struct error *err)
{
    char *out = realpath(path, NULL), *prefix = strdup(path);

    while (!out && prefix && *prefix && errno == ENOENT) {
        size_t n = cut_last(prefix);
        char *exists = realpath(n > 0 ? prefix : ".", NULL);

        if (exists && asprintf(&out, "%s/%s", strcmp(exists, "/") ? exists : "", path + n) < 0)
            out = NULL;
        free(exists);
    }
    free(prefix);
    if (!out)
        error_set(err, errno, "open: %s", strerror(errno));
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

/* The derivfs mount that `path` is in; malloced, NULL: none. */
static char *find_mount(const char *path)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char *found = NULL;
    struct mntent *m;

    if (!mounts)
        return NULL;
    while ((m = getmntent(mounts)))
        if (strcmp(m->mnt_type, "fuse.derivfs") == 0 && below(path, m->mnt_dir) &&
            (!found || strlen(m->mnt_dir) >= strlen(found))) {
            free(found);
            found = strdup(m->mnt_dir);
        }
    endmntent(mounts);
    return found;
}

/* The nearest directory upwards from the file's own that is a dataset. Changes `dir`. */
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

static char *copy_text(const json_t *object, const char *name)
{
    return utf8_of_json(json_object_get(object, name));
}

/* What the command line leaves open is taken from the mount. */
static void take_mount_settings(struct target *t)
{
    struct options *o = &t->options;
    const json_t *cache = json_object_get(t->status, "cache");

    o->dataset = copy_text(t->status, "dataset");
    if (!o->cache_dir)
        o->cache_dir = copy_text(cache, "dir");
    if (!o->layout)
        o->layout = copy_text(t->status, "layout");
    if (!o->annex)
        o->annex = copy_text(t->status, "annex");
    if (!o->recipes)
        o->recipes = copy_text(t->status, "recipes");
    if (!o->cache_size &&
        asprintf(&o->cache_size, "%lld",
                 (long long)json_integer_value(json_object_get(cache, "max_bytes"))) < 0)
        o->cache_size = NULL;
}

static int locate(struct target *t, char *path, struct error *err)
{
    char *mountpoint = find_mount(path), *file = NULL;
    struct stat st;
    bool hidden;

    if (mountpoint) {
        json_error_t why;

        t->path = strdup(below(path, mountpoint));
        if (asprintf(&file, "%s/.derivfs/status.json", mountpoint) >= 0)
            t->status = json_load_file(file, 0, &why);
        free(file);
        if (asprintf(&file, "%s/.derivfs/trace.json", mountpoint) >= 0)
            t->trace = json_load_file(file, 0, NULL);
        free(file);
        if (t->status)
            take_mount_settings(t);
        hidden = t->options.dataset && strcmp(t->options.dataset, mountpoint) == 0;
        free(mountpoint);
        if (!t->path || !t->status)
            return error_set(err, EIO, "status: the mount's cannot be read: %s", why.text);
        if (hidden)
            return error_set(err, EBUSY,
                             "open: the dataset is hidden beneath its own mount; read the file "
                             "itself, or .derivfs/status, or mount elsewhere");
        return 0;
    }
    t->options.dataset = strdup(path);
    if (!t->options.dataset)
        return error_set(err, ENOMEM, "out of memory");
    while (*t->options.dataset && (stat(t->options.dataset, &st) < 0 || !S_ISDIR(st.st_mode)))
        *strrchr(t->options.dataset, '/') = '\0';
    if (!*t->options.dataset)
        strcpy(t->options.dataset, "/");
    find_dataset(t->options.dataset);
    t->path = strdup(below(path, t->options.dataset));
    return t->path ? 0 : error_set(err, ENOMEM, "out of memory");
}

static void say_problem(void *ctx, const char *text)
{
    (void)ctx;
    ctl_say("%s", text);
}

int target_open(const struct ctl *ctl, const char *path, struct target *out)
{
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    char *canonical = canonical_path(path, &err);
    int ret = canonical ? 0 : -err.code;
    bool bad_option = false;

    *out = (struct target){.asked = path};
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
        ctl_complain(path, &err);
        return bad_option ? CTL_USAGE : CTL_FAILED;
    }
    /* a mistake in the recipes is why a file that one looks for is not there */
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

void target_status(const struct target *t, const struct derived *d, const char *path,
                   struct derived_status *out)
{
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
    json_array_foreach(json_object_get(t->status, "tasks"), i, item)
    {
        const char *key = json_string_value(json_object_get(item, "key"));

        if (key && strcmp(key, out->key.hex) == 0)
            out->state = STATE_COMPUTING;
    }
}

/* How the mount's daemon has fared with the task: the longest run, and the last outcome. */
static bool find_runs(const struct target *t, const struct key *key, int64_t *longest_ns,
                      const char **outcome)
{
    const json_t *item;
    size_t i;

    *longest_ns = 0;
    *outcome = NULL;
    json_array_foreach(json_object_get(t->trace, "traceEvents"), i, item)
    {
        const json_t *args = json_object_get(item, "args");
        const char *name = json_string_value(json_object_get(args, "key"));
        int64_t span_ns = json_integer_value(json_object_get(item, "dur")) * 1000;

        if (!name || strcmp(name, key->hex) != 0)
            continue;
        *outcome = json_string_value(json_object_get(args, "outcome"));
        *longest_ns = span_ns > *longest_ns ? span_ns : *longest_ns;
    }
    return *outcome;
}

/* Is the mount's daemon at work on it? */
static bool find_at_work(const struct target *t, const struct key *key, struct task_status *out)
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

void target_task_status(const struct target *t, const struct key *key, struct task_status *out)
{
    const char *outcome;
    int64_t longest_ns;
    bool has_run = find_runs(t, key, &longest_ns, &outcome);

    engine_task_status(t->engine, key, out);
    if (out->state == TASK_CACHED)
        out->took_ns = longest_ns;
    else if (!find_at_work(t, key, out) && has_run && strcmp(outcome, "failed") == 0)
        out->state = TASK_FAILED;
}

void found_free(struct found *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        derived_put(list[i].derived);
        free(list[i].path);
    }
    free(list);
}

int found_add(struct engine *e, const char *dir, const char *plain, struct found **list, size_t *n,
              struct error *err)
{
    struct derived **files;
    struct found *grown;
    size_t nfiles;
    int ret = engine_list_derived(e, dir, plain, &files, &nfiles, err);

    if (ret < 0)
        return ret;
    grown = realloc(*list, (*n + nfiles + 1) * sizeof *grown);
    *list = grown ? grown : *list;
    for (size_t i = 0; i < nfiles && grown; i++) {
        char *path;

        if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", derived_info(files[i]).name) < 0)
            grown = NULL;
        else
            grown[(*n)++] = (struct found){derived_get(files[i]), path};
    }
    derived_list_free(files, nfiles);
    return grown ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int complain_of(const struct target *t, const char *operation, struct error *err)
{
    error_wrap(err, -err->code, "%s", operation);
    return ctl_complain(t->asked, err);
}

/* What a list of files is being put in. */
struct finding {
    struct found *list; /* [n] */
    size_t n;
};

/* An engine_row_fn. */
static int add_row(void *ctx, struct derived *d, char *path)
{
    struct finding *f = ctx;
    struct found *grown = realloc(f->list, (f->n + 1) * sizeof *grown);

    if (!grown) {
        derived_put(d);
        free(path);
        return -ENOMEM;
    }
    f->list = grown;
    grown[f->n++] = (struct found){d, path};
    return 0;
}

static int find_rows(const struct target *t, struct found **out, size_t *n, struct error *err)
{
    struct finding f = {.list = NULL};
    const char *name;
    char *dir;
    int ret = split_path(t->path, &dir, &name);

    if (ret == 0) {
        ret = engine_each_row(t->engine, dir, name, add_row, &f, err);
        free(dir);
    }
    *out = f.list;
    *n = f.n;
    return ret == -ENOMEM ? error_set(err, ENOMEM, "out of memory") : ret;
}

bool target_is_table(const struct target *t)
{
    struct entry entry;
    struct error err;
    bool is_table = engine_lookup_path(t->engine, t->path, &entry, &err) == 0;

    if (!is_table)
        return false;
    is_table = entry.kind == ENTRY_TABLE;
    entry_clear(&entry);
    return is_table;
}

/* The derived files that target->path means. Where that fails, *out is still to be freed. */
static int find_files(const struct target *t, struct found **out, size_t *n)
{
    struct entry entry;
    struct error err;
    int ret = engine_lookup_path(t->engine, t->path, &entry, &err);

    *n = 0;
    *out = NULL;
    if (ret == 0 && entry.kind == ENTRY_DERIVED) {
        *out = calloc(1, sizeof **out);
        if (!*out) {
            derived_put(entry.derived);
            error_set(&err, ENOMEM, "out of memory");
            return complain_of(t, "look up", &err);
        }
        (*out)[0] = (struct found){entry.derived, strdup(t->path)};
        *n = 1;
        return CTL_OK;
    }
    if (ret == 0)
        entry_clear(&entry);
    if (ret == 0 && S_ISDIR(entry.st.st_mode))
        ret = found_add(t->engine, t->path, NULL, out, n, &err);
    else if (ret == 0 && entry.kind == ENTRY_TABLE)
        ret = find_rows(t, out, n, &err);
    else if (ret == 0)
        ret = error_set(&err, EINVAL, "a file of the dataset, not a derived one");
    if (ret == -ENOENT)
        error_set(&err, ENOENT, "no such file, nor a derived one");
    return ret < 0 ? complain_of(t, "look up", &err) : CTL_OK;
}

int ctl_with_files(const struct ctl *ctl, const char *path, ctl_files_fn *fn)
{
    struct target t;
    struct found *list;
    size_t n;
    int ret = target_open(ctl, path, &t);

    if (ret != CTL_OK)
        return ret;
    ret = find_files(&t, &list, &n);
    if (ret == CTL_OK)
        ret = fn(ctl, &t, list, n);
    found_free(list, n);
    target_close(&t);
    return ret;
}
