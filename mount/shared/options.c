/* SPDX-License-Identifier: MIT
 *
 * libfuse's fuse_opt parses --name=value and -o name=value.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "text.h"

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

const char options_help[] =
    "    -o cache_dir=DIR       directory for results (default: $XDG_CACHE_HOME/derivfs, else\n"
    "                           ~/.cache/derivfs)\n"
    "    -o cache_size=SIZE     maximum size of the cache; least recently used results are "
    "removed\n"
    "                           first (default: 10G; 0: keep nothing on disk)\n"
    "    -o cache_from=DIR      read results from this cache, too; never write to it (may be "
    "given\n"
    "                           more than once)\n"
    "    -o cache_from_owner=USER\n"
    "                           trust caches of this user, too, not only root's and your own (may\n"
    "                           be given more than once)\n"
    "    -o threads=N           compute threads (default: the number of online CPUs)\n"
    "    -o memory=SIZE         maximum size of all compute buffers (default: a quarter of RAM)\n"
    "    -o recipes=FILE        your own derived files (default:\n"
    "                           $XDG_CONFIG_HOME/derivfs/recipes.ini if it exists)\n"
    "    -o layout=LAYOUT       beside: derived files next to their runs (default);\n"
    "                           derivatives: under derivatives/derivfs\n"
    "    -o annex=CHOICE        absent content of git-annex files: no: reading fails (default);\n"
    "                           get: git-annex fetches it first\n"
    "    -o trust_ids=LIST      file systems whose inode numbers and times identify a file for "
    "good,\n"
    "                           besides those known to be: types and paths, separated by colons\n"
    "    -o join=CHOICE         runs without BIDS names: alike: joined if names differ only in a\n"
    "                           run number (default); all: joined if their grids agree\n"
    "    -o engine=NAME         batch system that computes what takes long: slurm, pbs, sge, sh, "
    "or a\n"
    "                           section of $XDG_CONFIG_HOME/derivfs/engines.ini\n"
    "    -o submit_above=SECONDS\n"
    "                           what takes less is computed here (default: 30)\n"
    "    -o submit_jobs=N       jobs at a time (default: 50)\n"
    "    -o xattr               show extended attributes user.derivfs.*\n"
    "    -o log_level=LEVEL     error, warn, info (default) or debug\n"
    "\n"
    "SIZE is a number of bytes, or a number with K, M, G or T (powers of 1024). Each option also\n"
    "works as --name=value.\n";

const char *const option_names[OPTION_NTEXTS] = {
    [OPTION_CACHE_DIR] = "cache_dir",
    [OPTION_CACHE_SIZE] = "cache_size",
    [OPTION_CACHE_FROM] = "cache_from",
    [OPTION_CACHE_FROM_OWNER] = "cache_from_owner",
    [OPTION_THREADS] = "threads",
    [OPTION_MEMORY] = "memory",
    [OPTION_RECIPES] = "recipes",
    [OPTION_LAYOUT] = "layout",
    [OPTION_ANNEX] = "annex",
    [OPTION_TRUST_IDS] = "trust_ids",
    [OPTION_JOIN] = "join",
    [OPTION_ENGINE] = "engine",
    [OPTION_SUBMIT_ABOVE] = "submit_above",
    [OPTION_SUBMIT_JOBS] = "submit_jobs",
    [OPTION_XATTR] = "xattr",
    [OPTION_LOG_LEVEL] = "log_level",
};

/* Options without a value; take_option() gets the others. */
static const struct fuse_opt flags[] = {
    {"xattr", offsetof(struct options, xattr), 1},
    {"--xattr", offsetof(struct options, xattr), 1},
    {"allow_other", offsetof(struct options, shared), 1},
    FUSE_OPT_KEY("allow_other", FUSE_OPT_KEY_KEEP), /* libfuse's too */
    {"nosymfollow", offsetof(struct options, nosymfollow), 1},
    {"max_read=%u", offsetof(struct options, max_read), 0},
    FUSE_OPT_KEY("max_read=", FUSE_OPT_KEY_KEEP),
    {"-h", offsetof(struct options, show_help), 1},
    {"--help", offsetof(struct options, show_help), 1},
    {"-V", offsetof(struct options, show_version), 1},
    {"--version", offsetof(struct options, show_version), 1},
    FUSE_OPT_END,
};

