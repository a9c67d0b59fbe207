/* SPDX-License-Identifier: MIT
 *
 * A ring under one lock. Adding costs a copy; the text is made from a copy of the ring, so that no
 * worker waits for it.
 */
#include "trace.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monotonic.h"
#include "utf8.h"

struct trace {
    int64_t (*clock_ns)(void);
    int64_t begin_ns;
    size_t room;
    pthread_mutex_t lock;
    uint64_t nadded;           /* guarded by lock: event number i is at ring[i % room] */
    struct trace_event ring[]; /* guarded by lock: [room] */
};

struct trace *trace_new(size_t nevents, int64_t (*clock_ns)(void))
{
    struct trace *t = calloc(1, sizeof *t + nevents * sizeof t->ring[0]);

    if (!t)
        return NULL;
    t->clock_ns = clock_ns ? clock_ns : monotonic_ns;
    t->begin_ns = t->clock_ns();
    t->room = nevents;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int64_t trace_now(const struct trace *t)
{
    return t->clock_ns();
}

void trace_add(struct trace *t, const struct trace_event *e)
{
    pthread_mutex_lock(&t->lock);
    t->ring[t->nadded++ % t->room] = *e;
    pthread_mutex_unlock(&t->lock);
}

/* With the lock held: how many events there are. */
static size_t kept(const struct trace *t)
{
    return t->nadded < t->room ? (size_t)t->nadded : t->room;
}

bool trace_find(struct trace *t, const struct key *key, struct trace_event *out,
                int64_t *longest_ns)
{
    bool found = false;

    *longest_ns = 0;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 1; i <= kept(t); i++) {
        const struct trace_event *e = &t->ring[(t->nadded - i) % t->room];

        if (!key_equal(&e->key, key))
            continue;
        if (!found)
            *out = *e;
        if (e->stop_ns - e->start_ns > *longest_ns)
            *longest_ns = e->stop_ns - e->start_ns;
        found = true;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

/* The events, the oldest first; NULL: out of memory. */
static struct trace_event *copy_events(struct trace *t, size_t *n)
{
    struct trace_event *copy = calloc(t->room, sizeof *copy);

    if (!copy)
        return NULL;
    pthread_mutex_lock(&t->lock);
    *n = kept(t);
    for (size_t i = 0; i < *n; i++)
        copy[i] = t->ring[(t->nadded - *n + i) % t->room];
    pthread_mutex_unlock(&t->lock);
    return copy;
}

static json_t *name_of(const char *what, const char *name, int tid)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "name", what, "ph", "M", "pid", (int)getpid(),
                     "tid", tid, "args", "name", utf8_json(name));
}

static const char *outcome_name(enum trace_outcome outcome)
{
    switch (outcome) {
    case TRACE_DONE:
        return "done";
    case TRACE_FAILED:
        return "failed";
    case TRACE_CANCELLED:
        break;
    }
    return "cancelled";
}

static json_t *event_json(const struct trace *t, const struct trace_event *e)
{
    int64_t start_us = (e->start_ns - t->begin_ns) / 1000;
    int64_t stop_us = (e->stop_ns - t->begin_ns) / 1000;

    return json_pack("{s:o, s:s, s:s, s:i, s:i, s:I, s:I, s:{s:s*, s:I, s:I, s:s}}", "name",
                     utf8_json(e->name), "cat", e->helping ? "piece" : "task", "ph", "X", "pid",
                     (int)getpid(), "tid", (int)e->thread + 1, "ts", (json_int_t)start_us, "dur",
                     (json_int_t)(stop_us - start_us), "args", "key",
                     e->helping ? NULL : e->key.hex, "bytes", (json_int_t)e->nbytes, "read_bytes",
                     (json_int_t)e->read_nbytes, "outcome", outcome_name(e->outcome));
}

char *trace_json(struct trace *t, const char *process, unsigned nthreads)
{
    size_t n = 0;
    struct trace_event *events = copy_events(t, &n);
    json_t *list = json_array(), *root;
    int ret = events ? json_array_append_new(list, name_of("process_name", process, 0)) : -1;
    char *text = NULL, *shown;

    for (unsigned i = 0; i < nthreads && ret == 0; i++) {
        char name[32];

        snprintf(name, sizeof name, "worker %u", i);
        ret = json_array_append_new(list, name_of("thread_name", name, (int)i + 1));
    }
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = json_array_append_new(list, event_json(t, &events[i]));
    free(events);
    root = json_pack("{s:s, s:o}", "displayTimeUnit", "ms", "traceEvents", list);
    if (root && ret == 0)
        text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    shown = text ? utf8_json_shown(text) : NULL;
    free(text);
    return shown;
}
