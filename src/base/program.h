/* SPDX-License-Identifier: MIT
 *
 * Programs: which file a name in a command stands for, and running it apart from everything else.
 *
 * A program runs in a session and a directory of its own, without terminal and standard input, with
 * limits on time and memory. Whatever happens, its process group is dead and its directory gone
 * when the run ends; it dies with the thread that has started it.
 * Thread rule: all functions are reentrant; any number of programs at once.
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

/* Look `name` up in PATH, or take it as it is where it is absolute. A program that lies beneath the
 * directory `forbidden` (-1: none) is refused with EPERM; ENOENT, EACCES, ENOMEM. */
int program_find(const char *name, int forbidden, struct program *out, struct error *err) NODISCARD;
/* Is the file still the one that was found? */
bool program_is_still(const struct program *program);
void program_clear(struct program *program);

/* A private directory under TMPDIR, mode 0700. */
struct program_dir {
    char *path; /* NULL: none */
    int fd;     /* of it; -1: none */
};

/* -errno. */
int program_dir_make(struct program_dir *d) NODISCARD;
/* Remove it with all that is in it; follows no link. A directory that is not there is allowed. */
void program_dir_remove(struct program_dir *d);
/* Remove what processes of this user have left behind that were killed. */
void program_dirs_sweep(void);

struct program_run {
    const char *path;  /* of the program */
    char *const *argv; /* ended by NULL, like the next */
    char *const *env;  /* put into the environment, which is else the caller's with LC_ALL=C */
    const char *dir;   /* private: where it runs, and its TMPDIR; NULL: it runs in `dirfd`, and */
    int dirfd;         /* TMPDIR and umask are the caller's */
    const char *const *without; /* variables of the caller that it does not get, ended by NULL;
                                   NULL: it gets all */
    int out_fd;                 /* takes its standard output; -1: that goes where stderr does */
    unsigned timeout_s;         /* 0: no limit */
    unsigned grace_ms; /* cancelled, it gets SIGTERM and this time to end; 0: SIGKILL at once */
    uint64_t memory_nbytes;             /* 0: no limit */
    bool (*cancelled)(const void *ctx); /* asked often */
    const void *ctx;
};

/* Run to the end. EIO with a sentence: it could not be started, did not end with status 0 or took
 * too long; the last lines of its standard error are part of it. ECANCELED. */
int program_run(const struct program_run *run, struct error *err) NODISCARD;

#endif
