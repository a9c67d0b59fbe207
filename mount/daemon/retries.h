/* SPDX-License-Identifier: MIT
 *
 * Opens that were answered ESTALE.
 *
 * The kernel then looks the name up and opens it again in the same thread, but only once: open(2)
 * returns a second ESTALE (Linux, fs/namei.c, do_filp_open). If a file is replaced again between
 * that lookup and that open, the daemon opens the newest file instead, as if it had been replaced
 * right after the open. Thread rule: any thread; no lock.
 */
#ifndef DERIVFS_RETRIES_H
#define DERIVFS_RETRIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RETRIES_MAX = 4096 };

/* All zero at first. More threads at a time overwrite each other's slots, and then open(2) may
 * return ESTALE. */
struct retries {
    _Atomic uint64_t refused[RETRIES_MAX];
};

/* Was the thread's last open that of `name` in `dir`, and answered ESTALE? Of a thread of another
 * namespace nothing is known: true. */
bool retries_is_second(struct retries *t, pid_t thread, const char *dir, const char *name);

/* The thread's open of `name` in `dir` is answered ESTALE. */
void retries_note(struct retries *t, pid_t thread, const char *dir, const char *name);
/* It is answered otherwise. */
void retries_forget(struct retries *t, pid_t thread);

#endif
