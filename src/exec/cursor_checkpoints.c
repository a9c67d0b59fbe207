/* SPDX-License-Identifier: MIT
 *
 * Checkpoints in the cache: an entry of the source, found by its identity.
 *
 * Nothing depends on them but time: whatever goes wrong, the run is read from its start. An entry
 * that the disk has damaged is found by the cache, one that was never sound by unpacking, one of
 * another file's bytes when it is used: then it goes (distrust() in cursor.c).
 *
 * The names of contents (run_learn()) go the same way.
 *
 *     pass over a run ──> keeper_add() ──> the list ──> an idle worker packs and publishes them
 *                                            └──> meanwhile keeper_find() knows them
 *
 * Packing and publishing those of a 30 MB run takes 4 to 5 ms, for which a reader of the pass's
 * result would wait too. So the keeper offers it to the helpers, like a piece, for when no task has
 * run for a moment. Guarantee: what was added is in the cache when the keeper is gone. Without
 * helpers, or when much is waiting already, it is published at once.
 */
#include "cursor_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <utlist.h>

enum {
    VERSION = 3,            /* of what is in an entry */
    LEAST_NBYTES = 1 << 20, /* a stored file below that has no checkpoint worth asking for */
};

static bool key_of(struct run *run, struct key *out)
{
    struct key_builder *b = key_begin("checkpoints", VERSION);

    if (!b)
        return false;
    run_add_to_key(run, b);
    key_end(b, out);
    return true;
}

/* What is wrong here is found too late, if at all: the bytes are checked each time. EINVAL: they were
 * never sound. */
static int unpack(struct cache *cache, struct blob *blob, struct budget *budget,
                  struct checkpoints **out)
{
    size_t nbytes = (size_t)blob_nbytes(blob);
    unsigned char *bytes = malloc(nbytes);
    int ret = bytes ? cache_read_whole(cache, blob, bytes, NULL) : -ENOMEM;

    if (ret == 0)
        ret = checkpoints_unpack(bytes, nbytes, budget, out, NULL);
    free(bytes);
    return ret;
}

bool cursor_has_checkpoints(struct cache *cache, struct run *run)
{
    struct key key;

    return run->codec->learned && run->id.size >= LEAST_NBYTES && key_of(run, &key) &&
           cache_has(cache, &key);
}

struct checkpoints *cursor_load_checkpoints(struct cache *cache, struct run *run,
                                            struct budget *budget)
{
    struct checkpoints *known = NULL;
    struct blob *blob;
    struct key key;
    int ret;

    /* asked first, because a look-up that finds nothing counts as a miss */
    if (!run->codec->learned || run->id.size < LEAST_NBYTES || !key_of(run, &key) ||
        !cache_has(cache, &key) || cache_lookup(cache, &key, &blob) < 0)
        return NULL;
    ret = blob_nbytes(blob) < run->id.size ? unpack(cache, blob, budget, &known) : -EINVAL;
    blob_put(blob);
    if (ret == -EINVAL)
        cache_drop(cache, &key); /* or it would keep better ones out */
    return ret == 0 ? known : NULL;
}

static void publish(struct cache *cache, struct run *run, const struct key *key,
                    const unsigned char *bytes, size_t nbytes)
{
    struct cache_writer *w;
    struct blob *blob;
    char label[256];

    snprintf(label, sizeof label, "checkpoints %s", run->path);
    if (cache_begin(cache, key, label, nbytes, CACHE_KEEP, &w, NULL) < 0)
        return;
    if (cache_write(w, bytes, nbytes, NULL) < 0)
        cache_abort(w);
    else if (cache_commit(w, &blob, NULL) == 0)
        blob_put(blob);
}

/* For the next cursor, if the cache keeps anything and the file's identity is sure to change with
 * the file; that it cannot is no failure. */
static void keep_checkpoints(struct cache *cache, struct run *run,
                             const struct checkpoints *learned)
{
    unsigned char *bytes;
    struct key key;
    size_t nbytes;

    if (run->id.size < LEAST_NBYTES || !source_is_settled(&run->id) || !key_of(run, &key) ||
        checkpoints_pack(learned, &bytes, &nbytes, NULL) < 0)
        return;
    if (cache_keeps(cache, nbytes))
        publish(cache, run, &key, bytes, nbytes);
    free(bytes);
}