/* Options that only mount(8), systemd and fstab understand, those about times of access and
 * messages, and rw, which has no effect. libfuse would refuse them. */
static bool is_ignored(const char *name)
{
    static const char *const names[] = {
        "defaults",   "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime",
        "nolazytime", "diratime", "nodiratime", "silent",      "loud",          "symfollow",
        "user",       "users",    "nouser",     "nousers",     "owner",         "noowner",
        "group",      "nogroup",  "auto",       "noauto",      "nofail",        "_netdev",
        "rw",         "iversion", "noiversion", "mand",        "nomand",        "nonempty",
    };
    static const char *const starts[] = {"x-", "X-", "helper=", "uhelper=", "comment=", "user="};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Make the path absolute, because a daemon changes to the root directory. It need not exist. NULL:
 * out of memory. */
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

static bool has_several(enum option_id option)
{
    return option == OPTION_CACHE_FROM || option == OPTION_CACHE_FROM_OWNER;
}

int options_set(struct options *o, enum option_id option, const char *value)
{
    char *before = o->text[option];

    if (!before || !has_several(option))
        o->text[option] = strdup(value);
    else if (asprintf(&o->text[option], "%s\n%s", before, value) < 0)
        o->text[option] = NULL;
    free(before);
    return o->text[option] ? 0 : -ENOMEM;
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
    const char *name = strncmp(arg, "--", 2) == 0 ? arg + 2 : arg;
    struct options *o = data;

    (void)rest;
    if (key == FUSE_OPT_KEY_NONOPT) {
        char **place = o->dataset ? &o->mountpoint : &o->dataset;

        if (*place)
            return -1;
        *place = absolute_path(arg);
        return 0;
    }
    for (enum option_id i = 0; i < OPTION_NTEXTS; i++) {
        size_t n = strlen(option_names[i]);

        if (strncmp(name, option_names[i], n) == 0 && name[n] == '=')
            return options_set(o, i, name + n + 1);
    }
    return is_ignored(arg) ? 0 : 1; /* 1: leave it to FUSE */
}

/* Is it the option `name`, whatever is between its words? Then copy that name over it. */
static bool spell(char *arg, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (arg[i] != name[i] && !(strchr("-_", arg[i]) && strchr("-_", name[i]) && arg[i]))
            return false;
    if (arg[n] != '=' && arg[n] != '\0')
        return false;
    memcpy(arg, name, n);
    return true;
}

void options_spell(int argc, char **argv, const struct option *longs)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        for (const struct option *o = longs; strncmp(argv[i], "--", 2) == 0 && o->name; o++)
            if (spell(argv[i] + 2, o->name))
                break;
}

/* Is it "--NAME" of an option that takes a value? */
static bool wants_value(const char *arg)
{
    for (enum option_id i = 0; i < OPTION_NTEXTS; i++)
        if (i != OPTION_XATTR && strncmp(arg, "--", 2) == 0 &&
            strcmp(arg + 2, option_names[i]) == 0)
            return true;
    return false;
}

/* libfuse's parser knows --NAME=VALUE, and names as they are: make that of "--NAME VALUE" and of other
 * spellings. */
static int join_values(struct fuse_args *args)
{
    struct fuse_args out = FUSE_ARGS_INIT(0, NULL);
    struct option longs[OPTION_NTEXTS + 1] = {{NULL, 0, NULL, 0}};
    int ret = 0;

    for (enum option_id i = 0; i < OPTION_NTEXTS; i++)
        longs[i].name = option_names[i];
    for (int i = 0; i < args->argc && ret == 0; i++) {
        char *words[] = {"", strdup(args->argv[i])}, *joined = NULL;

        if (words[1])
            options_spell(2, words, longs);
        if (words[1] && i > 0 && i + 1 < args->argc && wants_value(words[1]) &&
            asprintf(&joined, "%s=%s", words[1], args->argv[++i]) < 0)
            joined = NULL;
        ret = words[1] ? fuse_opt_add_arg(&out, joined ? joined : words[1]) : -1;
        free(joined);
        free(words[1]);
    }
    fuse_opt_free_args(args);
    *args = out;
    return ret;
}

