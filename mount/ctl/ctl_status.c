/* SPDX-License-Identifier: MIT
 *
 * derivctl status: the state of mounts. derivctl cache: maintenance of the cache directory.
 */
#include <errno.h>
#include <inttypes.h>
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

static int print_text(FILE *out, const char *mountpoint)
{
    struct error err;
    FILE *f = open_control(mountpoint, "status", &err);
    char buf[4096], *shown;
    size_t n;

    if (!f)
        return ctl_say("%s: %s", mountpoint, err.text);
    shown = utf8_shown(mountpoint);
    fprintf(out, "%s: ", shown ? shown : "");
    free(shown);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, n, out);
    fclose(f);
    return CTL_OK;
}

/* The mount's status with its mount point; NULL after a message. */
static json_t *load_json(const char *mountpoint)
{
    struct error err;
    json_t *status = load_control(mountpoint, "status.json", &err);

    if (status)
        json_object_set_new(status, "mountpoint", utf8_json(mountpoint));
    else
        ctl_say("%s: %s", mountpoint, err.text);
    return status;
}

/* Every derivfs mount of this machine; with --json they are an array. */
static int show_all(const struct ctl *ctl, FILE *out)
{
    json_t *all = ctl->json ? json_array() : NULL, *status = NULL;
    const char *mountpoint;
    FILE *mounts = NULL;
    int ret = CTL_OK, n = 0;

    for (; (mountpoint = next_mount(&mounts)); n++) {
        if (!all && print_text(out, mountpoint) != CTL_OK)
            ret = CTL_FAILED;
        if (all && !(status = load_json(mountpoint)))
            ret = CTL_FAILED;
        else if (all)
            json_array_append_new(all, status);
    }
    if (all)
        ctl_print_json(all);
    return n == 0 ? ctl_say("status: no derivfs is mounted") : ret;
}

/* Text goes to `out`, JSON to stdout. */
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

static void print_report(const struct ctl *ctl, const struct engine_config *engine,
                         enum cache_care care, const struct cache_report *r)
{
    switch (care) {
    case CACHE_COUNT:
        print_count(ctl, engine, r);
        break;
    case CACHE_VERIFY:
        printf("%" PRIu64 " entries are good, %" PRIu64 " damaged ones were removed\n", r->entries,
               r->bad);
        break;
    case CACHE_PRUNE:
    case CACHE_CLEAR:
        printf("%s freed\n", human_nbytes(r->freed_nbytes).text);
        break;
    }
}

static void say_warning(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    ctl_say("cache: %s", text);
}

int ctl_cache(const struct ctl *ctl)
{
    static const char *const names[] = {[CACHE_COUNT] = "info",
                                        [CACHE_VERIFY] = "verify",
                                        [CACHE_PRUNE] = "prune",
                                        [CACHE_CLEAR] = "clear"};
    struct error err = {.code = ENOMEM, .text = "out of memory"};
    size_t care = 0, n = ctl->npaths == 1 ? sizeof names / sizeof *names : 0;
    struct cache_report report;
    struct options o;
    bool bad_option;
    int ret;

    while (care < n && strcmp(ctl->paths[0], names[care]) != 0)
        care++;
    if (care == n)
        return CTL_USAGE;
    ret = options_copy(&ctl->options, &o);
    if (ret == 0)
        ret = options_resolve(&o, &err);
    bad_option = ret == -EINVAL;
    o.engine.log = say_warning;
    if (ret == 0)
        ret = engine_cache_care(&o.engine, (enum cache_care)care, &report, &err);
    if (ret == 0)
        print_report(ctl, &o.engine, (enum cache_care)care, &report);
    else
        ctl_say("cache: %s", err.text);
    options_free(&o);
    return bad_option ? CTL_USAGE : ret == 0 ? CTL_OK : CTL_FAILED;
}
