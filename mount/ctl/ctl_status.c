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
#include "ending.h"
#include "screen.h"
#include "utf8.h"

static FILE *open_control(const char *mountpoint, const char *name)
{
    char path[PATH_MAX];
    struct error err;
    FILE *f = NULL;

    if (snprintf(path, sizeof path, "%s/.derivfs/%s", mountpoint, name) < (int)sizeof path)
        f = fopen(path, "re");
    else
        errno = ENAMETOOLONG;
    if (!f) {
        error_set(&err, errno, "status: %s",
                  errno == ENOENT ? "no derivfs is mounted there" : strerror(errno));
        ctl_complain(mountpoint, &err);
    }
    return f;
}

static int print_text(FILE *out, const char *mountpoint)
{
    FILE *f = open_control(mountpoint, "status");
    char buf[4096];
    size_t n;

    if (!f)
        return CTL_FAILED;
    char *shown = utf8_shown(mountpoint);
    fprintf(out, "%s: ", shown ? shown : "");
    free(shown);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, n, out);
    fclose(f);
    return CTL_OK;
}

/* The mount's status with its mount point; NULL after a complaint. */
static json_t *load_json(const char *mountpoint)
{
    FILE *f = open_control(mountpoint, "status.json");
    json_error_t why;
    json_t *status;

    if (!f)
        return NULL;
    status = json_loadf(f, 0, &why);
    fclose(f);
    if (!status)
        ctl_say("%s: status: %s", mountpoint, why.text);
    else
        json_object_set_new(status, "mountpoint", utf8_json(mountpoint));
    return status;
}

/* Every derivfs mount of this machine; with --json they are an array. */
static int show_all(const struct ctl *ctl, FILE *out)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    json_t *all = ctl->json ? json_array() : NULL, *status = NULL;
    int ret = CTL_OK, n = 0;
    struct mntent *m;

    while (mounts && (m = getmntent(mounts))) {
        if (strcmp(m->mnt_type, "fuse.derivfs") != 0)
            continue;
        n++;
        if (!ctl->json && print_text(out, m->mnt_dir) != CTL_OK)
            ret = CTL_FAILED;
        if (ctl->json && !(status = load_json(m->mnt_dir)))
            ret = CTL_FAILED;
        else if (ctl->json)
            json_array_append_new(all, status);
    }
    if (mounts)
        endmntent(mounts);
    if (all)
        ctl_print_json(all);
    if (n == 0) {
        ctl_say("status: no derivfs is mounted");
        ret = CTL_FAILED;
    }
    return ret;
}

/* To `out`, but for JSON, which goes to stdout. */
static int show_once(const struct ctl *ctl, FILE *out)
{
    json_t *status;

    if (ctl->npaths == 0)
        return show_all(ctl, out);
    if (!ctl->json)
        return print_text(out, ctl->paths[0]);
    status = load_json(ctl->paths[0]);
    if (!status)
        return CTL_FAILED;
    ctl_print_json(status);
    return CTL_OK;
}

/* Collect a text, then draw it at once. */
static int draw_once(const struct ctl *ctl)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);
    int ret = f ? show_once(ctl, f) : CTL_FAILED;

    if (f && fclose(f) != 0)
        ret = CTL_FAILED;
    if (ret == CTL_OK && screen_draw(text) < 0)
        ret = CTL_FAILED;
    free(text);
    return ret;
}

static void redraw(int sig)
{
    (void)sig; /* only interrupts the sleep */
}

/* Until a signal, or until the mount is gone. */
static int watch(const struct ctl *ctl)
{
    static const struct timespec second = {.tv_sec = 1};
    struct sigaction resized = {.sa_handler = redraw};
    struct ending ending;
    int ret = CTL_OK;

    sigaction(SIGWINCH, &resized, NULL);
    ending_catch(&ending);
    screen_begin();
    while (ret == CTL_OK && !ending_signal()) {
        ret = draw_once(ctl);
        if (ret == CTL_OK && !ending_signal())
            nanosleep(&second, NULL);
    }
    screen_end();
    ending_release(&ending);
    ending_raise(ending_signal());
    return ret;
}

int ctl_status(const struct ctl *ctl)
{
    if (ctl->npaths > 1)
        return CTL_USAGE;
    return ctl->watch ? watch(ctl) : show_once(ctl, stdout);
}

/* ---- cache -------------------------------------------------------------------------------------
 */

static int cache_info(const struct ctl *ctl, struct cache *c, struct error *err)
{
    struct cache_stats s;
    int ret = cache_stats(c, &s, err);

    if (ret < 0)
        return ret;
    if (ctl->json) {
        ctl_print_json(json_pack("{s:o, s:I, s:I, s:I}", "dir", utf8_json(cache_dir(c)), "entries",
                                 (json_int_t)s.entries, "bytes", (json_int_t)s.nbytes, "max_bytes",
                                 (json_int_t)s.max_nbytes));
    } else {
        ctl_print("%s\n", cache_dir(c));
        printf("%" PRIu64 " entries, %s of %s\n", s.entries, ctl_size(s.nbytes).text,
               ctl_size(s.max_nbytes).text);
    }
    return 0;
}

static void report_bad(void *ctx, const struct error *what)
{
    (void)ctx;
    ctl_say("cache: %s", what->text);
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
        printf("%s freed\n", ctl_size(freed).text);
    return ret;
}

static int cache_empty(const struct ctl *ctl, struct cache *c, struct error *err)
{
    uint64_t freed;
    int ret = cache_clear(c, &freed, err);

    (void)ctl;
    if (ret == 0)
        printf("%s freed\n", ctl_size(freed).text);
    return ret;
}

typedef int cache_command(const struct ctl *ctl, struct cache *c, struct error *err);

static const struct {
    const char *name;
    cache_command *run;
} cache_commands[] = {
    {"info", cache_info},
    {"verify", cache_check},
    {"prune", cache_shrink},
    {"clear", cache_empty},
};

static void warn(void *ctx, const struct error *what)
{
    (void)ctx;
    ctl_say("cache: %s", what->text);
}

static cache_command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof cache_commands / sizeof *cache_commands; i++)
        if (strcmp(name, cache_commands[i].name) == 0)
            return cache_commands[i].run;
    return NULL;
}

static int run_command(const struct ctl *ctl, cache_command *command,
                       const struct engine_config *engine, struct error *err)
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
        ret = command(ctl, c, err);
        cache_close(c);
    }
    budget_free(config.budget);
    return ret;
}

int ctl_cache(const struct ctl *ctl)
{
    cache_command *command = ctl->npaths == 1 ? find_command(ctl->paths[0]) : NULL;
    struct options o;
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    int ret;

    if (!command)
        return CTL_USAGE;
    if (options_copy(&ctl->options, &o) < 0)
        return ctl_complain("cache", &err);
    ret = options_resolve(&o, &err);
    if (ret == -EINVAL) {
        ctl_complain("cache", &err);
        ret = CTL_USAGE;
    } else if (ret == 0) {
        ret = run_command(ctl, command, &o.engine, &err);
    }
    options_free(&o);
    return ret < 0 ? ctl_complain("cache", &err) : ret;
}