int options_parse(struct fuse_args *args, struct options *out, struct error *err)
{
    *out = (struct options){.dataset = NULL};
    if (join_values(args) < 0)
        return error_set(err, ENOMEM, "out of memory");
    if (fuse_opt_parse(args, out, flags, take_option) < 0)
        return error_set(err, EINVAL, "usage: derivfs [options] DATASET MOUNTPOINT");
    return 0;
}

void options_free(struct options *o)
{
    free(o->dataset);
    free(o->mountpoint);
    for (enum option_id i = 0; i < OPTION_NTEXTS; i++)
        free(o->text[i]);
    for (size_t i = 0; i < OPTION_NVALUES_MAX; i++)
        free(o->cache_from[i]);
    free(o->engines);
    free(o->worker[0]);
    free(o->worker[1]);
    free(o->worker_settings);
}

int options_copy(const struct options *from, struct options *out)
{
    *out = (struct options){.dataset = NULL};
    for (enum option_id i = 0; i < OPTION_NTEXTS; i++)
        if (from->text[i] && options_set(out, i, from->text[i]) < 0)
            return -ENOMEM;
    return 0;
}

/* Where the option is not given, *out stays. */
static int resolve_size(const struct options *o, enum option_id option, uint64_t *out,
                        struct error *err)
{
    static const char units[] = "KMGT";
    const char *text = o->text[option], *unit;
    char *end;
    double value;

    if (!text)
        return 0;
    value = strtod(text, &end);
    unit = *end ? strchr(units, *end & ~0x20) : NULL;
    if (unit && *unit) {
        value = ldexp(value, 10 * (int)(unit - units + 1));
        end++;
        if (*end == 'i')
            end++;
    }
    if (*end == 'B')
        end++;
    if (end == text || *end || !(value >= 0 && value < 0x1p63))
        return error_set(err, EINVAL, "%s=%s: expected a size such as 512M or 10G",
                         option_names[option], text);
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

/* A recipes file that is installed with the program, or in the source tree that it was built in:
 * malloced; NULL: there is none of this name. */
static char *shipped_recipes(const char *name)
{
    static const char *const places[] = {"../" DERIVFS_DATADIR "/derivfs", "../../contrib/recipes",
                                         "../../../contrib/recipes"};
    char self[PATH_MAX], *path, *real;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0 || strchr(name, '/') || access(name, F_OK) == 0)
        return NULL;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (asprintf(&path, "%s/%s/%s", self, places[i], name) < 0)
            return NULL;
        real = realpath(path, NULL);
        free(path);
        if (real)
            return real;
    }
    return NULL;
}

static int resolve_paths(struct options *o, struct error *err)
{
    char **cache_dir = &o->text[OPTION_CACHE_DIR], **recipes = &o->text[OPTION_RECIPES], *given;

    given = *cache_dir;
    *cache_dir = given ? absolute_path(given) : xdg_path("XDG_CACHE_HOME", ".cache", "derivfs");
    if (!*cache_dir && !given)
        *cache_dir = strdup("/var/cache/derivfs"); /* mount(8) at boot has no HOME */
    free(given);
    given = *recipes;
    *recipes = given ? shipped_recipes(given) : NULL;
    if (!*recipes)
        *recipes = given ? absolute_path(given)
                         : xdg_path("XDG_CONFIG_HOME", ".config", "derivfs/recipes.ini");
    o->engine.recipes_optional = !given; /* the default file may be created later */
    free(given);
    if (!*cache_dir || (!*recipes && !o->engine.recipes_optional))
        return error_set(err, ENOMEM, "out of memory");
    if (!o->engine.recipes_optional && access(*recipes, R_OK) < 0)
        return error_set(err, EINVAL, "recipes=%s: %s", *recipes, strerror(errno));
    o->engine.dataset = o->dataset;
    o->engine.cache_dir = *cache_dir;
    o->engine.recipes = *recipes;
    o->engine.trust_ids = o->text[OPTION_TRUST_IDS];
    return 0;
}

