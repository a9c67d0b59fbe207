/* SPDX-License-Identifier: MIT
 *
 * A ring of entries under one lock. Every look-up walks the ring, for failures are rare.
 */
#include "errlog.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERRLOG_MAX = 128 };

struct entry {
    char *path; /* NULL: free slot */
    enum errlog_kind kind;
    struct error error;
    struct timespec last; /* CLOCK_REALTIME of the last occurrence */
    unsigned long count;
};

struct errlog {
    log_fn *write;
    void *ctx;
    pthread_mutex_t lock;
    struct entry entries[ERRLOG_MAX]; /* guarded by lock */
    size_t next;                      /* guarded by lock: the slot to overwrite next */
    atomic_bool has_kinds;            /* written under lock */
};

struct errlog *errlog_new(log_fn *write, void *ctx)
{
    struct errlog *log = calloc(1, sizeof *log);

    if (!log)
        return NULL;
    log->write = write;
    log->ctx = ctx;
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

void errlog_free(struct errlog *log)
{
    if (!log)
        return;
    for (size_t i = 0; i < ERRLOG_MAX; i++)
        free(log->entries[i].path);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* Slot 0 is the oldest. */
static struct entry *slot(struct errlog *log, size_t i)
{
    return &log->entries[(log->next + i) % ERRLOG_MAX];
}

static bool is_about(const struct entry *e, const char *path)
{
    return e->path && strcmp(e->path, path) == 0;
}

static bool add(struct errlog *log, enum errlog_kind kind, const char *path,
                const struct error *what)
{
    struct timespec now;
    bool news = true;
    struct entry *e = NULL;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < ERRLOG_MAX && !e; i++)
        if (is_about(&log->entries[i], path) && strcmp(log->entries[i].error.text, what->text) == 0)
            e = &log->entries[i];
    if (e) {
        news = now.tv_sec - e->last.tv_sec > 1;
        e->count += e->kind == kind;
    } else {
        e = slot(log, 0);
        log->next = (log->next + 1) % ERRLOG_MAX;
        free(e->path);
        e->path = strdup(path);
        e->kind = kind;
        e->error = *what;
        e->count = 1;
        if (kind != ERRLOG_RESULT)
            atomic_store(&log->has_kinds, true);
    }
    e->last = now;
    pthread_mutex_unlock(&log->lock);
    return news;
}

bool errlog_add(struct errlog *log, const char *path, const struct error *what)
{
    return add(log, ERRLOG_RESULT, path, what);
}

void errlog_write(struct errlog *log, enum log_level level, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    if (!log->write)
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        log->write(log->ctx, level, text);
    free(text);
}

void errlog_kind_failed(struct errlog *log, enum errlog_kind kind, const char *path,
                        const struct error *what)
{
    struct error shorter = *what;
    size_t len = strlen(path);

    /* drop the path that the sentence may start with, for the log puts it there */
    if (strncmp(what->text, path, len) == 0 && strncmp(what->text + len, ": ", 2) == 0)
        strcpy(shorter.text, what->text + len + 2);
    if (add(log, kind, path, &shorter))
        errlog_write(log, LOG_LEVEL_ERROR, "%s: %s", path, shorter.text);
}

void errlog_failed(struct errlog *log, const char *path, const struct error *what)
{
    errlog_kind_failed(log, ERRLOG_RESULT, path, what);
}

void errlog_kind_clear(struct errlog *log, enum errlog_kind kind, const char *path)
{
    bool has_kinds = false;

    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < ERRLOG_MAX; i++) {
        struct entry *e = &log->entries[i];

        if (e->kind == kind && is_about(e, path)) {
            free(e->path);
            e->path = NULL;
        }
        has_kinds = has_kinds || (e->path && e->kind != ERRLOG_RESULT);
    }
    atomic_store(&log->has_kinds, has_kinds);
    pthread_mutex_unlock(&log->lock);
}

void errlog_clear(struct errlog *log, const char *path)
{
    errlog_kind_clear(log, ERRLOG_RESULT, path);
}

bool errlog_has_kinds(struct errlog *log)
{
    return atomic_load(&log->has_kinds);
}

bool errlog_find(struct errlog *log, const char *path, struct error *out)
{
    bool found = false;

    pthread_mutex_lock(&log->lock);
    for (size_t i = ERRLOG_MAX; i-- > 0 && !found;) {
        found = is_about(slot(log, i), path) && slot(log, i)->kind == ERRLOG_RESULT;
        if (found)
            *out = slot(log, i)->error;
    }
    pthread_mutex_unlock(&log->lock);
    return found;
}

void errlog_visit(struct errlog *log, void (*visit)(void *ctx, const struct errlog_entry *e),
                  void *ctx)
{
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < ERRLOG_MAX; i++) {
        const struct entry *e = slot(log, i);

        if (e->path)
            visit(ctx, &(struct errlog_entry){e->path, e->error.text, e->last.tv_sec, e->count});
    }
    pthread_mutex_unlock(&log->lock);
}
