/* SPDX-License-Identifier: MIT
 *
 * derivfs, the daemon: options, mounting, the background, and an orderly end.
 *
 * SIGTERM, SIGINT or SIGHUP detach the mount, so that nothing new is opened. Reads in progress
 * finish: the session ends with exit status 0 when no file is open any more, when nobody has read
 * for QUIET_NS, or after PATIENCE_NS. Files that are only open, and commands that run, hold nothing
 * up. A second signal ends it at once.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "background.h"
#include "draw.h"
#include "kernel_caps.h"
#include "monotonic.h"
#include "ops.h"
#include "options.h"
#include "place.h"
#include "program.h"
#include "utf8.h"

struct daemon {
    struct options options;
    struct kept kept;
    struct background background;
    struct fuse_cmdline_opts fuse;
    struct engine *engine;
    struct mount *mount;
    struct fuse_session *session;
    pthread_t main_thread, signal_thread;
};

static const int64_t QUIET_NS = INT64_C(2000000000);
static const int64_t PATIENCE_NS = INT64_C(30000000000);
static const int64_t LOOK_NS = 20000000;    /* between two looks at what goes on */
static const int64_t STUCK_NS = 1000000000; /* after a second signal */
static const int64_t MOMENT_NS = 500000000; /* the first look at the mount has the processor */

static bool log_to_syslog; /* set once, before any thread starts */

static void print_shown(const char *before, const char *fmt, va_list args)
{
    char *shown = utf8_vshown(fmt, args);

    fprintf(stderr, "%s%s\n", before, shown ? shown : "out of memory");
    free(shown);
}

/* Print a line on stderr, escaped for a terminal (utf8_shown). */
PRINTF_LIKE(1, 2) static void say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown("derivfs: ", fmt, args);
    va_end(args);
}

/* Print one more line of a text. */
PRINTF_LIKE(1, 2) static void say_on(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown("", fmt, args);
    va_end(args);
}

