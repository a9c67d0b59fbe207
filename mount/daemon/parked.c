/* SPDX-License-Identifier: MIT
 *
 *     park ---- wait ---- answered ---- reply, on the thread of a worker
 *                 \------ interrupted: the watcher asks what the caller wants (wish.h)
 *                              |---- it waits on: ask again until there is an answer
 *                              |---- it returns: EINTR; the work goes on for LINGER_NS, since the
 *                              |     caller may repeat the request
 *                              \---- it dies: EINTR, and the work is cancelled
 *
 * An interrupt is not a reader that leaves: programs have timers, users press Ctrl-Z. Each would
 * start the work again.
 */
#include "parked.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "monotonic.h"
#include "ops_private.h"
#include "thread.h"
#include "wish.h"

static const int64_t LINGER_NS = INT64_C(2000000000);
/* how long a caller may be dead without notice */
static const int64_t ASK_NS = INT64_C(50000000);

static void fail(const struct parked *p, int code)
{
    if (p->file)
        close_file(p->m, p->file);
    fuse_reply_err(p->req, code);
}

/* Take the request out of the list. True: nobody has answered it yet. */
static bool take(struct parked *p)
{
    struct parking *t = &p->m->parking;
    bool waits;

    pthread_mutex_lock(&t->lock);
    waits = p->state != PARKED_LEFT;
    p->state = PARKED_LEFT;
    DL_DELETE(t->all, p);
    pthread_mutex_unlock(&t->lock);
    return waits;
}

static void answer(struct parked *p, struct wait *w, const struct error *err)
{
    struct error failure;

    /* wait for a running interrupt callback, which uses *p */
    fuse_req_interrupt_func(p->req, NULL, NULL);
    if (!err && p->reply(p, w, &failure) < 0) {
        note_access(p->m, ERRLOG_CONTENT, p->node, NULL, &failure);
        err = &failure;
    }
    if (err)
        fail(p, reply_code(err));
}

static void answered(void *arg, struct wait *w, const struct error *err)
{
    struct parked *p = arg;

    if (take(p))
        answer(p, w, err);
    wait_put(p->wait);
    free(p);
}

/* Called under libfuse's lock of the request. */
static void interrupted(fuse_req_t req, void *arg)
{
    struct parked *p = arg;
    struct parking *t = &p->m->parking;

    (void)req;
    pthread_mutex_lock(&t->lock);
    if (p->state == PARKED_WAITS) {
        p->state = PARKED_INTERRUPTED;
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}

void park(const struct parked *p, struct wait *w)
{
    struct parking *t = &p->m->parking;
    struct parked *copy = w ? malloc(sizeof *copy) : NULL;

    if (copy) {
        *copy = *p;
        copy->state = PARKED_WAITS; /* `p` may be one that was answered: it waits once more */
        copy->wait = wait_get(w);
        copy->caller = fuse_req_ctx(p->req)->pid;
        pthread_mutex_lock(&t->lock);
        DL_APPEND(t->all, copy);
        pthread_mutex_unlock(&t->lock);
        /* before the start: afterwards the request may be answered and freed at any time */
        fuse_req_interrupt_func(p->req, interrupted, copy);
        wait_start(w, answered, copy);
    } else {
        fail(p, ENOMEM);
    }
    if (w)
        wait_put(w);
}

bool parked_any(struct parking *t)
{
    const struct parked *p;
    bool found = false;

    pthread_mutex_lock(&t->lock);
    DL_FOREACH(t->all, p)
    found = found || (p->state != PARKED_LEFT && !p->unbounded);
    pthread_mutex_unlock(&t->lock);
    return found;
}

/* ---- the watcher ---- */

/* Of an interrupted request under lock: what to do? Reads /proc, which does not block. */
static enum caller_wish ask(struct parked *p, int64_t now_ns)
{
    enum caller_wish wish = caller_wish(p->caller);

    if (wish == CALLER_WAITS)
        return wish;
    p->state = PARKED_LEFT;
    p->give_up_ns = wish == CALLER_DIES ? now_ns : now_ns + LINGER_NS;
    return wish;
}

/* Find a request that the watcher must act on, and copy it with a reference to its wait: once the
 * lock is given up, a worker may free it. Under lock. *next_ns: when to look again. */
static bool find_due(struct parking *t, struct parked *out, int64_t now_ns, int64_t *next_ns)
{
    struct parked *p;

    *next_ns = INT64_MAX;
    DL_FOREACH(t->all, p)
    {
        enum parked_state before = p->state;
        int64_t at_ns = before == PARKED_INTERRUPTED ? now_ns + ASK_NS
                        : before == PARKED_LEFT      ? p->give_up_ns
                                                     : INT64_MAX;
        bool due = before == PARKED_INTERRUPTED ? ask(p, now_ns) != CALLER_WAITS : at_ns <= now_ns;

        if (due) {
            *out = *p;
            out->state = before;
            wait_get(out->wait);
            if (p->give_up_ns <= now_ns) /* only once: it may still be starting */
                p->give_up_ns = INT64_MAX;
            return true;
        }
        *next_ns = at_ns < *next_ns ? at_ns : *next_ns;
    }
    return false;
}

/* Without the lock. */
static void leave(struct parked *p, int64_t now_ns)
{
    if (p->state == PARKED_INTERRUPTED) {
        fuse_req_interrupt_func(p->req, NULL, NULL);
        fail(p, EINTR);
    }
    if (p->give_up_ns <= now_ns)
        wait_cancel(p->wait);
    wait_put(p->wait);
}

static void *watch(void *arg)
{
    struct parking *t = arg;
    struct parked p;

    pthread_mutex_lock(&t->lock);
    while (!t->ending) {
        int64_t now_ns = monotonic_ns(), next_ns;

        if (find_due(t, &p, now_ns, &next_ns)) {
            pthread_mutex_unlock(&t->lock);
            leave(&p, now_ns);
            pthread_mutex_lock(&t->lock);
        } else if (next_ns == INT64_MAX) {
            pthread_cond_wait(&t->changed, &t->lock);
        } else {
            struct timespec until = {next_ns / 1000000000, next_ns % 1000000000};

            pthread_cond_clockwait(&t->changed, &t->lock, CLOCK_MONOTONIC, &until);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int parking_start(struct parking *t)
{
    int code = thread_start(&t->watcher, watch, t);

    t->is_watched = code == 0;
    return -code;
}

void parking_stop(struct parking *t)
{
    if (!t->is_watched)
        return;
    pthread_mutex_lock(&t->lock);
    t->ending = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->watcher, NULL);
}
