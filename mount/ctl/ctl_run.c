/* SPDX-License-Identifier: MIT
 *
 * derivctl run: a command that sees the derived files, where nobody may mount.
 *
 *     derivctl run ---- keeper: own user and mount namespace
 *                         |---- derivfs DATASET DATASET
 *                         '---- COMMAND, without capabilities
 *
 * The mount exists in the namespace alone, and goes with its last process. Either of the first two
 * ends everything below when COMMAND or the other one ends, however it ends: each adopts orphans
 * (family.h), and the kernel tells the keeper when its parent dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "family.h"
#include "fd.h"
#include "program.h"

/* Exit statuses of programs that run another one, as of env(1). */
enum { RUN_FAILED = 125, RUN_CANNOT = 126, RUN_NOT_FOUND = 127 };

struct run {
    char *dataset;  /* its real path */
    char **options; /* [noptions], for derivfs */
    int noptions;
    char **command;   /* ends with NULL */
    char *cwd;        /* NULL: unknown */
    sigset_t forward; /* what COMMAND gets too, and SIGCHLD; blocked */
    sigset_t before;  /* the mask at the start */
};

static int say_errno(const char *what, int err)
{
    ctl_say("run: %s: %s", what, strerror(err));
    return RUN_FAILED;
}

/* ---- the namespaces ---- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), ret = -errno;

    if (fd >= 0) {
        ret = fd_write(fd, text, strlen(text));
        close(fd);
    }
    return ret;
}

/* The caller keeps its user and group: the only ones that the new namespace knows. */
static int map_ids(uid_t uid, gid_t gid)
{
    char map[64];
    int ret = write_file("/proc/self/setgroups", "deny");

    if (ret == 0) {
        snprintf(map, sizeof map, "%u %u 1\n", (unsigned)uid, (unsigned)uid);
        ret = write_file("/proc/self/uid_map", map);
    }
    if (ret == 0) {
        snprintf(map, sizeof map, "%u %u 1\n", (unsigned)gid, (unsigned)gid);
        ret = write_file("/proc/self/gid_map", map);
    }
    return ret;
}

/* user_namespaces(7), and what distributions add to it. */
static const char *namespace_advice(int err)
{
    if (err == ENOSPC)
        return " (user namespaces are forbidden here: user.max_user_namespaces is 0, or all are in "
               "use; use derivctl compute, or derivfs with fusermount3)";
    if (err == EPERM || err == EACCES)
        return " (user namespaces are forbidden here, by a container or by the system: "
               "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; "
               "use "
               "derivctl compute, or derivfs with fusermount3)";
    return "";
}

/* Root needs no namespace of users, and would lose its rights on files of others there. Mounts that
 * are made outside still appear, as an automounter's; ours stays inside. */
static int enter_namespaces(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int ret = unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) == 0 ? 0 : -errno;

    if (ret == 0 && uid != 0)
        ret = map_ids(uid, gid);
    if (ret == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        ret = -errno;
    if (ret < 0)
        ctl_say("run: a private namespace cannot be made: %s%s", strerror(-ret),
                namespace_advice(-ret));
    return ret;
}

/* Keep this set alone of the caller's capabilities, also in programs that it runs. */
static int limit_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (uint32_t)(kept >> 32 * i);
        data[i].inheritable = data[i].effective;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &head, data) < 0)
        return -errno;
    for (unsigned cap = 0; cap < 64; cap++)
        if (kept >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return 0;
}

/* ---- the processes ---- */

/* In a new process: run a program with these capabilities; it dies with its parent. */
static _Noreturn void become(const struct run *r, pid_t parent, uint64_t capabilities,
                             const char *path, char **argv)
{
    int ret = geteuid() == 0 ? 0 : limit_capabilities(capabilities);

    if (ret == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        ret = -ESRCH;
    sigprocmask(SIG_SETMASK, &r->before, NULL);
    if (ret == 0) {
        execvp(path, argv);
        ret = -errno;
    }
    ctl_say("run: %s: %s", argv[0], strerror(-ret));
    _exit(ret == -ENOENT ? RUN_NOT_FOUND : RUN_CANNOT);
}

static pid_t start(const struct run *r, uint64_t capabilities, const char *path, char **argv)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become(r, parent, capabilities, path, argv);
    if (pid < 0)
        say_errno("a process cannot be started", errno);
    return pid;
}

