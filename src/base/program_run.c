/* SPDX-License-Identifier: MIT
 *
 * Running a program.
 *
 *     fork -- child: session, directory, limits, signals, descriptors -- exec
 *       |                 '-- what failed, through a pipe that exec closes
 *       '---- parent: poll { the end, its stderr } every POLL_MS, looking at the clock and whether
 *             it is wanted still; then kill the group, then reap
 *
 * The child of a threaded process may call async-signal-safe functions only until it execs, so all
 * that it needs is made ready before. The group is killed before the leader is reaped: until then
 * nobody else can have its number. stderr is kept as a tail of a few lines; a child that a program
 * leaves behind in a session of its own is not waited for, whoever holds the pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "monotonic.h"
#include "program.h"

/* What of stderr is kept, and told: a sentence has to leave room for the rest. */
enum { TAIL_NBYTES = 4096, TOLD_NBYTES = 600, TOLD_LINES = 5 };

/* How soon a cancellation or the end of the time is noticed. */
enum { POLL_MS = 50 };

struct tail {
    char bytes[TAIL_NBYTES];
    size_t n;
};

/* All that the child needs. */
struct launch {
    const struct program_run *run;
    char **env;
    pid_t parent;
    int null_fd, err_fd; /* /dev/null, the pipe's end for stderr */
    int report_fd;       /* tells why there was no exec */
};

/* ---- the child ---- */

static void set_limit(int what, uint64_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};

    (void)setrlimit((__rlimit_resource_t)what, &limit);
}

static void reset_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &sa, NULL); /* fails for SIGKILL and SIGSTOP */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int connect_streams(const struct launch *l)
{
    int out = l->run->out_fd >= 0 ? l->run->out_fd : l->err_fd;

    if (dup2(l->null_fd, 0) < 0 || dup2(out, 1) < 0 || dup2(l->err_fd, 2) < 0)
        return -1;
    /* everything is close-on-exec from the start; this is for libraries that forget */
    (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    return 0;
}

/* Never returns. It ends by a signal, because nothing of the parent's that exit() does may be done
 * here; what happened has gone through the pipe. */
static void become_program(const struct launch *l)
{
    int code;

    reset_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == l->parent && setsid() >= 0 &&
        (l->run->dir ? chdir(l->run->dir) : fchdir(l->run->dirfd)) == 0 &&
        connect_streams(l) == 0) {
        set_limit(RLIMIT_CORE, 0);
        if (l->run->memory_nbytes > 0)
            set_limit(RLIMIT_AS, l->run->memory_nbytes);
        if (l->run->dir)
            umask(077);
        execve(l->run->path, l->run->argv, l->env);
    }
    code = errno;
    if (fd_write(l->report_fd, &code, sizeof code) < 0)
        code = 0; /* then the parent learns of the signal alone */
    for (;;)
        (void)kill(getpid(), SIGKILL);
}

/* ---- before ---- */

static bool is_of(const char *variable, const char *name)
{
    size_t n = strlen(name);

    return strncmp(variable, name, n) == 0 && variable[n] == '=';
}

static bool is_among(const char *variable, const char *const *names)
{
    for (; names && *names; names++)
        if (is_of(variable, *names))
            return true;
    return false;
}

/* Is it set by `env` too? */
static bool is_set_by(const char *variable, char *const *env)
{
    for (; *env; env++)
        if (strncmp(variable, *env, strcspn(*env, "=") + 1) == 0)
            return true;
    return false;
}

/* The caller's environment but for what is set here. The strings are borrowed, but for the last
 * one, which holds the directory. */
static char **make_env(const struct program_run *run, char **tmpdir)
{
    static const char *const own[] = {"LC_ALL", "PWD", "OLDPWD", NULL};
    static char locale[] = "LC_ALL=C";
    size_t n = 3, at = 0;
    char **env;

    for (char **e = environ; e && *e; e++)
        n++;
    for (char *const *e = run->env; *e; e++)
        n++;
    env = calloc(n, sizeof *env);
    if (!env || (run->dir && asprintf(tmpdir, "TMPDIR=%s", run->dir) < 0)) {
        free(env);
        return NULL;
    }
    for (char **e = environ; e && *e; e++)
        if (!is_among(*e, own) && !is_among(*e, run->without) && !is_set_by(*e, run->env) &&
            !(run->dir && is_of(*e, "TMPDIR")) && strncmp(*e, "derivfs_", strlen("derivfs_")) != 0)
            env[at++] = *e;
    for (char *const *e = run->env; *e; e++)
        env[at++] = *e;
    env[at++] = locale;
    env[at] = *tmpdir;
    return env;
}

