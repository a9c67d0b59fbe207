/* SPDX-License-Identifier: MIT
 *
 * Options, by libfuse's fuse_opt: each works as --name=value and as -o name=value.
 */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

const char options_help[] =
    "    -o cache_dir=DIR       where results live (default: $XDG_CACHE_HOME/derivfs, else\n"
    "                           ~/.cache/derivfs)\n"
    "    -o cache_size=SIZE     least recently used results go above this (default: 10G;\n"
    "                           0: keep nothing on disk)\n"
    "    -o threads=N           compute threads (default: the number of online CPUs)\n"
    "    -o memory=SIZE         ceiling for all compute buffers (default: a quarter of RAM)\n"
    "    -o recipes=FILE        your own derived files (default:\n"
    "                           $XDG_CONFIG_HOME/derivfs/recipes.ini if it exists)\n"
    "    -o layout=LAYOUT       beside: derived files next to their runs (default);\n"
    "                           derivatives: under derivatives/derivfs\n"
    "    -o annex=CHOICE        content of git-annex files that is not here: no: reading\n"
    "                           fails (default); get: fetched by git-annex when it is read\n"
    "    -o xattr               show extended attributes user.derivfs.*\n"
    "    -o log_level=LEVEL     error, warn, info (default) or debug\n"
    "\n"
    "SIZE is a number of bytes, or a number with K, M, G or T (powers of 1024). Every option "
    "works\n"
    "as --name=value too.\n";

#define VALUE(name, member) .templ = name "=%s", .offset = offsetof(struct options, member)
#define BOTH(name, member)                                                                         \
    {VALUE(name, member)},                                                                         \
    {                                                                                              \
        VALUE("--" name, member)                                                                   \
    }

/* As FUSE_OPT_KEY(), whose -1U for an unsigned long clang warns of. */
#define IGNORED .offset = UINT_MAX, .value = FUSE_OPT_KEY_DISCARD

static const struct fuse_opt option_table[] = {
    BOTH("cache_dir", cache_dir),
    BOTH("cache_size", cache_size),
    BOTH("threads", threads),
    BOTH("memory", memory),
    BOTH("recipes", recipes),
    BOTH("layout", layout),
    BOTH("annex", annex),
    BOTH("log_level", log_level_text),
    BOTH("xattr", xattr_text),
    {"xattr", offsetof(struct options, xattr), 1},
    {"--xattr", offsetof(struct options, xattr), 1},
    {"-h", offsetof(struct options, show_help), 1},
    {"--help", offsetof(struct options, show_help), 1},
    {"-V", offsetof(struct options, show_version), 1},
    {"--version", offsetof(struct options, show_version), 1},
    /* for mount(8), systemd and fstab alone; libfuse would refuse them */
    {"defaults", IGNORED},
    {"relatime", IGNORED},
    {"strictatime", IGNORED},
    {"lazytime", IGNORED},
    {"user", IGNORED},
    {"users", IGNORED},
    {"nouser", IGNORED},
    {"owner", IGNORED},
    {"group", IGNORED},
    {"auto", IGNORED},
    {"noauto", IGNORED},
    {"nofail", IGNORED},
    {"_netdev", IGNORED},
    {"rw", IGNORED}, /* the mount is read-only in any case */
    {"x-%s", IGNORED},
    FUSE_OPT_END,
};

/* The path as an absolute one, because a daemon changes to the root directory. It need not exist.
 */
static char *absolute_path(const char *path)
{
    char *cwd, *out = NULL;

    if (path[0] == '/')
        return strdup(path);
    cwd = getcwd(NULL, 0);
    if (!cwd || asprintf(&out, "%s/%s", cwd, path) < 0)
        out = NULL;
    free(cwd);
    return out;
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
    struct options *o = data;

    (void)rest;
    if (key != FUSE_OPT_KEY_NONOPT)
        return 1; /* keep: FUSE's */
    if (!o->dataset)
        o->dataset = absolute_path(arg);
    else if (!o->mountpoint)
        o->mountpoint = absolute_path(arg);
    else
        return -1;
    return 0;
}

int options_parse(struct fuse_args *args, struct options *out, struct error *err)
{
    *out = (struct options){.dataset = NULL};
    if (fuse_opt_parse(args, out, option_table, take_option) < 0)
        return error_set(err, EINVAL, "usage: derivfs [options] DATASET MOUNTPOINT");
    return 0;
}

void options_free(struct options *o)
{
    free(o->dataset);
    free(o->mountpoint);
    free(o->cache_dir);
    free(o->cache_size);
    free(o->threads);
    free(o->memory);
    free(o->recipes);
    free(o->layout);
    free(o->annex);
    free(o->xattr_text);
    free(o->log_level_text);
}

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        *failed = true;
    return copy;
}

int options_copy(const struct options *from, struct options *out)
{
    bool failed = false;

    *out = (struct options){
        .cache_dir = copy_text(from->cache_dir, &failed),
        .cache_size = copy_text(from->cache_size, &failed),
        .threads = copy_text(from->threads, &failed),
        .memory = copy_text(from->memory, &failed),
        .recipes = copy_text(from->recipes, &failed),
        .layout = copy_text(from->layout, &failed),
        .annex = copy_text(from->annex, &failed),
    };
    if (!failed)
        return 0;
    options_free(out);
    *out = (struct options){.dataset = NULL};
    return -ENOMEM;
}

