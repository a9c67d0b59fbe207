/* SPDX-License-Identifier: MIT
 *
 * Run a program.
 *
 *     fork -- child: session, directory, limits, signals, descriptors -- exec
 *       |                 '-- errno of a failure, through a pipe that exec closes
 *       '---- parent: poll { the end, its stderr } every POLL_MS, and check the clock and for
 *             cancellation; then kill the group, then reap
 *
 * Before exec the child of a threaded process may call only async-signal-safe functions, so
 * everything is prepared before fork. The group is killed before its leader is reaped, while its
 * number is still reserved. Only the last lines of stderr are kept. A process that the program
 * leaves behind in another session is not waited for, even if it holds the pipe.
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

/* The part of stderr that is kept, and the part in the message, which needs room for more. */
enum { TAIL_NBYTES = 4096, SHOWN_NBYTES = 600, SHOWN_LINES = 5 };

enum { POLL_MS = 50 }; /* delay of a cancellation or a timeout */

struct tail {
    char bytes[TAIL_NBYTES];
    size_t n;
};

/* Everything that the child needs. Its ends of the pipes are [1]. */
struct launch {
    const struct program_run *run;
    char **env;
    pid_t parent;
    int null_fd;
    int err_pipe[2];    /* stderr */
    int report_pipe[2]; /* errno, if there was no exec */
};

/* ---- the child ---- */

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
    int err = l->err_pipe[1], out = l->run->out_fd >= 0 ? l->run->out_fd : err;

    if (dup2(l->null_fd, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        return -1;
    /* our descriptors are close-on-exec already; those of libraries may not be */
    (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    return 0;
}

/* Never returns. Sends a failure's errno through the pipe, and ends by a signal, because exit()
 * would run the parent's handlers. */
static void become_program(const struct launch *l)
{
    uint64_t nbytes = l->run->memory_nbytes;
    int code;

    reset_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == l->parent && setsid() >= 0 &&
        (l->run->dir ? chdir(l->run->dir) : fchdir(l->run->dirfd)) == 0 &&
        connect_streams(l) == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (nbytes > 0)
            (void)setrlimit(RLIMIT_AS, &(struct rlimit){nbytes, nbytes});
        if (l->run->dir)
            umask(077);
        execve(l->run->path, l->run->argv, l->env);
    }
    code = errno;
    if (fd_write(l->report_pipe[1], &code, sizeof code) < 0)
        code = 0; /* then the parent sees only the signal */
    for (;;)
        (void)kill(getpid(), SIGKILL);
}

/* ---- before ---- */

/* Is `variable`, "NAME=VALUE", called as `name`, "NAME" or "NAME=ANYTHING"? */
static bool is_of(const char *variable, const char *name)
{
    size_t n = strcspn(name, "=");

    return strncmp(variable, name, n) == 0 && variable[n] == '=';
}

static bool is_among(const char *variable, const char *const *names)
{
    for (; names && *names; names++)
        if (is_of(variable, *names))
            return true;
    return false;
}

/* The caller's environment, changed as `run` says. The strings are borrowed, except *tmpdir. */
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
        if (!is_among(*e, own) && !is_among(*e, run->without) &&
            !is_among(*e, (const char *const *)run->env) && !(run->dir && is_of(*e, "TMPDIR")) &&
            strncmp(*e, "derivfs_", strlen("derivfs_")) != 0)
            env[at++] = *e;
    for (char *const *e = run->env; *e; e++)
        env[at++] = *e;
    env[at++] = locale;
    env[at] = *tmpdir;
    return env;
}

/* ---- the end ---- */

/* n is at most TAIL_NBYTES. */
static void keep_tail(struct tail *tail, const char *bytes, size_t n)
{
    size_t drop = tail->n + n > TAIL_NBYTES ? tail->n + n - TAIL_NBYTES : 0;

    tail->n -= drop;
    memmove(tail->bytes, tail->bytes + drop, tail->n);
    memcpy(tail->bytes + tail->n, bytes, n);
    tail->n += n;
}