/* ---- the end ---- */

static void keep_tail(struct tail *tail, const char *bytes, size_t n)
{
    size_t most = sizeof tail->bytes;

    if (n >= most) {
        memcpy(tail->bytes, bytes + n - most, most);
        tail->n = most;
        return;
    }
    if (tail->n + n > most) {
        size_t drop = tail->n + n - most;

        memmove(tail->bytes, tail->bytes + drop, tail->n - drop);
        tail->n -= drop;
    }
    memcpy(tail->bytes + tail->n, bytes, n);
    tail->n += n;
}

/* Take what is in the pipe. False when nothing will come any more. */
static bool drain(int fd, struct tail *tail)
{
    char buf[4096];
    ssize_t n;

    /* a bounded number of times: a program that writes for ever must not keep us from the clock */
    for (int i = 0; i < 64; i++) {
        n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        keep_tail(tail, buf, (size_t)n);
    }
    return true;
}

/* The last lines, as one: out[TOLD_NBYTES + 1]. */
static void tell_tail(const struct tail *tail, char *out)
{
    size_t end = tail->n, begin, lines = 0, n = 0;

    while (end > 0 && strchr(" \t\r\n", tail->bytes[end - 1]))
        end--;
    for (begin = end; begin > 0 && end - begin < TOLD_NBYTES / 2; begin--)
        if (tail->bytes[begin - 1] == '\n' && ++lines == TOLD_LINES)
            break;
    for (size_t i = begin; i < end && n + 3 < TOLD_NBYTES; i++) {
        if (tail->bytes[i] == '\n') {
            memcpy(out + n, " / ", 3);
            n += 3;
        } else {
            out[n++] = tail->bytes[i] ? tail->bytes[i] : '?';
        }
    }
    out[n] = '\0';
}

static int explain_end(const struct program_run *run, const siginfo_t *end, const struct tail *tail,
                       struct error *err)
{
    const char *name = run->argv[0], *sep;
    char told[TOLD_NBYTES + 1];

    tell_tail(tail, told);
    sep = *told ? ": " : "";
    if (end->si_code == CLD_EXITED && end->si_status == 0)
        return 0;
    if (end->si_code == 0)
        return error_set(err, EIO, "%s ended, nobody knows how: SIGCHLD is ignored", name);
    if (end->si_code == CLD_EXITED)
        return error_set(err, EIO, "%s ended with status %d%s%s", name, end->si_status, sep, told);
    return error_set(err, EIO, "%s was ended by signal %d (%s)%s%s", name, end->si_status,
                     sigdescr_np(end->si_status) ? sigdescr_np(end->si_status) : "unknown", sep,
                     told);
}

static int explain_timeout(const struct program_run *run, const struct tail *tail,
                           struct error *err)
{
    char told[TOLD_NBYTES + 1];

    tell_tail(tail, told);
    return error_set(err, EIO, "%s took longer than %u s%s%s", run->argv[0], run->timeout_s,
                     *told ? ": " : "", told);
}

/* ---- between ---- */

/* Wait until the program has ended (not reaped) or has to be ended. */
static int watch(const struct program_run *run, int pidfd, int err_fd, struct tail *tail,
                 struct error *err)
{
    struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};
    int64_t end_ms =
        run->timeout_s > 0 ? monotonic_ns() / 1000000 + (int64_t)run->timeout_s * 1000 : INT64_MAX;

    while (!(fds[0].revents & POLLIN)) {
        if (run->cancelled(run->ctx))
            return error_set(err, ECANCELED, "%s: cancelled", run->argv[0]);
        if (monotonic_ns() / 1000000 >= end_ms)
            return explain_timeout(run, tail, err);
        if (poll(fds, 2, POLL_MS) < 0 && errno != EINTR)
            return error_set(err, EIO, "%s: poll: %s", run->argv[0], strerrordesc_np(errno));
        if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR)) && !drain(err_fd, tail))
            fds[1].fd = -1;
    }
    return 0;
}

