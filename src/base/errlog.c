/* SPDX-License-Identifier: MIT
 *
 * Two rings under one lock, so that remarks displace no failure. Every look-up walks the rings, for
 * entries are few.
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
    unsigned long number; /* in the order in which entries were added, to both rings */
    struct timespec last; /* CLOCK_REALTIME of the last occurrence */
    unsigned long count;
};

/* The last entries of one sort. */
struct ring {
    struct entry entries[ERRLOG_MAX];
    size_t next;         /* the slot to overwrite next */
    unsigned long nlost; /* entries that were overwritten */
};

enum { FAILURES, REMARKS, NRINGS };

struct errlog {
    log_fn *write;
    void *ctx;
    pthread_mutex_t lock;
    struct ring rings[NRINGS];      /* guarded by lock */
    unsigned long nadded;           /* guarded by lock: entries so far */
    atomic_bool has_any, has_kinds; /* written under lock */
};

/* Entry `i` of both rings together. */
static struct entry *entry_at(struct errlog *log, size_t i)
{
    return &log->rings[i / ERRLOG_MAX].entries[i % ERRLOG_MAX];
}

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
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX; i++)
        free(entry_at(log, i)->path);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

static bool is_about(const struct entry *e, const char *path)
{
    return e->path && strcmp(e->path, path) == 0;
}

/* The entry about `path` with this sentence, or NULL. */
static struct entry *find(struct errlog *log, const char *path, const char *text)
{
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX; i++)
        if (is_about(entry_at(log, i), path) && strcmp(entry_at(log, i)->error.text, text) == 0)
            return entry_at(log, i);
    return NULL;
}

/* A new entry in place of the ring's oldest. */
static struct entry *put(struct errlog *log, size_t which, enum errlog_kind kind, const char *path,
                         const struct error *what)
{
    struct ring *ring = &log->rings[which];
    struct entry *e = &ring->entries[ring->next];

    ring->next = (ring->next + 1) % ERRLOG_MAX;
    ring->nlost += e->path != NULL;
    free(e->path);
    *e = (struct entry){
        .path = strdup(path), .kind = kind, .error = *what, .number = log->nadded++, .count = 1};
    if (kind != ERRLOG_RESULT)
        atomic_store(&log->has_kinds, true);
    return e;
}

static bool add(struct errlog *log, size_t which, enum errlog_kind kind, const char *path,
                const struct error *what)
{
    struct timespec now;
    bool news = true;
    struct entry *e;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&log->lock);
    e = find(log, path, what->text);
    if (e) {
        news = now.tv_sec - e->last.tv_sec > 1;
        e->count += e->kind == kind;
    } else {
        e = put(log, which, kind, path, what);
        atomic_store(&log->has_any, true);
    }
    e->last = now;
    pthread_mutex_unlock(&log->lock);
    return news;
}

void errlog_add(struct errlog *log, const char *path, const struct error *what)
{
    add(log, FAILURES, ERRLOG_RESULT, path, what);
}

void errlog_remark(struct errlog *log, const char *path, const struct error *what)
{
    add(log, REMARKS, ERRLOG_RESULT, path, what);
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
    if (add(log, FAILURES, kind, path, &shorter))
        errlog_write(log, LOG_LEVEL_ERROR, "%s: %s", path, shorter.text);
}

void errlog_failed(struct errlog *log, const char *path, const struct error *what)
{
    errlog_kind_failed(log, ERRLOG_RESULT, path, what);
}

void errlog_kind_clear(struct errlog *log, enum errlog_kind kind, const char *path)
{
    bool has_any = false, has_kinds = false;

    if (!atomic_load(&log->has_any)) /* of thousands of files: the ring is not even touched */
        return;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX; i++) {
        struct entry *e = entry_at(log, i);

        if (e->kind == kind && is_about(e, path)) {
            free(e->path);
            e->path = NULL;
        }
        has_any = has_any || e->path;
        has_kinds = has_kinds || (e->path && e->kind != ERRLOG_RESULT);
    }
    atomic_store(&log->has_any, has_any);
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
    const struct entry *newest = NULL;

    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX; i++) {
        const struct entry *e = entry_at(log, i);

        if (is_about(e, path) && e->kind == ERRLOG_RESULT &&
            (!newest || e->number > newest->number))
            newest = e;
    }
    if (newest)
        *out = newest->error;
    pthread_mutex_unlock(&log->lock);
    return newest != NULL;
}

/* Free entries come last. */
static int by_number(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a;
    const struct entry *y = *(const struct entry *const *)b;

    if (!x->path || !y->path)
        return !x->path - !y->path;
    return (x->number > y->number) - (x->number < y->number);
}

unsigned long errlog_visit(struct errlog *log,
                           void (*visit)(void *ctx, const struct errlog_entry *e), void *ctx)
{
    const struct entry *all[NRINGS * ERRLOG_MAX];
    unsigned long nlost;

    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX; i++)
        all[i] = entry_at(log, i);
    qsort(all, NRINGS * ERRLOG_MAX, sizeof *all, by_number);
    for (size_t i = 0; i < NRINGS * ERRLOG_MAX && all[i]->path; i++)
        visit(ctx, &(struct errlog_entry){all[i]->path, all[i]->error.text, all[i]->last.tv_sec,
                                          all[i]->count});
    nlost = log->rings[REMARKS].nlost;
    pthread_mutex_unlock(&log->lock);
    return nlost;
}