void cursor_drop_checkpoints(struct cache *cache, struct run *run)
{
    struct key key;

    if (key_of(run, &key))
        cache_drop(cache, &key);
}

/* ---- on their way into the cache ---- */

enum { PENDING_MAX = 16 }; /* what is more is not left for later: it takes memory */

struct keeping {
    struct helper_job job; /* must be first */
    struct keeper *keeper;
    struct run *run;             /* a reference */
    struct checkpoints *learned; /* a reference, or NULL */
    struct content_id content;
    bool has_content, was_settled;
    struct keeping *prev, *next;
};

struct keeper {
    int rootfd;
    struct cache *cache;
    struct helper_pool *helpers;
    pthread_mutex_t lock;
    pthread_cond_t kept;  /* one less is pending */
    struct keeping *list; /* not yet in the cache; guarded by lock */
    unsigned pending;     /* those, and those that are being let go; guarded by lock */
};

struct keeper *keeper_new(int rootfd, struct cache *cache, struct helper_pool *helpers)
{
    struct keeper *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->rootfd = rootfd;
    k->cache = cache;
    k->helpers = helpers;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->kept, NULL);
    return k;
}

static void keep_now(const struct keeper *k, struct run *run, struct checkpoints *learned,
                     const struct content_id *content, bool was_settled)
{
    if (learned && checkpoints_are_trusted(learned))
        keep_checkpoints(k->cache, run, learned);
    if (content)
        run_learn(k->rootfd, run, content, was_settled);
}

static void keep(struct helper_job *job)
{
    struct keeping *one = (struct keeping *)job;
    struct keeper *k = one->keeper;

    keep_now(k, one->run, one->learned, one->has_content ? &one->content : NULL, one->was_settled);
    pthread_mutex_lock(&k->lock);
    DL_DELETE(k->list, one);
    pthread_mutex_unlock(&k->lock);
    checkpoints_put(one->learned);
    run_put(one->run);
    free(one);
    pthread_mutex_lock(&k->lock);
    k->pending--;
    pthread_cond_signal(&k->kept);
    pthread_mutex_unlock(&k->lock); /* from here on the keeper may be gone */
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    while (k->pending > 0) {
        struct helper_job *job = k->list ? &k->list->job : NULL;

        if (job && k->helpers->take_back(k->helpers, job)) {
            pthread_mutex_unlock(&k->lock);
            keep(job);
            pthread_mutex_lock(&k->lock);
        } else {
            pthread_cond_wait(&k->kept, &k->lock);
        }
    }
    pthread_mutex_unlock(&k->lock);
    pthread_cond_destroy(&k->kept);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void keeper_add(struct keeper *k, struct run *run, struct checkpoints *learned,
                const struct content_id *content, bool was_settled)
{
    struct keeping *one = NULL;

    pthread_mutex_lock(&k->lock);
    bool crowded = k->pending >= PENDING_MAX;
    pthread_mutex_unlock(&k->lock);
    if (k->helpers && !crowded)
        one = calloc(1, sizeof *one);
    if (!one) {
        keep_now(k, run, learned, content, was_settled);
        return;
    }
    one->job.run = keep;
    one->job.kind = HELPER_LATER;
    one->job.what = !learned ? "name" : content ? "name and checkpoints" : "checkpoints";
    one->keeper = k;
    one->run = run_get(run);
    one->job.helped = run->path;
    one->learned = learned ? checkpoints_get(learned) : NULL;
    one->has_content = content != NULL;
    one->was_settled = was_settled;
    if (content)
        one->content = *content;
    pthread_mutex_lock(&k->lock);
    DL_APPEND(k->list, one);
    k->pending++;
    pthread_mutex_unlock(&k->lock);
    k->helpers->offer(k->helpers, &one->job);
}

struct checkpoints *keeper_find(struct keeper *k, const struct run *run)
{
    struct checkpoints *found = NULL;
    struct keeping *one;

    pthread_mutex_lock(&k->lock);
    DL_FOREACH(k->list, one)
    if (!found && one->learned && checkpoints_are_trusted(one->learned) &&
        source_id_equal(&one->run->id, &run->id))
        found = checkpoints_get(one->learned);
    pthread_mutex_unlock(&k->lock);
    return found;
}
