/* SPDX-License-Identifier: MIT
 *
 * Results on their way to the disk while tasks read them already.
 *
 *     moments ──> commit_later ──> the queue ──> one thread: fdatasync, link
 *                      │                                       │ settled
 *                      └──> image ──────────────> fdatasync ───┴──> link ──> the reader
 *
 * An fdatasync takes 5 to 60 ms, in which the next task could run: so that has the nameless file at
 * once. Guarantee: a result is published after all that it was computed from, each waiting (with
 * its own fdatasync done, which takes as long) until the ones before are settled. So whoever has an
 * answer has it from results that are all on the disk, and finds them there after a kill.
 *
 * Where the disk refuses an fdatasync the kernel may have dropped what was written, and a task may
 * have read holes in its place: the result is invalidated, what was computed from it fails with EAGAIN
 * before it is published, and the reader's request is planned anew. After that nothing is handed on
 * early, so that cache_commit() finds what goes wrong, reads back, and goes on in memory.
 *
 * The thread starts with the first result, for none would survive the fork of a daemon that opens
 * its cache before. It takes results in the order of their coming, and so never waits for one
 * behind: what others are computed from comes first. The queue is short; when it is full, or there
 * is no thread, the worker publishes by itself. Cost: two descriptors for each result that waits,
 * and its place on the disk, which no eviction frees. Reading the tsnr.nii of one gzip run of
 * 64x64x30x60 took 58 ms instead of 61; 40 ms less where each fdatasync was made to take 40 longer.
 * Not waiting for the moments at the end brought nothing that could be measured.
 */
#include "cache_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <utlist.h>

#include "thread.h"

struct pending {
    struct key key;
    struct cache_writer *writer;
    later_publish_fn *publish;
    struct blob *blob; /* a reference */
    struct pending *prev, *next;
};

/* With the mutex held, which is released meanwhile. It stays in the queue until it is settled.
 * Nobody has to wait while the whole cache is looked over. */
static void publish_first(struct cache *c)
{
    struct later *l = &c->later;
    struct pending *p = l->queue;
    bool full;

    pthread_mutex_unlock(&c->mutex);
    bool synced = p->publish(p->writer, p->blob, &full);
    pthread_mutex_lock(&c->mutex);
    l->failed = l->failed || !synced;
    DL_DELETE(l->queue, p);
    l->nsettled++;
    pthread_cond_broadcast(&l->less);
    pthread_mutex_unlock(&c->mutex);
    if (full)
        cache_tidy(c, &p->key);
    blob_put(p->blob);
    free(p);
    pthread_mutex_lock(&c->mutex);
}

static void *publisher_main(void *arg)
{
    struct cache *c = arg;
    struct later *l = &c->later;

    pthread_mutex_lock(&c->mutex);
    while (l->queue || !l->closing) {
        if (l->queue)
            publish_first(c);
        else
            pthread_cond_wait(&l->more, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

void later_fini(struct cache *c)
{
    struct later *l = &c->later;

    pthread_mutex_lock(&c->mutex);
    l->closing = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&c->mutex);
    if (l->started)
        pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->more);
    pthread_cond_destroy(&l->less);
}

bool later_add(struct cache *c, const struct key *key, struct cache_writer *w, struct blob *b,
               later_publish_fn *publish)
{
    struct later *l = &c->later;
    struct pending *p = malloc(sizeof *p);

    if (!p)
        return false;
    *p = (struct pending){.key = *key, .writer = w, .publish = publish, .blob = blob_get(b)};
    pthread_mutex_lock(&c->mutex);
    bool taken = !l->failed && l->nadded - l->nsettled < CACHE_LATER_MAX;
    if (taken && !l->started)
        taken = l->started = thread_start(&l->thread, publisher_main, c) == 0;
    if (taken) {
        DL_APPEND(l->queue, p);
        l->nadded++;
        pthread_cond_signal(&l->more);
    }
    pthread_mutex_unlock(&c->mutex);
    if (!taken) {
        blob_put(b);
        free(p);
    }
    return taken;
}

/* With the mutex held. */
static const struct pending *pending_of(const struct cache *c, const struct key *key)
{
    const struct pending *p = c->later.queue;

    while (p && !key_equal(&p->key, key))
        p = p->next;
    return p;
}

struct blob *later_find(struct cache *c, const struct key *key)
{
    pthread_mutex_lock(&c->mutex);
    const struct pending *p = pending_of(c, key);
    struct blob *found = p ? blob_get(p->blob) : NULL;
    pthread_mutex_unlock(&c->mutex);
    return found;
}

void later_wait(struct cache *c, const struct key *key)
{
    pthread_mutex_lock(&c->mutex);
    uint64_t last = c->later.nadded; /* what comes after that is not waited for */
    while (c->later.nsettled < last && (!key || pending_of(c, key)))
        pthread_cond_wait(&c->later.less, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

size_t later_among(struct cache *c, struct blob *const *inputs, size_t n,
                   struct blob *out[CACHE_LATER_MAX])
{
    const struct pending *p;
    size_t found = 0;

    pthread_mutex_lock(&c->mutex);
    DL_FOREACH(c->later.queue, p)
    {
        size_t i = 0;

        while (i < n && inputs[i] != p->blob)
            i++;
        if (i < n)
            out[found++] = blob_get(p->blob);
    }
    pthread_mutex_unlock(&c->mutex);
    return found;
}

int cache_settle(struct cache *c, const struct blob *b, struct error *err)
{
    const struct pending *p;

    pthread_mutex_lock(&c->mutex);
    do {
        for (p = c->later.queue; p && p->blob != b;)
            p = p->next;
        if (p)
            pthread_cond_wait(&c->later.less, &c->mutex);
    } while (p);
    pthread_mutex_unlock(&c->mutex);
    return blob_is_invalidated(b)
               ? error_set(err, EAGAIN,
                           "cache %s: a result of %" PRIu64 " bytes was lost by the disk",
                           c->disk.root, blob_nbytes(b))
               : 0;
}