/* Mount. derivfs returns when the mount works, and leaves its daemon to us. */
static int mount_over(const struct run *r, struct family *f)
{
    char *path = program_beside("derivfs"), **argv = calloc((size_t)r->noptions + 5, sizeof *argv);
    int status = -1;
    pid_t pid = -1;

    if (path && argv) {
        argv[0] = path;
        memcpy(argv + 1, r->options, (size_t)r->noptions * sizeof *argv);
        argv[r->noptions + 1] = "--";
        argv[r->noptions + 2] = argv[r->noptions + 3] = r->dataset;
        pid = start(r, UINT64_C(1) << CAP_SYS_ADMIN, path, argv);
    } else {
        say_errno(r->dataset, ENOMEM);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    free(path);
    free(argv);
    if (pid > 0 && status != 0)
        ctl_say("run: %s: derivfs could not mount it; COMMAND was not started", r->dataset);
    f->server = family_first();
    return pid > 0 && status == 0 ? 0 : -1;
}

/* Wait for f->main; hand on signals, except those of the terminal, which sends them to all. Returns
 * when it has ended, or the parent of this process has (`parent`). */
static void wait_for(const struct run *r, struct family *f, pid_t parent)
{
    siginfo_t info;

    for (family_reap(f); !f->main_ended && getppid() == parent; family_reap(f))
        if (sigwaitinfo(&r->forward, &info) > 0 && info.si_signo != SIGCHLD &&
            info.si_code != SI_KERNEL && !f->main_ended)
            kill(f->main, info.si_signo);
}

/* End as the process with this status of waitpid(2) did. */
static int end_like(int status)
{
    const struct rlimit none = {0, 0};
    sigset_t set;
    int sig;

    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    sig = WTERMSIG(status);
    setrlimit(RLIMIT_CORE, &none); /* COMMAND has left one, if it was to */
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 + sig;
}

static int keep(const struct run *r, pid_t parent)
{
    struct family f = {0};

    if (enter_namespaces() < 0)
        return RUN_FAILED;
    /* entering a namespace of users clears it, so it is set only now */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || family_adopt() < 0)
        return say_errno("prctl", errno);
    if (getppid() != parent || mount_over(r, &f) < 0)
        return RUN_FAILED;
    if (r->cwd && chdir(r->cwd) < 0) /* the same directory, but through the mount */
        ctl_say("run: %s: %s: COMMAND starts in the directory below the mount", r->cwd,
                strerror(errno));
    f.main = start(r, 0, r->command[0], r->command);
    if (f.main > 0)
        wait_for(r, &f, parent);
    if (f.server_ended)
        ctl_say("run: derivfs ended before COMMAND did, whose reads have failed since (its last "
                "words are in the system log)");
    family_end(&f);
    return f.main > 0 ? end_like(f.main_status) : RUN_FAILED;
}

static int supervise(struct run *r)
{
    static const int forwarded[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
    struct family f = {0};
    pid_t self = getpid();

    sigemptyset(&r->forward);
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        sigaddset(&r->forward, forwarded[i]);
    sigprocmask(SIG_BLOCK, &r->forward, &r->before);
    if (family_adopt() < 0)
        return say_errno("prctl", errno);
    f.main = fork();
    if (f.main < 0)
        return say_errno("a process cannot be started", errno);
    if (f.main == 0)
        exit(keep(r, self));
    wait_for(r, &f, getppid());
    family_end(&f);
    return end_like(f.main_status);
}

int ctl_run(const struct ctl *ctl)
{
    struct run r = {.options = ctl->paths + 1};
    int ret;

    while (1 + r.noptions < ctl->npaths && strcmp(r.options[r.noptions], "--") != 0)
        r.noptions++;
    r.command = r.options + r.noptions + 1;
    if (ctl->npaths == 0 || ctl->paths[0][0] == '-' || r.noptions + 2 >= ctl->npaths)
        return CTL_USAGE;
    r.dataset = realpath(ctl->paths[0], NULL);
    r.cwd = getcwd(NULL, 0);
    ret = r.dataset ? supervise(&r) : say_errno(ctl->paths[0], errno);
    free(r.dataset);
    free(r.cwd);
    return ret;
}