static int parse_size(const char *name, const char *text, uint64_t *out, struct error *err)
{
    static const char units[] = "KMGT";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;

    if (unit && *unit) {
        value = ldexp(value, 10 * (int)(unit - units + 1));
        end++;
        if (*end == 'i')
            end++;
    }
    if (*end == 'B')
        end++;
    if (end == text || *end || !(value >= 0 && value < 0x1p63))
        return error_set(err, EINVAL, "%s=%s: expected a size such as 512M or 10G", name, text);
    *out = (uint64_t)value;
    return 0;
}

/* $VARIABLE/rest, else $HOME/fallback/rest. malloced; NULL if neither variable is set. */
static char *xdg_path(const char *variable, const char *fallback, const char *rest)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    char *path = NULL;

    if (base && base[0] == '/') {
        if (asprintf(&path, "%s/%s", base, rest) < 0)
            return NULL;
    } else if (home && home[0] == '/') {
        if (asprintf(&path, "%s/%s/%s", home, fallback, rest) < 0)
            return NULL;
    }
    return path;
}

static int resolve_paths(struct options *o, struct error *err)
{
    char *path;

    if (o->cache_dir) {
        path = absolute_path(o->cache_dir);
        free(o->cache_dir);
        o->cache_dir = path;
    } else {
        o->cache_dir = xdg_path("XDG_CACHE_HOME", ".cache", "derivfs");
        if (!o->cache_dir)
            o->cache_dir = strdup("/var/cache/derivfs"); /* mount(8) at boot has no HOME */
    }
    if (o->recipes) {
        path = absolute_path(o->recipes);
        free(o->recipes);
        o->recipes = path;
        if (path && access(path, R_OK) < 0)
            return error_set(err, EINVAL, "recipes=%s: %s", path, strerror(errno));
    } else {
        o->recipes = xdg_path("XDG_CONFIG_HOME", ".config", "derivfs/recipes.ini");
        o->engine.recipes_optional = true; /* there may be one later */
    }
    if (!o->cache_dir)
        return error_set(err, ENOMEM, "out of memory");
    o->engine.dataset = o->dataset;
    o->engine.cache_dir = o->cache_dir;
    o->engine.recipes = o->recipes;
    return 0;
}

static int resolve_numbers(struct options *o, struct error *err)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
    long threads = sysconf(_SC_NPROCESSORS_ONLN);
    char *end;
    int ret;

    o->engine.cache_nbytes = UINT64_C(10) << 30;
    if (o->cache_size) {
        ret = parse_size("cache_size", o->cache_size, &o->engine.cache_nbytes, err);
        if (ret < 0)
            return ret;
    }
    if (o->memory) {
        ret = parse_size("memory", o->memory, &memory, err);
        if (ret < 0)
            return ret;
    }
    o->engine.memory_nbytes = (size_t)memory;
    if (o->threads) {
        threads = strtol(o->threads, &end, 10);
        if (end == o->threads || *end || threads < 1 || threads > 1024)
            return error_set(err, EINVAL, "threads=%s: expected a number from 1 to 1024",
                             o->threads);
    }
    o->engine.nthreads = threads > 0 ? (unsigned)threads : 1;
    return 0;
}

static int resolve_choice(const char *name, const char *text, const char *const *choices, int *out,
                          struct error *err)
{
    char known[128] = "";

    for (int i = 0; choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return 0;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "",
                 choices[i]);
    }
    return error_set(err, EINVAL, "%s=%s: expected one of %s", name, text, known);
}

static int resolve_choices(struct options *o, struct error *err)
{
    static const char *const layouts[] = {
        [LAYOUT_BESIDE] = "beside", [LAYOUT_DERIVATIVES] = "derivatives", NULL};
    static const char *const annexes[] = {"no", "get", NULL};
    static const char *const levels[] = {[LOG_LEVEL_ERROR] = "error",
                                         [LOG_LEVEL_WARN] = "warn",
                                         [LOG_LEVEL_INFO] = "info",
                                         [LOG_LEVEL_DEBUG] = "debug",
                                         NULL};
    static const char *const switches[] = {"off", "on", "no", "yes", "0", "1", NULL};
    int choice = 0, ret = 0;

    if (o->layout)
        ret = resolve_choice("layout", o->layout, layouts, &choice, err);
    o->engine.layout = (enum engine_layout)choice;
    choice = 0;
    if (ret == 0 && o->annex)
        ret = resolve_choice("annex", o->annex, annexes, &choice, err);
    o->engine.annex_get = choice == 1;
    choice = LOG_LEVEL_INFO;
    if (ret == 0 && o->log_level_text)
        ret = resolve_choice("log_level", o->log_level_text, levels, &choice, err);
    o->log_level = (enum log_level)choice;
    if (ret == 0 && o->xattr_text) {
        ret = resolve_choice("xattr", o->xattr_text, switches, &choice, err);
        o->xattr = choice % 2;
    }
    return ret;
}

int options_resolve(struct options *o, struct error *err)
{
    int ret = resolve_paths(o, err);

    if (ret == 0)
        ret = resolve_numbers(o, err);
    if (ret == 0)
        ret = resolve_choices(o, err);
    return ret;
}
