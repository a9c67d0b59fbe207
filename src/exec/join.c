/* SPDX-License-Identifier: MIT
 *
 * Copying, a block at a time. The header is 1 KiB, so parts do not lie at multiples of the file
 * system's blocks, and cannot be shared with the whole: it is written once more. The entry is
 * published as any other (cache_disk.c): until then there is nothing, whenever that is interrupted.
 */
#include "join.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Bytes on their way into the entry, which get there in whole blocks at multiples of their size:
 * for these the kernel's page cache takes its largest folios (reading 500 MB from them took 33 ms;
 * 40 ms where each block had begun 1 KiB late). */
struct block {
    struct cache_writer *w;
    unsigned char *bytes; /* [TASK_BUFFER_NBYTES] */
    size_t nbytes;        /* filled */
    uint64_t done_nbytes;
};

static int flush(struct block *b, struct error *err)
{
    size_t n = b->nbytes;

    b->nbytes = 0;
    b->done_nbytes += n;
    return cache_write(b->w, b->bytes, n, err);
}

/* The part is read once: what is written is what was checked. */
static int copy(struct cache *c, struct blob *part, const struct task_control *ctl, struct block *b,
                struct error *err)
{
    uint64_t total = blob_nbytes(part);
    XXH3_state_t sum;
    int ret = 0;

    XXH3_64bits_reset(&sum);
    for (uint64_t off = 0; off < total && ret == 0;) {
        size_t room = TASK_BUFFER_NBYTES - b->nbytes;
        size_t n = total - off < room ? (size_t)(total - off) : room;

        if (task_cancelled(ctl))
            return error_set(err, ECANCELED, "joining was cancelled");
        ret = blob_read(part, off, b->bytes + b->nbytes, n, err);
        if (ret == 0)
            XXH3_64bits_update(&sum, b->bytes + b->nbytes, n);
        off += n;
        b->nbytes += n;
        if (ret == 0 && b->nbytes == TASK_BUFFER_NBYTES)
            ret = flush(b, err);
        task_progress(ctl, b->done_nbytes);
    }
    return ret == 0 ? cache_compare(c, part, XXH3_64bits_digest(&sum), err) : ret;
}

static int write_all(struct cache *c, const struct task *t, const struct task_control *ctl,
                     struct cache_writer *w, struct error *err)
{
    const struct join_pieces *p = t->pieces;
    struct block b = {.w = w, .bytes = malloc(TASK_BUFFER_NBYTES), .nbytes = p->header_nbytes};
    int ret = b.bytes ? 0 : error_set(err, ENOMEM, "%s: out of memory", t->label);

    if (ret == 0)
        memcpy(b.bytes, p->header, p->header_nbytes);
    for (size_t i = 0; i < p->nparts && ret == 0; i++) {
        struct blob *part;

        if (cache_lookup(c, &p->parts[i], &part) < 0) {
            ret = error_set(err, ENOENT, "%s: a part has gone from the cache", t->label);
            break;
        }
        ret = copy(c, part, ctl, &b, err);
        blob_put(part);
    }
    if (ret == 0)
        ret = flush(&b, err);
    free(b.bytes);
    return ret;
}

int join_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
              const struct task_control *ctl, struct blob **out, struct error *err)
{
    const struct join_pieces *p = t->pieces;
    struct cache *c = ctx;
    struct cache_writer *w;
    int ret;

    (void)g;
    (void)inputs;
    if (cache_lookup(c, &t->key, out) == 0) {
        task_found(ctl);
        return 0;
    }
    ret = cache_begin(c, &t->key, t->label, t->result_nbytes, CACHE_KEEP_SPARE, &w, err);
    if (ret < 0)
        return ret;
    ret = write_all(c, t, ctl, w, err);
    if (ret < 0) {
        cache_abort(w);
        return ret;
    }
    /* before the whole counts, so that where that is too much for the cache they go, and nothing
     * else */
    for (size_t i = 0; i < p->nparts; i++)
        cache_retire(c, &p->parts[i]);
    return cache_commit(w, out, err);
}
