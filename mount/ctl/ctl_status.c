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
#include "mounts.h"
#include "screen.h"
#include "utf8.h"

/* A mount that is asked for its status. */
struct asked {
    const struct mount_point *mount;
    struct question question;
    bool shown;
};

/* Print its lines, escaped once more: it is the daemon that says them. */
static void print_text(FILE *out, const struct asked *a)
{
    char *shown = utf8_shown(a->mount->dir);

    fprintf(out, "%s: ", shown ? shown : "");
    free(shown);
    for (char *line = a->question.text, *next; *line; line = next) {
        size_t n = strcspn(line, "\n");

        next = line + n + (line[n] == '\n');
        line[n] = '\0';
        shown = utf8_shown(line);
        fprintf(out, "%s\n", shown ? shown : "");
        free(shown);
    }
}

/* Say why there is no status. Where all mounts are watched, it is one of the lines. */
static int show_reason(const struct ctl *ctl, const char *dir, const char *why, FILE *out)
{
    char *shown = utf8_shown(dir);

    if (!ctl->watch || ctl->npaths > 0)
        ctl_say("%s: status: %s", dir, why);
    else
        fprintf(out, "%s: %s\n", shown ? shown : "", why);
    free(shown);
    return ctl->watch && ctl->npaths == 0 ? CTL_OK : CTL_FAILED;
}

/* Show the answer, or why there is none; JSON goes to `all`. */
static int show(const struct ctl *ctl, struct asked *a, const struct error *why, FILE *out,
                json_t *all)
{
    struct error err = *why;
    json_t *status = NULL;

    a->shown = true;
    if (err.code == 0 && !ctl->json) {
        print_text(out, a);
        return CTL_OK;
    }
    if (err.code == 0)
        status = question_json(&a->question, "status.json", &err);
    if (!status)
        return show_reason(ctl, a->mount->dir, err.text, out);
    json_object_set_new(status, "mountpoint", utf8_json(a->mount->dir));
    json_array_append_new(all, status);
    return CTL_OK;
}

/* Ask all at once. Those that have not answered after a moment hold nothing up: they come last. */
static int show_asked(const struct ctl *ctl, struct asked *asked, size_t n, FILE *out, json_t *all)
{
    enum { MOMENT_MS = 500 };
    const int limits_ms[] = {MOMENT_MS, ctl->watch ? MOMENT_MS : MOUNT_PATIENCE_MS};
    const char *file = ctl->json ? "status.json" : "status";
    int64_t begin_ms = question_now_ms();
    int ret = CTL_OK;

    for (size_t i = 0; i < n; i++) {
        struct error err;

        if (question_begin(asked[i].mount, file, &asked[i].question, &err) < 0)
            ret = show(ctl, &asked[i], &err, out, all);
    }
    for (int late = 0; late < 2; late++)
        for (size_t i = 0; i < n; i++) {
            struct error err = {.code = 0};

            if (asked[i].shown || (question_wait(&asked[i].question, begin_ms + limits_ms[late],
                                                 &err) == -ETIMEDOUT &&
                                   !late))
                continue;
            if (show(ctl, &asked[i], &err, out, all) != CTL_OK)
                ret = CTL_FAILED;
            fflush(out);
        }
    for (size_t i = 0; i < n; i++)
        question_end(&asked[i].question);
    return ret;
}

/* Every derivfs mount of this user. */
static int show_all(const struct ctl *ctl, FILE *out, json_t *all)
{
    struct mount_list list;
    struct asked *asked;
    struct error err;
    size_t n = 0;
    int ret;

    if (mounts_read(&list, &err) < 0)
        return ctl_say("status: %s", err.text);
    asked = calloc(list.n + 1, sizeof *asked);
    for (size_t i = 0; asked && i < list.n; i++)
        if (list.mounts[i].owner == geteuid())
            asked[n++].mount = &list.mounts[i];
        else
            show_reason(ctl, list.mounts[i].dir,
                        "another user has mounted it, who alone may see its status", out);
    if (!asked)
        ret = ctl_say("status: out of memory");
    else if (list.n == 0)
        ret = ctl_say("status: no derivfs is mounted");
    else
        ret = show_asked(ctl, asked, n, out, all);
    free(asked);
    mounts_free(&list);
    return ret;
}

static int show_one(const struct ctl *ctl, const char *path, FILE *out, json_t *all)
{
    struct error err;
    struct mount_point m = {.dir = NULL};
    struct asked asked = {.mount = &m};
    char *real = mount_realpath(path, &err);
    int ret = real ? mount_of(real, &m, &err) : -err.code;

    free(real);
    if (ret == 0 && !m.dir)
        ret = error_set(&err, ENOENT, "no derivfs is mounted there");
    if (ret < 0)
        return ctl_say("%s: status: %s", path, err.text);
    ret = show_asked(ctl, &asked, 1, out, all);
    free(m.dir);
    return ret;
}

/* Text goes to `out`, JSON to stdout: of all mounts, an array. */
static int show_once(const struct ctl *ctl, FILE *out)
{
    json_t *all = ctl->json ? json_array() : NULL;
    int ret = ctl->npaths == 0 ? show_all(ctl, out, all) : show_one(ctl, ctl->paths[0], out, all);

    if (all && ctl->npaths == 0)
        ctl_print_json(json_incref(all));
    else if (all && json_array_size(all) > 0)
        ctl_print_json(json_incref(json_array_get(all, 0)));
    json_decref(all);
    return ret;
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
