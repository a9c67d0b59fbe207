/* SPDX-License-Identifier: MIT
 *
 * Checkpoints in the cache: an entry of the source, found by its identity.
 *
 * Nothing depends on them but time: whatever goes wrong, the run is read from its start. An entry
 * that the disk has damaged is found by the cache, one that was never sound by unpacking, one of
 * another file's bytes when it is used: then it goes (distrust() in cursor.c).
 */
#include "cursor_private.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    VERSION = 1,            /* of what is in an entry */
    LEAST_NBYTES = 1 << 20, /* a stored file below that has no checkpoint worth asking for */
};

static bool key_of(const struct run *run, struct key *out)
{
    struct key_builder *b = key_begin("checkpoints", VERSION);
    char id[SOURCE_ID_TEXT_MAX];

    if (!b)
        return false;
    source_id_text(&run->id, id);
    key_add_text(b, "source", id);
    key_end(b, out);
    return true;
}

static struct checkpoints *unpack(const struct blob *blob, struct budget *budget)
{
    struct checkpoints *known = NULL;
    size_t nbytes = (size_t)blob_nbytes(blob);
    unsigned char *bytes = malloc(nbytes);

    if (bytes && blob_read(blob, 0, bytes, nbytes, NULL) == 0 &&
        checkpoints_unpack(bytes, nbytes, budget, &known, NULL) < 0)
        known = NULL;
    free(bytes);
    return known;
}

bool cursor_has_checkpoints(struct cache *cache, const struct run *run)
{
    struct key key;

    return run->codec->learned && run->id.size >= LEAST_NBYTES && key_of(run, &key) &&
           cache_has(cache, &key);
}

struct checkpoints *cursor_load_checkpoints(struct cache *cache, const struct run *run,
                                            struct budget *budget)
{
    struct checkpoints *known;
    struct blob *blob;
    struct key key;

    if (!cursor_has_checkpoints(cache, run) || !key_of(run, &key) ||
        cache_lookup(cache, &key, &blob) < 0)
        return NULL;
    known = blob_nbytes(blob) < run->id.size ? unpack(blob, budget) : NULL;
    blob_put(blob);
    return known;
}

static void publish(struct cache *cache, const struct run *run, const struct key *key,
                    const unsigned char *bytes, size_t nbytes)
{
    struct cache_writer *w;
    struct blob *blob;
    char label[256];

    snprintf(label, sizeof label, "checkpoints %s", run->path);
    if (cache_begin(cache, key, label, nbytes, &w, NULL) < 0)
        return;
    if (cache_write(w, bytes, nbytes, NULL) < 0)
        cache_abort(w);
    else if (cache_commit(w, &blob, NULL) == 0)
        blob_put(blob);
}

void cursor_keep_checkpoints(struct cache *cache, const struct run *run,
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

void cursor_drop_checkpoints(struct cache *cache, const struct run *run)
{
    struct key key;

    if (key_of(run, &key))
        cache_drop(cache, &key);
}
