/* SPDX-License-Identifier: MIT
 *
 * System calls that fail when they are told to: preloaded into a program (LD_PRELOAD).
 *
 * A test writes into the file $DERIVFS_FAULTS, which is mapped here: which call fails, with which
 * errno, from which occurrence on, and a text that the path of its file has. What is about another
 * file works as ever, so the program's own machinery is spared.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* faults.py has the same. */
struct control {
    _Atomic int32_t armed;
    char call[20];         /* as in FAULT(...) below */
    int32_t code;          /* the errno */
    int32_t lasts;         /* all further calls fail too */
    _Atomic int32_t after; /* calls that still work */
    _Atomic int32_t hits;  /* that have failed */
    char path[256];
};

static struct control *control;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("DERIVFS_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    control = mapped == MAP_FAILED ? NULL : mapped;
}

/* Where the path counts from, or the file of a descriptor. */
static bool path_of_fd(int fd, char path[PATH_MAX])
{
    char name[32];
    long n;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

static bool is_about(int dirfd, const char *name)
{
    char path[2 * PATH_MAX] = "";

    if (dirfd != AT_FDCWD && (!name || name[0] != '/') && !path_of_fd(dirfd, path))
        return false;
    if (name)
        snprintf(path + strlen(path), PATH_MAX, "/%s", name);
    return strstr(path, control->path) != NULL;
}

/* Is it the turn of this call? */
static bool strikes(int code)
{
    if (atomic_fetch_sub(&control->after, 1) > 0 ||
        (!control->lasts && atomic_load(&control->hits) > 0))
        return false;
    atomic_fetch_add(&control->hits, 1);
    errno = code;
    return true;
}

/* Must this call fail? Then errno is set. */
static bool fails(const char *call, int dirfd, const char *name)
{
    int before = errno;
    bool mine = control && atomic_load(&control->armed) && strcmp(control->call, call) == 0 &&
                is_about(dirfd, name);

    errno = before;
    return mine && strikes(control->code);
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

/* ---- openat2(2), which has no function of its own ---- */

typedef long syscall_fn(long, ...);

long syscall(long number, ...)
{
    static _Atomic(syscall_fn *) real;
    syscall_fn *fn = atomic_load(&real);
    long a[6];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (!fn) {
        fn = REAL(syscall_fn *, "syscall");
        atomic_store(&real, fn);
    }
    if (number == SYS_openat2 && fails("openat2", (int)a[0], (const char *)a[1]))
        return -1;
    return fn(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- the rest: FAULT(call, returned, failure, name in libc, parameters, arguments, file) ---- */

#define FAULT(call, type, failure, name, params, args, dirfd, path)                                \
    type name params                                                                               \
    {                                                                                              \
        static _Atomic(type(*) params) real;                                                       \
        type(*fn) params = atomic_load(&real);                                                     \
                                                                                                   \
        if (!fn) {                                                                                 \
            fn = REAL(type(*) params, #name);                                                      \
            atomic_store(&real, fn);                                                               \
        }                                                                                          \
        return fails(call, dirfd, path) ? (failure) : fn args;                                     \
    }

typedef struct stat stat_t;

FAULT("fstat", int, -1, fstat, (int fd, stat_t *st), (fd, st), fd, NULL)
FAULT("stat", int, -1, stat, (const char *path, stat_t *st), (path, st), AT_FDCWD, path)
FAULT("fstatat", int, -1, fstatat, (int fd, const char *path, stat_t *st, int flags),
      (fd, path, st, flags), fd, path)
FAULT("pread", ssize_t, -1, pread, (int fd, void *buf, size_t n, off_t off), (fd, buf, n, off), fd,
      NULL)
FAULT("read", ssize_t, -1, read, (int fd, void *buf, size_t n), (fd, buf, n), fd, NULL)
FAULT("write", ssize_t, -1, write, (int fd, const void *buf, size_t n), (fd, buf, n), fd, NULL)
FAULT("readlinkat", ssize_t, -1, readlinkat, (int fd, const char *path, char *buf, size_t n),
      (fd, path, buf, n), fd, *path ? path : NULL)
FAULT("readdir", struct dirent *, NULL, readdir, (DIR * d), (d), dirfd(d), NULL)
FAULT("fdopendir", DIR *, NULL, fdopendir, (int fd), (fd), fd, NULL)
FAULT("fdatasync", int, -1, fdatasync, (int fd), (fd), fd, NULL)
FAULT("fallocate", int, -1, fallocate, (int fd, int mode, off_t off, off_t n), (fd, mode, off, n),
      fd, NULL)
FAULT("linkat", int, -1, linkat, (int a, const char *from, int b, const char *to, int flags),
      (a, from, b, to, flags), b, to)
FAULT("faccessat", int, -1, faccessat, (int fd, const char *path, int mode, int flags),
      (fd, path, mode, flags), fd, path)

/* of an open descriptor's place in /proc */
ssize_t readlink(const char *path, char *buf, size_t n)
{
    int fd;
    bool is_fd = sscanf(path, "/proc/self/fd/%d", &fd) == 1;

    return fails("readlink", is_fd ? fd : AT_FDCWD, is_fd ? NULL : path)
               ? -1
               : syscall(SYS_readlinkat, AT_FDCWD, path, buf, n);
}

int open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return fails("open", AT_FDCWD, path) ? -1
                                         : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return fails("open", fd, path) ? -1 : (int)syscall(SYS_openat, fd, path, flags, mode);
}

/* Of a descriptor (F_DUPFD_CLOEXEC), as where a directory is listed. */
int fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    long arg = va_arg(args, long);
    va_end(args);
    if (command == F_DUPFD_CLOEXEC && fails("dup", fd, NULL))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, arg);
}

/* ---- memory: what the program itself asks for; libraries may not bear its lack ---- */

static bool memory_fails(const char *call, const void *caller)
{
    Dl_info own, info;

    if (!control || !atomic_load(&control->armed) || strcmp(control->call, call) != 0 ||
        !dladdr((const void *)getauxval(AT_PHDR), &own) || !dladdr(caller, &info) ||
        own.dli_fbase != info.dli_fbase)
        return false;
    return strikes(ENOMEM);
}

#define MEMORY(name, params, args)                                                                 \
    void *__libc_##name params;                                                                    \
    void *name params                                                                              \
    {                                                                                              \
        return memory_fails(#name, __builtin_return_address(0)) ? NULL : __libc_##name args;       \
    }

MEMORY(malloc, (size_t n), (n))
MEMORY(calloc, (size_t n, size_t each), (n, each))
MEMORY(realloc, (void *p, size_t n), (p, n))
