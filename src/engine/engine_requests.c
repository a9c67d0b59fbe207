/* SPDX-License-Identifier: MIT
 *
 * The requests that wait for results.
 *
 *     request_begin ---- the reader waits
 *     request_at ------- the task it waits for, each time that one is submitted
 *     request_end ------ it has its bytes, or an error
 *
 * The owner of a request provides its list node; beginning and ending cost a lock. A snapshot
 * costs a walk over the scheduler's tasks for each request, without the lock: two requests in it
 * may be some microseconds apart.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "monotonic.h"

#include <utlist.h>

void request_begin(struct requests *all, struct request *r, const char *path)
{
    r->path = path;
    r->began_ns = monotonic_ns();
    pthread_mutex_lock(&all->lock);
    DL_APPEND(all->list, r);
    pthread_mutex_unlock(&all->lock);
}

/* The bytes that are done already: they do not count for the rate. */
static uint64_t found_nbytes(const struct workers *w, const struct graph *g)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < g->ntasks; i++) {
        struct sched_task_info info;

        if (sched_find(w->sched, &g->tasks[i].key, &info))
            sum += info.done_nbytes;
    }
    return sum;
}

void request_at(struct requests *all, struct request *r, const struct workers *w,
                const struct graph *g)
{
    uint64_t found = found_nbytes(w, g);

    pthread_mutex_lock(&all->lock);
    r->key = graph_root(g)->key;
    r->found_nbytes = found;
    pthread_mutex_unlock(&all->lock);
}

void request_end(struct requests *all, struct request *r)
{
    pthread_mutex_lock(&all->lock);
    DL_DELETE(all->list, r);
    pthread_mutex_unlock(&all->lock);
}

/* Find the task of `key` in one of the schedulers. */
static bool progress_of(const struct workers *w, const struct key *key, uint64_t *done_nbytes,
                        uint64_t *work_nbytes)
{
    return (w->sched && sched_progress(w->sched, key, done_nbytes, work_nbytes)) ||
           (w->fetcher && sched_progress(w->fetcher, key, done_nbytes, work_nbytes)) ||
           (w->elsewhere && sched_progress(w->elsewhere, key, done_nbytes, work_nbytes));
}

double request_progress(struct requests *all, struct request *r, const struct workers *w)
{
    uint64_t done_nbytes, work_nbytes;
    struct key key;

    pthread_mutex_lock(&all->lock);
    key = r->key;
    pthread_mutex_unlock(&all->lock);
    if (!progress_of(w, &key, &done_nbytes, &work_nbytes) || work_nbytes == 0)
        return 0;
    return (double)done_nbytes / (double)work_nbytes;
}

/* Copy the list to *out [returned]; malloced, NULL if empty. Requests for one task of one file are
 * one entry. */
static size_t copy_requests(struct requests *all, struct engine_request **out)
{
    struct request *r;
    size_t n, count = 0;
    int64_t now = monotonic_ns();

    pthread_mutex_lock(&all->lock);
    DL_COUNT(all->list, r, n);
    *out = n > 0 ? calloc(n, sizeof **out) : NULL;
    DL_FOREACH(all->list, r)
    {
        struct engine_request *line = NULL;

        for (size_t i = 0; *out && i < count && !line; i++)
            if (strcmp((*out)[i].path, r->path) == 0 && strcmp((*out)[i].key.hex, r->key.hex) == 0)
                line = &(*out)[i];
        if (line) {
            line->waiting++;
        } else if (*out && ((*out)[count].path = strdup(r->path))) {
            (*out)[count].key = r->key;
            (*out)[count].waiting = 1;
            (*out)[count].found_nbytes = r->found_nbytes;
            (*out)[count++].seconds = (double)(now - r->began_ns) / 1e9;
        }
    }
    pthread_mutex_unlock(&all->lock);
    return count;
}

size_t engine_requests(struct engine *e, struct engine_request **out)
{
    size_t n = copy_requests(&e->requests, out);

    for (size_t i = 0; i < n; i++) {
        struct engine_request *r = &(*out)[i];
        double done;

        if (!progress_of(&e->workers, &r->key, &r->done_nbytes, &r->work_nbytes))
            continue;
        done = r->done_nbytes > r->found_nbytes ? (double)(r->done_nbytes - r->found_nbytes) : 0;
        r->rate = r->seconds > 0 ? done / r->seconds : 0;
    }
    return n;
}

void engine_requests_free(struct engine_request *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i].path);
    free(list);
}