/* Ask it to end, and wait for that a while. */
static void ask_to_end(const struct program_run *run, pid_t pid, int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    int64_t end_ms = monotonic_ns() / 1000000 + run->grace_ms, left_ms = run->grace_ms;

    if (left_ms > 0)
        (void)kill(-pid, SIGTERM);
    while (left_ms > 0 && poll(&fd, 1, (int)left_ms) < 0 && errno == EINTR)
        left_ms = end_ms - monotonic_ns() / 1000000;
}

static void reap(pid_t pid, siginfo_t *end)
{
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL); /* before setsid() there is no group */
    while (waitid(P_PID, (id_t)pid, end, WEXITED) < 0 && errno == EINTR)
        ; /* ECHILD, where SIGCHLD is ignored, leaves si_code 0 */
}

/* With the child running: wait, kill, reap, explain. */
static int see_through(const struct program_run *run, pid_t pid, int err_fd, int report_fd,
                       struct error *err)
{
    int pidfd = pidfd_open(pid, 0), code = 0;
    struct tail *tail = calloc(1, sizeof *tail);
    siginfo_t end = {.si_code = 0};
    int ret;

    if (pidfd < 0 || !tail)
        ret = error_set(err, EIO, "%s: cannot be watched: %s", run->argv[0],
                        strerrordesc_np(tail ? errno : ENOMEM));
    else
        ret = watch(run, pidfd, err_fd, tail, err);
    if (ret == -ECANCELED)
        ask_to_end(run, pid, pidfd);
    reap(pid, &end);
    if (ret == 0 && fd_read(report_fd, &code, sizeof code) == sizeof code)
        ret = error_set(err, EIO, "%s cannot be started: %s", run->argv[0], strerrordesc_np(code));
    if (ret == 0) {
        (void)drain(err_fd, tail);
        ret = explain_end(run, &end, tail, err);
    }
    free(tail);
    if (pidfd >= 0)
        close(pidfd);
    return ret;
}

static void close_pipe(int *fds)
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int launch(struct launch *l, int *err_pipe, int *report_pipe, struct error *err)
{
    const struct program_run *run = l->run;
    pid_t pid;

    l->err_fd = err_pipe[1];
    l->report_fd = report_pipe[1];
    l->parent = getpid();
    pid = fork();
    if (pid == 0)
        become_program(l);
    if (pid < 0)
        return error_set(err, EIO, "%s cannot be started: %s", run->argv[0],
                         strerrordesc_np(errno));
    close(err_pipe[1]);
    close(report_pipe[1]);
    err_pipe[1] = report_pipe[1] = -1;
    return see_through(run, pid, err_pipe[0], report_pipe[0], err);
}

/* Descriptors below 3 would be overwritten by those of the child: a daemon has them open. */
static int open_streams(struct launch *l, int *err_pipe, int *report_pipe)
{
    l->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (l->null_fd < 0 || pipe2(err_pipe, O_CLOEXEC) < 0 || pipe2(report_pipe, O_CLOEXEC) < 0)
        return -1;
    return fcntl(err_pipe[0], F_SETFL, O_NONBLOCK) < 0 ||
                   fcntl(report_pipe[0], F_SETFL, O_NONBLOCK) < 0
               ? -1
               : 0;
}

int program_run(const struct program_run *run, struct error *err)
{
    int err_pipe[2] = {-1, -1}, report_pipe[2] = {-1, -1}, ret;
    char *tmpdir = NULL;
    struct launch l = {.run = run, .env = make_env(run, &tmpdir)};

    if (!l.env)
        return error_set(err, ENOMEM, "%s: out of memory", run->argv[0]);
    if (open_streams(&l, err_pipe, report_pipe) < 0)
        ret = error_set(err, EIO, "%s cannot be started: %s", run->argv[0], strerrordesc_np(errno));
    else
        ret = launch(&l, err_pipe, report_pipe, err);
    if (l.null_fd >= 0)
        close(l.null_fd);
    close_pipe(err_pipe);
    close_pipe(report_pipe);
    free(l.env);
    free(tmpdir);
    return ret;
}