/* Call `take` with each value of an option that may have several. */
static int each_value(struct options *o, enum option_id option,
                      int (*take)(struct options *o, const char *value, size_t i,
                                  struct error *err),
                      size_t *n, struct error *err)
{
    char *copy = o->text[option] ? strdup(o->text[option]) : NULL, *rest = NULL;
    int ret = o->text[option] && !copy ? error_set(err, ENOMEM, "out of memory") : 0;

    *n = 0;
    for (char *value = copy ? strtok_r(copy, "\n", &rest) : NULL; value && ret == 0;
         value = strtok_r(NULL, "\n", &rest))
        ret = *n == OPTION_NVALUES_MAX ? error_set(err, EINVAL, "%s: more than %d are given",
                                                   option_names[option], OPTION_NVALUES_MAX)
                                       : take(o, value, (*n)++, err);
    free(copy);
    return ret;
}

static int take_cache(struct options *o, const char *value, size_t i, struct error *err)
{
    o->cache_from[i] = absolute_path(value);
    return o->cache_from[i] ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* A name, or a number. */
static int take_owner(struct options *o, const char *value, size_t i, struct error *err)
{
    const struct passwd *user = getpwnam(value);
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (!user && (!isdigit((unsigned char)value[0]) || *end || number >= (uid_t)-1))
        return error_set(err, EINVAL, "cache_from_owner=%s: there is no such user", value);
    o->cache_owners[i] = user ? user->pw_uid : (uid_t)number;
    return 0;
}

static int resolve_caches(struct options *o, struct error *err)
{
    int ret = each_value(o, OPTION_CACHE_FROM, take_cache, &o->engine.ncache_from, err);

    if (ret == 0)
        ret = each_value(o, OPTION_CACHE_FROM_OWNER, take_owner, &o->engine.ncache_owners, err);
    o->engine.cache_from = (const char *const *)o->cache_from;
    o->engine.cache_owners = o->cache_owners;
    return ret;
}

static int resolve_numbers(struct options *o, struct error *err)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
    long threads = sysconf(_SC_NPROCESSORS_ONLN);
    const char *given = o->text[OPTION_THREADS];
    char *end;

    o->engine.cache_nbytes = UINT64_C(10) << 30;
    if (resolve_size(o, OPTION_CACHE_SIZE, &o->engine.cache_nbytes, err) < 0 ||
        resolve_size(o, OPTION_MEMORY, &memory, err) < 0)
        return -EINVAL;
    o->engine.memory_nbytes = (size_t)memory;
    if (given) {
        threads = strtol(given, &end, 10);
        if (end == given || *end || threads < 1 || threads > 1024)
            return error_set(err, EINVAL, "threads=%s: expected a number from 1 to 1024", given);
    }
    o->engine.nthreads = threads > 0 ? (unsigned)threads : 1;
    return 0;
}

/* The index in `choices` of what the option is; `otherwise` where it is not given; -EINVAL. */
static int resolve_choice(const struct options *o, enum option_id option,
                          const char *const *choices, int otherwise, struct error *err)
{
    const char *text = o->text[option];
    char known[128] = "";

    for (int i = 0; text && choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0)
            return i;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "",
                 choices[i]);
    }
    return text ? error_set(err, EINVAL, "%s=%s: expected one of %s", option_names[option], text,
                            known)
                : otherwise;
}

static int resolve_choices(struct options *o, struct error *err)
{
    static const char *const layouts[] = {
        [LAYOUT_BESIDE] = "beside", [LAYOUT_DERIVATIVES] = "derivatives", NULL};
    static const char *const annexes[] = {"no", "get", NULL};
    static const char *const joins[] = {"alike", "all", NULL};
    static const char *const levels[] = {[LOG_LEVEL_ERROR] = "error",
                                         [LOG_LEVEL_WARN] = "warn",
                                         [LOG_LEVEL_INFO] = "info",
                                         [LOG_LEVEL_DEBUG] = "debug",
                                         NULL};
    static const char *const switches[] = {"off", "on", "no", "yes", "0", "1", NULL};
    int layout, annex, join, level, xattr;

    if ((layout = resolve_choice(o, OPTION_LAYOUT, layouts, LAYOUT_BESIDE, err)) < 0 ||
        (annex = resolve_choice(o, OPTION_ANNEX, annexes, 0, err)) < 0 ||
        (join = resolve_choice(o, OPTION_JOIN, joins, 0, err)) < 0 ||
        (level = resolve_choice(o, OPTION_LOG_LEVEL, levels, LOG_LEVEL_INFO, err)) < 0 ||
        (xattr = resolve_choice(o, OPTION_XATTR, switches, o->xattr, err)) < 0)
        return -EINVAL;
    o->engine.layout = (enum engine_layout)layout;
    o->engine.shared = o->shared;
    o->engine.annex_get = annex == 1;
    o->engine.join_all = join == 1;
    o->log_level = (enum log_level)level;
    o->xattr = xattr % 2;
    return 0;
}

