/* SPDX-License-Identifier: MIT
 *
 * The error log: the last failures with the sentence that explains each, for `.derivfs/errors`.
 *
 * Bounded: the oldest goes first. The same sentence about the same path is one entry that counts.
 * Thread rule: any thread; guarded by its own lock.
 */
#ifndef DERIVFS_ERRLOG_H
#define DERIVFS_ERRLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "error.h"

struct errlog;

struct errlog *errlog_new(void) NODISCARD; /* NULL: out of memory */
void errlog_free(struct errlog *log);      /* NULL is allowed */

/* Note that `path` (as in the mount) failed. True if this is news: not the same sentence about the
 * same path as within the last second. */
bool errlog_add(struct errlog *log, const char *path, const struct error *what);

/* `path` works again: its entries go. */
void errlog_clear(struct errlog *log, const char *path);

/* The latest sentence about `path`; false where there is none. */
bool errlog_find(struct errlog *log, const char *path, struct error *out);

/* One entry of the log. */
struct errlog_entry {
    const char *path;
    const char *text;    /* the sentence */
    time_t last;         /* when it happened last */
    unsigned long count; /* how often */
};

/* Visit every entry, oldest first, under the log's lock. */
void errlog_visit(struct errlog *log, void (*visit)(void *ctx, const struct errlog_entry *e),
                  void *ctx);

#endif
