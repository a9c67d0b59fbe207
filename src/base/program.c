/* SPDX-License-Identifier: MIT
 *
 * Find programs. program_run.c runs them, program_dir.c makes their directories.
 *
 * Planning a command identifies the program's file; after the run it is compared again, so that a
 * result never gets the key of another version.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

static void describe_file(const struct stat *st, char *id)
{
    snprintf(id, PROGRAM_ID_MAX, "%" PRIu64 ":%" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld",
             (uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
             (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

/* 0: `path` is an executable file. */
static int check_program(const char *path, struct stat *st)
{
    if (stat(path, st) < 0)
        return -errno;
    if (!S_ISREG(st->st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Look for `name` in a directory of PATH. */
static int check_in(const char *dir, size_t nbytes, const char *name, struct stat *st, char **path)
{
    int ret;

    if (dir[0] != '/') /* a relative directory would be another one for each command */
        return -ENOENT;
    if (asprintf(path, "%.*s/%s", (int)nbytes, dir, name) < 0)
        return -ENOMEM;
    ret = check_program(*path, st);
    if (ret < 0)
        free(*path);
    return ret;
}

/* Look `name` up in PATH. NULL: *code says why. After a fault it looks no further: what a later
 * directory has under that name is another program. */
static char *search(const char *name, struct stat *st, int *code)
{
    const char *dir = getenv("PATH");

    *code = ENOENT;
    if (!dir)
        dir = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t nbytes = strcspn(dir, ":");
        char *path;
        int ret = check_in(dir, nbytes, name, st, &path);

        if (ret == 0)
            return path;
        if (ret == -EACCES || resolve_is_fault(ret))
            *code = -ret;
        if (!dir[nbytes] || resolve_is_fault(ret))
            return NULL;
        dir += nbytes + 1;
    }
}

/* Does the file lie beneath the directory? Compares the inodes of all directories above it, so that
 * no link and no other name of the directory hides it. */
static bool lies_beneath(const char *path, int dirfd)
{
    char *real = realpath(path, NULL);
    struct stat top, st;
    bool beneath = !real || fstat(dirfd, &top) < 0;

    for (char *slash; !beneath && (slash = strrchr(real, '/'));) {
        slash[slash == real] = '\0'; /* the root keeps its slash */
        beneath = stat(real, &st) < 0 || (st.st_dev == top.st_dev && st.st_ino == top.st_ino);
        if (slash == real)
            break;
    }
    free(real);
    return beneath;
}

int program_find(const char *name, int forbidden, struct program *out, struct error *err)
{
    struct stat st;
    int code = 0;

    *out = (struct program){.path = NULL};
    if (name[0] == '/') {
        code = -check_program(name, &st);
        out->path = code == 0 ? strdup(name) : NULL;
        if (code == 0 && !out->path)
            code = ENOMEM;
    } else {
        out->path = search(name, &st, &code);
    }
    if (!out->path)
        return error_set(err, code, "program %s: %s", name,
                         code == ENOENT ? "not found" : strerrordesc_np(code));
    if (forbidden >= 0 && lies_beneath(out->path, forbidden)) {
        program_clear(out);
        return error_set(err, EPERM, "program %s: a file of the dataset is never run", name);
    }
    describe_file(&st, out->id);
    return 0;
}

bool program_is_still(const struct program *program)
{
    char id[PROGRAM_ID_MAX];
    struct stat st;

    if (stat(program->path, &st) < 0)
        return false;
    describe_file(&st, id);
    return strcmp(id, program->id) == 0;
}

void program_clear(struct program *program)
{
    free(program->path);
    program->path = NULL;
}

char *program_beside(const char *name)
{
    char own[PATH_MAX], *path, *slash;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

    own[n < 0 ? 0 : n] = '\0';
    slash = strrchr(own, '/');
    if (slash) {
        if (asprintf(&path, "%.*s/%s", (int)(slash - own), own, name) < 0)
            return NULL;
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return strdup(name);
}
