/* SPDX-License-Identifier: MIT
 *
 * Opens that were answered ESTALE.
 *
 * The kernel looks such a name up anew and opens what it finds, in the same thread, but once only:
 * a second ESTALE is the reader's (Linux, fs/namei.c, do_filp_open). Where a file is replaced again
 * between that lookup and that open, what has come last is opened instead, as if it had come right
 * after the open. Thread rule: any thread; no lock.
 */
#ifndef DERIVFS_RETRIES_H
#define DERIVFS_RETRIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RETRIES_MAX = 64 };

/* All zero at first. Opens of more threads at a time overwrite each other, and then a second ESTALE
 * is told. */
struct retries {
    _Atomic uint64_t refused[RETRIES_MAX];
};

/* The thread's open of `name` in `dir` finds another file than was looked up. Returns whether the
 * open before was told so too; if not, tell it ESTALE. */
bool retries_is_second(struct retries *t, pid_t thread, const char *dir, const char *name);

/* The thread's open succeeds. */
void retries_forget(struct retries *t, pid_t thread);

#endif
