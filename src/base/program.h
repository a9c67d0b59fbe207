/* SPDX-License-Identifier: MIT
 *
 * Programs: find the file of a command's name, and run it in isolation.
 *
 * A program runs in a session and a directory of its own, without terminal and standard input, with
 * limits on time and memory. When the run ends, its process group is always dead; it also dies with
 * the thread that started it. Thread rule: all functions are reentrant; any number of programs at
 * once.
 */
#ifndef DERIVFS_PROGRAM_H
#define DERIVFS_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum { PROGRAM_ID_MAX = 128 };

struct program {
    char *path;              /* absolute */
    char id[PROGRAM_ID_MAX]; /* device, inode, size and mtime */
};

/* Look `name` up in PATH, unless it is absolute. EPERM: the program lies beneath the directory
 * `forbidden` (-1: none); ENOENT, EACCES, ENOMEM. */
int program_find(const char *name, int forbidden, struct program *out, struct error *err) NODISCARD;
/* The program `name` in the directory of the running one; "NAME" if there is none. malloced; NULL: out
 * of memory. */
char *program_beside(const char *name) NODISCARD;
/* Is the file unchanged since it was found? */
bool program_is_still(const struct program *program);
void program_clear(struct program *program);

/* A private directory under TMPDIR, mode 0700. */
struct program_dir {
    char *path; /* NULL: none */
    int fd;     /* of it; -1: none */
};

int program_dir_make(struct program_dir *d) NODISCARD; /* 0 or -errno */
/* Remove it and its content; follows no link. The directory may be missing. */
void program_dir_remove(struct program_dir *d);
/* Remove the directories that killed processes of this user have left behind. */
void program_dirs_sweep(void);

struct program_run {
    const char *path;  /* of the program */
    char *const *argv; /* ends with NULL, as env and without */
    char *const *env;  /* added to the caller's environment, as is LC_ALL=C */
    const char *dir;   /* private: working directory and TMPDIR; NULL: it runs in `dirfd`, and */
    int dirfd;         /* TMPDIR and umask are the caller's */
    const char *const *without; /* variables that it does not inherit; NULL: inherits all */
    int out_fd;                 /* its standard output; -1: the same as its stderr */
    unsigned timeout_s;         /* 0: no limit */
    unsigned grace_ms;          /* when cancelled, time to end after SIGTERM; 0: SIGKILL at once */
    uint64_t memory_nbytes;     /* 0: no limit */
    bool (*cancelled)(const void *ctx); /* called often */
    const void *ctx;
};

/* Run to the end. EIO: it could not be started, did not end with status 0, or took too long; the
 * sentence includes the last lines of its standard error. ECANCELED. */
int program_run(const struct program_run *run, struct error *err) NODISCARD;

#endif