static void print_log(void *ctx, enum log_level level, const char *text)
{
    static const struct {
        const char *name;
        int priority;
    } levels[] = {
        [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
        [LOG_LEVEL_WARN] = {"warning", LOG_WARNING},
        [LOG_LEVEL_INFO] = {"info", LOG_INFO},
        [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
    };
    _Static_assert(sizeof levels / sizeof *levels == LOG_LEVEL_DEBUG + 1, "a row for each level");
    const struct options *o = ctx;

    if (level > o->log_level)
        return;
    /* a mistake in the recipes has three lines */
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        int nbytes = (int)strcspn(line, "\n");

        if (log_to_syslog)
            syslog(levels[level].priority, "%.*s", nbytes, line);
        else if (line == text)
            say("%s: %.*s", levels[level].name, nbytes, line);
        else
            say_on("%.*s", nbytes, line);
    }
}

/* libfuse's first error line (it prints in pieces), for the message when mounting fails. Written
 * before any thread starts. */
static char fuse_complaint[512];

static void keep_complaint(enum fuse_log_level level, const char *fmt, va_list args)
{
    size_t len = strlen(fuse_complaint);

    if (level > FUSE_LOG_ERR)
        vfprintf(stderr, fmt, args);
    else if (!strchr(fuse_complaint, '\n'))
        vsnprintf(fuse_complaint + len, sizeof fuse_complaint - len, fmt, args);
}

static const char *fuse_reason(const char *otherwise)
{
    static const char prefix[] = "fuse: ";
    size_t skip = strncmp(fuse_complaint, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;

    fuse_complaint[strcspn(fuse_complaint, "\n")] = '\0';
    return fuse_complaint[0] ? fuse_complaint + skip : otherwise;
}

/* Append the options of every mount, whatever the user says. */
static int force_options(struct fuse_args *args, const char *dataset)
{
    static const char fixed[] = "-oro,nosuid,nodev,default_permissions,subtype=derivfs";
    char *fsname = NULL, *option = NULL, *arg = NULL;
    int ret = -1;

    /* last, so that they win; commas in the path are escaped */
    if (asprintf(&fsname, "fsname=%s", dataset) >= 0 &&
        fuse_opt_add_opt_escaped(&option, fsname) == 0 && asprintf(&arg, "-o%s", option) >= 0)
        ret = fuse_opt_add_arg(args, arg) || fuse_opt_add_arg(args, fixed);
    free(fsname);
    free(option);
    free(arg);
    return ret;
}

static void print_help(void)
{
    printf("usage: derivfs [options] DATASET MOUNTPOINT\n\n"
           "Shows the directory DATASET at MOUNTPOINT, read-only, with derived images (tsnr.nii,\n"
           "mean.nii, std.nii and your own recipes) beside its fMRI runs. Unmount with\n"
           "fusermount3 -u MOUNTPOINT.\n\nderivfs options:\n%s\nFUSE options:\n",
           options_help);
    fuse_cmdline_help();
    fuse_lowlevel_help();
}

/* ---- the end ---- */

static void wake(int sig)
{
    (void)sig; /* interrupts the main thread's wait */
}

static void end_session(struct daemon *d)
{
    fuse_session_exit(d->session);
    pthread_kill(d->main_thread, SIGUSR2);
}

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

/* Wait for an ending signal for `ns`. */
static bool signal_comes(const sigset_t *set, int64_t ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    return sigtimedwait(set, NULL, &time) > 0;
}

/* Wait until the reads in progress are done. Programs read a file piece by piece: between two reads
 * none is in progress. Returns early on a signal. */
static bool wait_for_reads(struct daemon *d, const sigset_t *set)
{
    int64_t begin_ns = monotonic_ns(), last_ns = begin_ns, now_ns = begin_ns;
    struct mount_activity before, now;

    mount_activity(d->mount, &before);
    now = before;
    while (now.is_open || now.reads_wait) {
        if (now.reads_wait || now.nreads != before.nreads)
            last_ns = now_ns;
        if (now_ns - last_ns > QUIET_NS || now_ns - begin_ns > PATIENCE_NS)
            break;
        if (signal_comes(set, LOOK_NS))
            return false;
        before = now;
        now_ns = monotonic_ns();
        mount_activity(d->mount, &now);
    }
    return true;
}

/* Ending a thread (pthread_cancel(3), in libfuse too) needs a library that the C library loads when
 * it is first needed, as for a backtrace: load it while there are descriptors and memory. */
static void load_unwinder(void)
{
    void *here[1];

    (void)backtrace(here, 1);
}

/* Runs until the session has ended. */
static void *wait_for_signals(void *arg)
{
    struct daemon *d = arg;
    sigset_t set;
    bool early;
    int sig;

    ending_signals(&set);
    load_unwinder(); /* later there may be no descriptor for it */
    early = signal_comes(&set, MOMENT_NS);
    if (!early)
        sigwait(&set, &sig);
    place_detach(d->options.mountpoint);
    if (wait_for_reads(d, &set)) {
        end_session(d);
        signal_comes(&set, PATIENCE_NS);
    }
    end_session(d);
    signal_comes(&set, STUCK_NS);
    _exit(0); /* an operation does not end, as of a dead file server */
}

static void end_at_once(int sig)
{
    (void)sig;
    _exit(0);
}

/* The session has ended, and the tasks are being ended: from now on a signal ends the process, and
 * so does time. */
static void stop_waiting_for_signals(struct daemon *d)
{
    struct sigaction sa = {.sa_handler = end_at_once};
    sigset_t set;

    pthread_cancel(d->signal_thread);
    pthread_join(d->signal_thread, NULL);
    ending_signals(&set);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(&set, sig) == 1)
            sigaction(sig, &sa, NULL);
    sigaction(SIGALRM, &sa, NULL);
    alarm((unsigned)(PATIENCE_NS / 1000000000));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Before any thread starts, so that all inherit the mask. */
static void prepare_signals(void)
{
    struct sigaction sa = {.sa_handler = wake};
    sigset_t set;

    sigaction(SIGUSR2, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* if ignored, waitpid() would return no exit status */
    ending_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- the life ---- */

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int loop(struct daemon *d)
{
    struct fuse_loop_config *config;
    int ret;

    if (d->fuse.singlethread)
        return fuse_session_loop(d->session);
    config = fuse_loop_cfg_create();
    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_clone_fd(config, d->fuse.clone_fd);
    if ((int)d->fuse.max_idle_threads > 0)
        fuse_loop_cfg_set_idle_threads(config, d->fuse.max_idle_threads);
    if ((int)d->fuse.max_threads > 0) /* -1: not given */
        fuse_loop_cfg_set_max_threads(config, d->fuse.max_threads);
    ret = fuse_session_loop_mt(d->session, config);
    fuse_loop_cfg_destroy(config);
    return ret;
}

/* Each task needs buffers of some MiB. Let malloc(3) keep freed ones up to these sizes, because the
 * kernel has to clear newly mapped pages. Not at the start: the tables that are made there would be
 * cleared once more, and are mostly never used. */
static void keep_freed_memory(void)
{
    enum { MAPPED_NBYTES = 32 << 20, KEPT_NBYTES = 64 << 20 };

    mallopt(M_MMAP_THRESHOLD, MAPPED_NBYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_NBYTES);
}

/* Threads start here: they would not survive the fork of fuse_daemonize(). */
static int serve(struct daemon *d, struct error *err)
{
    /* With auto_unmount, the end of a socket makes fusermount3 look whether the mount is dead. A
     * killed process releases its highest descriptors first, and libfuse opens that socket above
     * /dev/fuse: so keep /dev/fuse open above both. Before threads start: to enlarge a table of
     * descriptors that threads share, the kernel waits some 10 ms. */
    enum { ABOVE_SOCKET = 255 };
    int above = fcntl(fuse_session_fd(d->session), F_DUPFD_CLOEXEC, ABOVE_SOCKET), ret;

    keep_freed_memory();
    ret = engine_start(d->engine, err);
    if (ret < 0)
        return ret;
    d->main_thread = pthread_self();
    if (mount_start(d->mount) < 0)
        return error_set(err, EAGAIN, "%s: cannot start a thread", d->options.mountpoint);
    ret = pthread_create(&d->signal_thread, NULL, wait_for_signals, d);
    if (ret != 0)
        return error_set(err, ret, "%s: cannot start a thread: %s", d->options.mountpoint,
                         strerror(ret));
    log_to_syslog = !d->fuse.foreground;
    background_ready(&d->background);
    ret = loop(d);
    if (above >= 0)
        close(above); /* or the session's end would not close the connection */
    stop_waiting_for_signals(d);
    return ret < 0 ? 1 : 0;
}

/* What else to do where mounting has failed. */
static const char *mount_advice(void)
{
    struct program helper;

    if (access("/dev/fuse", F_OK) < 0)
        return " (no /dev/fuse here; derivctl compute works without it)";
    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return " (you may not open /dev/fuse; derivctl compute works without it)";
    if (geteuid() == 0)
        return "";
    if (program_find("fusermount3", -1, &helper, NULL) < 0)
        return " (no fusermount3 here; derivctl run DATASET -- COMMAND works without it)";
    program_clear(&helper);
    return "";
}

static int mount_and_serve(struct daemon *d, struct error *err)
{
    int ret;

    if (fuse_session_mount(d->session, d->options.mountpoint) != 0)
        return error_set(err, EIO, "%s: mounting failed: %s%s", d->options.mountpoint,
                         fuse_reason("see above"), mount_advice());
    fuse_set_log_func(NULL);
    ret = kernel_caps_install(d->session);
    if (ret < 0)
        error_set(err, -ret, "%s: the session cannot be set up", d->options.mountpoint);
    if (ret == 0 && d->options.nosymfollow)
        ret = place_follow_no_links(d->options.mountpoint, err);
    if (ret == 0 && !d->fuse.foreground)
        ret = background_enter(d->options.mountpoint, &d->background, err);
    if (ret == 0)
        ret = serve(d, err);
    fuse_session_unmount(d->session);
    return ret;
}

static int open_session(struct daemon *d, struct fuse_args *args, struct error *err)
{
    int ret;

    if (d->fuse.debug)
        d->options.log_level = LOG_LEVEL_DEBUG;
    d->options.engine.log = print_log;
    d->options.engine.log_ctx = &d->options;
    ret = engine_open(&d->options.engine, &d->engine, err);
    if (ret < 0)
        return ret;
    d->mount = mount_new(d->engine);
    if (!d->mount || force_options(args, d->options.dataset) != 0)
        return error_set(err, ENOMEM, "out of memory");
    d->session = mount_session_new(d->mount, args, &d->options);
    if (!d->session)
        return error_set(err, EINVAL, "%s (see derivfs --help)", fuse_reason("wrong options"));
    return 0;
}

static int run(struct daemon *d, struct fuse_args *args)
{
    struct error err;
    int ret = options_resolve(&d->options, &err);

    if (ret == 0)
        ret = place_check(&d->options, say, &err);
    if (ret == 0)
        ret = place_keep(&d->options, &d->kept, &err);
    if (ret == 0) {
        prepare_signals();
        raise_file_limit();
        ret = open_session(d, args, &err);
    }
    if (ret == 0)
        ret = mount_and_serve(d, &err);
    if (ret < 0) {
        say("%s", err.text);
        ret = 1;
    }
    if (d->engine)
        engine_stop(d->engine); /* until now, workers answer requests and close files */
    if (d->session)
        fuse_session_destroy(d->session);
    mount_free(d->mount);
    engine_close(d->engine);
    return ret;
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct daemon d = {.background.ready_fd = -1};
    struct error err;
    int ret = 0;

    if (draw_wanted(argc, argv))
        return draw_as_child(draw_wanted(argc, argv));
    openlog("derivfs", LOG_PID, LOG_DAEMON);
    fuse_set_log_func(keep_complaint);
    if (options_parse(&args, &d.options, &err) < 0) {
        say("%s (see derivfs --help)", fuse_reason(err.text));
        ret = 2;
    } else if (d.options.show_help) {
        print_help();
    } else if (d.options.show_version) {
        printf("%s\n", DERIVFS_VERSION_TEXT);
        fflush(stdout); /* before what fusermount3 prints */
        fuse_lowlevel_version();
    } else if (!d.options.mountpoint || fuse_parse_cmdline(&args, &d.fuse) != 0) {
        say("%s (see derivfs --help)", fuse_reason("usage: derivfs [options] DATASET MOUNTPOINT"));
        ret = 2;
    } else {
        ret = run(&d, &args);
    }
    free(d.fuse.mountpoint);
    place_release(&d.kept);
    options_free(&d.options);
    fuse_opt_free_args(&args);
    return ret;
}