/* ---- the batch system ---- */

/* The resolved options that decide about results, as lines NAME=VALUE for options_take_setting(), but
 * for the recipes, of which each job has a copy. malloced; NULL: out of memory. */
static char *settings_of(const struct options *o)
{
    static const enum option_id kept[] = {OPTION_CACHE_SIZE,       OPTION_CACHE_FROM,
                                          OPTION_CACHE_FROM_OWNER, OPTION_LAYOUT,
                                          OPTION_TRUST_IDS,        OPTION_JOIN};
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fprintf(f, "dataset=%s\ncache_dir=%s\nthreads=%u\nmemory=%zu\n", o->engine.dataset,
            o->engine.cache_dir, o->engine.nthreads, o->engine.memory_nbytes);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        for (const char *value = o->text[kept[i]]; value && *value;) {
            int n = (int)strcspn(value, "\n");

            fprintf(f, "%s=%.*s\n", option_names[kept[i]], n, value);
            value += n + (value[n] == '\n');
        }
    return text_end(f, &text);
}

int options_take_setting(struct options *o, const char *name, const char *value, struct error *err)
{
    if (strcmp(name, "dataset") == 0) {
        free(o->dataset);
        o->dataset = strdup(value);
        return o->dataset ? 0 : error_set(err, ENOMEM, "out of memory");
    }
    for (int i = 0; i < OPTION_NSHARED; i++)
        if (strcmp(name, option_names[i]) == 0)
            return options_set(o, (enum option_id)i, value) < 0
                       ? error_set(err, ENOMEM, "out of memory")
                       : 0;
    return error_set(err, EINVAL, "%s=%s: no such option (is derivctl older here?)", name, value);
}

static int resolve_number(const struct options *o, enum option_id option, double least, double most,
                          double otherwise, double *out, struct error *err)
{
    const char *text = o->text[option];
    char *end;

    *out = text ? strtod(text, &end) : otherwise;
    if (text && (end == text || *end || !(*out >= least && *out <= most)))
        return error_set(err, EINVAL, "%s=%s: expected a number from %g to %g",
                         option_names[option], text, least, most);
    return 0;
}

static int resolve_engine(struct options *o, struct error *err)
{
    double jobs = 0;
    int ret = resolve_number(o, OPTION_SUBMIT_ABOVE, 0, 1e9, 30, &o->engine.submit_above_s, err);

    if (ret == 0)
        ret = resolve_number(o, OPTION_SUBMIT_JOBS, 1, 10000, 50, &jobs, err);
    if (ret < 0)
        return ret;
    o->engine.submit_jobs = (unsigned)jobs;
    o->engine.engine = o->text[OPTION_ENGINE];
    if (!o->engine.engine)
        return 0;
    o->engines = xdg_path("XDG_CONFIG_HOME", ".config", "derivfs/engines.ini");
    o->worker[0] = program_beside("derivctl");
    o->worker[1] = strdup("work");
    o->worker_settings = settings_of(o);
    o->engine.engines = o->engines;
    o->engine.worker = o->worker;
    o->engine.worker_settings = o->worker_settings;
    return o->worker[0] && o->worker[1] && o->worker_settings
               ? 0
               : error_set(err, ENOMEM, "out of memory");
}

int options_resolve(struct options *o, struct error *err)
{
    int ret = resolve_paths(o, err);

    if (ret == 0)
        ret = resolve_caches(o, err);
    if (ret == 0)
        ret = resolve_numbers(o, err);
    if (ret == 0)
        ret = resolve_choices(o, err);
    return ret == 0 ? resolve_engine(o, err) : ret;
}
