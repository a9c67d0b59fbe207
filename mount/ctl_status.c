/* SPDX-License-Identifier: MIT
 *
 * derivctl status and cache: looking into a mount, and after the cache directory.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

/* Copy a control file of the mount to stdout. */
static int show_file(const char *mountpoint, const char *name)
{
    char path[PATH_MAX], buf[4096];
    struct error err;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/.derivfs/%s", mountpoint, name);
    f = fopen(path, "re");
    if (!f) {
        error_set(&err, errno, "status: %s",
                  errno == ENOENT ? "no derivfs is mounted there" : strerror(errno));
        return ctl_complain(mountpoint, &err);
    }
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, n, stdout);
    fclose(f);
    return CTL_OK;
}

static int show_mount(const struct ctl *ctl, const char *mountpoint)
{
    if (!ctl->json)
        printf("%s: ", mountpoint);
    return show_file(mountpoint, ctl->json ? "status.json" : "status");
}

/* The named mount, or every derivfs mount of this machine. */
static int show_once(const struct ctl *ctl)
{
    struct mntent *m;
    FILE *mounts;
    int ret = CTL_OK, n = 0;

    if (ctl->npaths == 1)
        return show_mount(ctl, ctl->paths[0]);
    mounts = setmntent("/proc/self/mounts", "re");
    while (mounts && (m = getmntent(mounts)))
        if (strcmp(m->mnt_type, "fuse.derivfs") == 0) {
            n++;
            if (show_mount(ctl, m->mnt_dir) != CTL_OK)
                ret = CTL_FAILED;
        }
    if (mounts)
        endmntent(mounts);
    if (n == 0) {
        fprintf(stderr, "derivctl: status: no derivfs is mounted\n");
        ret = CTL_FAILED;
    }
    return ret;
}

int ctl_status(const struct ctl *ctl)
{
    static const struct timespec second = {.tv_sec = 1};
    int ret;

    if (ctl->npaths > 1)
        return CTL_USAGE;
    for (;;) {
        if (ctl->watch)
            fputs("\033[H\033[2J", stdout);
        ret = show_once(ctl);
        if (!ctl->watch || ret != CTL_OK || fflush(stdout) != 0)
            return ret;
        nanosleep(&second, NULL);
    }
}

/* ---- cache -------------------------------------------------------------------------------------
 */

static int cache_info(const struct ctl *ctl, struct cache *c, struct error *err)
{
    struct cache_stats s;
    int ret = cache_stats(c, &s, err);

    if (ret < 0)
        return ret;
    if (ctl->json)
        ctl_print_json(json_pack("{s:s, s:I, s:I, s:I}", "dir", cache_dir(c), "entries",
                                 (json_int_t)s.entries, "bytes", (json_int_t)s.nbytes, "max_bytes",
                                 (json_int_t)s.max_nbytes));
    else
        printf("%s\n%" PRIu64 " entries, %.1f of %.1f MiB\n", cache_dir(c), s.entries,
               (double)s.nbytes / 0x1p20, (double)s.max_nbytes / 0x1p20);
    return 0;
}

static void report_bad(void *ctx, const struct error *what)
{
    (void)ctx;
    fprintf(stderr, "derivctl: cache: %s\n", what->text);
}

static int cache_check(const struct ctl *ctl, struct cache *c, struct error *err)
{
    uint64_t good, bad;
    int ret = cache_verify(c, &good, &bad, report_bad, NULL, err);

    (void)ctl;
    if (ret == 0)
        printf("%" PRIu64 " entries are good, %" PRIu64 " were bad and are removed\n", good, bad);
    return ret;
}

static int cache_shrink(const struct ctl *ctl, struct cache *c, struct error *err)
{
    uint64_t freed;
    int ret = cache_prune(c, &freed, err);

    (void)ctl;
    if (ret == 0)
        printf("%.1f MiB freed\n", (double)freed / 0x1p20);
    return ret;
}

static int cache_empty(const struct ctl *ctl, struct cache *c, struct error *err)
{
    uint64_t freed;
    int ret = cache_clear(c, &freed, err);

    (void)ctl;
    if (ret == 0)
        printf("%.1f MiB freed\n", (double)freed / 0x1p20);
    return ret;
}

static const struct {
    const char *name;
    int (*run)(const struct ctl *ctl, struct cache *c, struct error *err);
} cache_commands[] = {
    {"info", cache_info},
    {"verify", cache_check},
    {"prune", cache_shrink},
    {"clear", cache_empty},
};

static void warn(void *ctx, const struct error *what)
{
    (void)ctx;
    fprintf(stderr, "derivctl: cache: %s\n", what->text);
}

static int run_cache_command(const struct ctl *ctl, const struct engine_config *engine,
                             struct error *err)
{
    struct cache_config config = {
        .dir = engine->cache_dir,
        .max_nbytes = engine->cache_nbytes,
        .budget = budget_new(engine->memory_nbytes),
        .warn = warn,
    };
    struct cache *c;
    int ret =
        config.budget ? cache_open(&config, &c, err) : error_set(err, ENOMEM, "out of memory");

    if (ret == 0) {
        ret = CTL_USAGE;
        for (size_t i = 0; i < sizeof cache_commands / sizeof *cache_commands; i++)
            if (strcmp(ctl->paths[0], cache_commands[i].name) == 0)
                ret = cache_commands[i].run(ctl, c, err);
        cache_close(c);
    }
    budget_free(config.budget);
    return ret;
}

int ctl_cache(const struct ctl *ctl)
{
    struct options o;
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    int ret;

    if (ctl->npaths != 1)
        return CTL_USAGE;
    ret = options_copy(&ctl->options, &o);
    if (ret == 0)
        ret = options_resolve(&o, &err);
    if (ret == 0)
        ret = run_cache_command(ctl, &o.engine, &err);
    options_free(&o);
    return ret < 0 ? ctl_complain("cache", &err) : ret;
}
