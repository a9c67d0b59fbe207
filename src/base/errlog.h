/* SPDX-License-Identifier: MIT
 *
 * The error log: the last failures and the sentence that explains each, for `.derivfs/errors`; it
 * also writes to the owner's log.
 *
 * Bounded: drops the oldest, failures and remarks each among themselves. A repeated sentence about the same path is one entry with a count.
 * Thread rule: any thread; guarded by its own lock.
 */
#ifndef DERIVFS_ERRLOG_H
#define DERIVFS_ERRLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Called on any thread. */
typedef void log_fn(void *ctx, enum log_level level, const char *text);

struct errlog;

/* `write` may be NULL. NULL: out of memory. */
struct errlog *errlog_new(log_fn *write, void *ctx) NODISCARD;
void errlog_free(struct errlog *log); /* NULL is allowed */

/* Write to the owner's log only. */
void errlog_write(struct errlog *log, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What failed at a path. A success of one kind says nothing of the others. */
enum errlog_kind {
    ERRLOG_RESULT,  /* what is derived there, or the run */
    ERRLOG_NAME,    /* finding it: lookup and stat(2) */
    ERRLOG_CONTENT, /* listing, opening or reading it */
};

/* Note that `path` (as in the mount) failed. If that is news, write it to the owner's log too: the
 * last second had no such sentence about that path. */
void errlog_failed(struct errlog *log, const char *path, const struct error *what);

/* The same without the owner's log. */
void errlog_add(struct errlog *log, const char *path, const struct error *what);

/* Note something that is no failure, as a file that is not used, without the owner's log. */
void errlog_remark(struct errlog *log, const char *path, const struct error *what);

/* Drop the entries of `path`, which works again. */
void errlog_clear(struct errlog *log, const char *path);

/* The same two for failures of one kind. A sentence that another kind has about the path is not
 * noted twice. */
void errlog_kind_failed(struct errlog *log, enum errlog_kind kind, const char *path,
                        const struct error *what);
void errlog_kind_clear(struct errlog *log, enum errlog_kind kind, const char *path);
/* May there be a failure other than of results? Costs nothing. */
bool errlog_has_kinds(struct errlog *log);

/* The newest entry about the result of `path`; false if there is none. */
bool errlog_find(struct errlog *log, const char *path, struct error *out);

struct errlog_entry {
    const char *path;
    const char *text; /* the sentence */
    time_t last;      /* occurrence */
    unsigned long count;
};

/* Visit every entry, oldest first, under the log's lock. Returns how many remarks were dropped. */
unsigned long errlog_visit(struct errlog *log,
                           void (*visit)(void *ctx, const struct errlog_entry *e), void *ctx);

#endif
