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
#include "human.h"
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

/* ---- cache ---- */

static void print_count(const struct ctl *ctl, const struct engine_config *engine,
                        const struct cache_report *r)
{
    if (ctl->json) {
        ctl_print_json(json_pack("{s:o, s:I, s:I, s:I}", "dir", utf8_json(engine->cache_dir),
                                 "entries", (json_int_t)r->entries, "bytes", (json_int_t)r->nbytes,
                                 "max_bytes", (json_int_t)engine->cache_nbytes));
    } else {
        ctl_print("%s\n", engine->cache_dir);
        printf("%" PRIu64 " entries, %s of %s\n", r->entries, human_nbytes(r->nbytes).text,
               human_nbytes(engine->cache_nbytes).text);
    }
}

static void print_verified(const struct ctl *ctl, const struct engine_config *engine,
                           const struct cache_report *r)
{
    (void)ctl;
    (void)engine;
    printf("%" PRIu64 " entries are good, %" PRIu64 " were bad and are removed\n", r->entries,
           r->bad);
}

static void print_freed(const struct ctl *ctl, const struct engine_config *engine,
                        const struct cache_report *r)
{
    (void)ctl;
    (void)engine;
    printf("%s freed\n", human_nbytes(r->freed_nbytes).text);
}

static const struct cache_command {
    const char *name;
    enum cache_care care;
    void (*print)(const struct ctl *ctl, const struct engine_config *engine,
                  const struct cache_report *r);
} cache_commands[] = {
    {"info", CACHE_COUNT, print_count},
    {"verify", CACHE_VERIFY, print_verified},
    {"prune", CACHE_PRUNE, print_freed},
    {"clear", CACHE_CLEAR, print_freed},
};

static const struct cache_command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof cache_commands / sizeof *cache_commands; i++)
        if (strcmp(name, cache_commands[i].name) == 0)
            return &cache_commands[i];
    return NULL;
}

static void say_warning(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    ctl_say("cache: %s", text);
}

int ctl_cache(const struct ctl *ctl)
{
    const struct cache_command *command = ctl->npaths == 1 ? find_command(ctl->paths[0]) : NULL;
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    struct cache_report report;
    struct options o;
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
        o.engine.log = say_warning;
        ret = engine_cache_care(&o.engine, command->care, &report, &err);
        if (ret == 0)
            command->print(ctl, &o.engine, &report);
    }
    options_free(&o);
    return ret < 0 ? ctl_complain("cache", &err) : ret;
}