/* Empty the pipe. False: it is at its end. */
static bool drain(int fd, struct tail *tail)
{
    char buf[TAIL_NBYTES];
    ssize_t n;

    /* bounded, so that a program that writes for ever does not keep us from the clock */
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

/* Add the last lines of stderr, as one, to the sentence. Returns -EIO. */
static int add_stderr(const struct tail *tail, struct error *err)
{
    size_t end = tail->n, begin, lines = 0, n = 0;
    char shown[SHOWN_NBYTES + 1];

    while (end > 0 && strchr(" \t\r\n", tail->bytes[end - 1]))
        end--;
    for (begin = end; begin > 0 && end - begin < SHOWN_NBYTES / 2; begin--)
        if (tail->bytes[begin - 1] == '\n' && ++lines == SHOWN_LINES)
            break;
    for (size_t i = begin; i < end && n + 3 < SHOWN_NBYTES; i++) {
        if (tail->bytes[i] == '\n') {
            memcpy(shown + n, " / ", 3);
            n += 3;
        } else {
            shown[n++] = tail->bytes[i] ? tail->bytes[i] : '?';
        }
    }
    shown[n] = '\0';
    return n > 0 && err ? error_set(err, EIO, "%s: %s", err->text, shown) : -EIO;
}

static int explain_end(const struct program_run *run, const siginfo_t *end, const struct tail *tail,
                       struct error *err)
{
    const char *name = run->argv[0], *signal = sigdescr_np(end->si_status);

    if (end->si_code == CLD_EXITED && end->si_status == 0)
        return 0;
    if (end->si_code == 0)
        return error_set(err, EIO, "%s ended with an unknown status: SIGCHLD is ignored", name);
    if (end->si_code == CLD_EXITED)
        (void)error_set(err, EIO, "%s ended with status %d", name, end->si_status);
    else
        (void)error_set(err, EIO, "%s was ended by signal %d (%s)", name, end->si_status,
                        signal ? signal : "unknown");
    return add_stderr(tail, err);
}

/* ---- between ---- */

/* Wait until the program has ended, not reaped (0), or must be ended. */
static int watch(const struct program_run *run, int pidfd, int err_fd, struct tail *tail,
                 struct error *err)
{
    struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};
    int64_t end_ms =
        run->timeout_s > 0 ? monotonic_ns() / 1000000 + (int64_t)run->timeout_s * 1000 : INT64_MAX;

    while (!(fds[0].revents & POLLIN)) {
        if (run->cancelled(run->ctx))
            return error_set(err, ECANCELED, "%s: cancelled", run->argv[0]);
        if (monotonic_ns() / 1000000 >= end_ms) {
            (void)error_set(err, EIO, "%s took longer than its timeout of %u s", run->argv[0],
                            run->timeout_s);
            return add_stderr(tail, err);
        }
        if (poll(fds, 2, POLL_MS) < 0 && errno != EINTR)
            return error_set(err, EIO, "%s: cannot wait for its end: %s", run->argv[0],
                             strerrordesc_np(errno));
        if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR)) && !drain(err_fd, tail))
            fds[1].fd = -1;
    }
    return 0;
}

/* Send SIGTERM, and wait up to grace_ms. */
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
static int see_through(const struct launch *l, pid_t pid, struct error *err)
{
    const struct program_run *run = l->run;
    int pidfd = pidfd_open(pid, 0), err_fd = l->err_pipe[0], code = 0, ret;
    struct tail *tail = calloc(1, sizeof *tail);
    siginfo_t end = {.si_code = 0};

    if (pidfd < 0 || !tail)
        ret = error_set(err, EIO, "%s: cannot watch it: %s", run->argv[0],
                        strerrordesc_np(tail ? errno : ENOMEM));
    else
        ret = watch(run, pidfd, err_fd, tail, err);
    if (ret == -ECANCELED)
        ask_to_end(run, pid, pidfd);
    reap(pid, &end);
    if (ret == 0 && fd_read(l->report_pipe[0], &code, sizeof code) == sizeof code)
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

/* The child would overwrite descriptors below 3, but the daemon has those open. */
static int open_streams(struct launch *l)
{
    l->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (l->null_fd < 0 || pipe2(l->err_pipe, O_CLOEXEC) < 0 ||
        pipe2(l->report_pipe, O_CLOEXEC) < 0 || fcntl(l->err_pipe[0], F_SETFL, O_NONBLOCK) < 0)
        return -1;
    return fcntl(l->report_pipe[0], F_SETFL, O_NONBLOCK);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int program_run(const struct program_run *run, struct error *err)
{
    char *tmpdir = NULL;
    struct launch l = {run, make_env(run, &tmpdir), getpid(), -1, {-1, -1}, {-1, -1}};
    int ret;

    if (!l.env)
        return error_set(err, ENOMEM, "%s: out of memory", run->argv[0]);
    pid_t pid = open_streams(&l) < 0 ? -1 : fork();
    if (pid == 0)
        become_program(&l);
    int code = errno;
    close_fd(&l.err_pipe[1]);
    close_fd(&l.report_pipe[1]);
    if (pid < 0)
        ret = error_set(err, EIO, "%s cannot be started: %s", run->argv[0], strerrordesc_np(code));
    else
        ret = see_through(&l, pid, err);
    close_fd(&l.null_fd);
    close_fd(&l.err_pipe[0]);
    close_fd(&l.report_pipe[0]);
    free(l.env);
    free(tmpdir);
    return ret;
}
