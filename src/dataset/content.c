/* SPDX-License-Identifier: MIT
 *
 * Hashing a file's blocks while the file is read.
 *
 *     file      |block 0|block 1|block 2|block 3|block 4|blo|
 *     owner      ======================>                        in order: hashed on the way
 *     a helper                       ======================>    begins within block 3: passed over
 *
 * A block's bytes are hashed as they come, in order; what comes before its time, or while another
 * thread is at the same block, is passed over. A block that stays incomplete, such as one where two
 * pieces meet, is read again in the end: one for each piece, and the page cache has it.
 */
#include "content.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct block {
    void *state;                     /* of its hash; NULL: not begun, or complete */
    uint32_t nhashed;                /* bytes; guarded by lock */
    bool busy;                       /* a thread hashes bytes of it; guarded by lock */
    unsigned char hash[HASH_NBYTES]; /* where it is complete */
};

struct content {
    const struct hash_secret *secret;
    const struct keyed_hash *ops;
    uint64_t nbytes;
    pthread_mutex_t lock;
    size_t nblocks;
    struct block blocks[]; /* [nblocks] */
};

struct content *content_new(const struct hash_secret *secret, uint64_t nbytes)
{
    size_t n = (size_t)((nbytes + CONTENT_BLOCK_NBYTES - 1) / CONTENT_BLOCK_NBYTES);
    struct content *c = calloc(1, sizeof *c + n * sizeof *c->blocks);

    if (!c)
        return NULL;
    c->secret = secret;
    c->ops = keyed_hash();
    c->nbytes = nbytes;
    c->nblocks = n;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void content_free(struct content *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->nblocks; i++)
        c->ops->end(c->blocks[i].state, NULL);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint32_t block_nbytes(const struct content *c, size_t i)
{
    uint64_t left = c->nbytes - (uint64_t)i * CONTENT_BLOCK_NBYTES;

    return left < CONTENT_BLOCK_NBYTES ? (uint32_t)left : CONTENT_BLOCK_NBYTES;
}

/* Hash the next `nbytes` of a block that the caller has made busy. */
static void hash(const struct content *c, struct block *b, bool last, const void *bytes,
                 size_t nbytes)
{
    if (!b->state)
        b->state = c->ops->begin(c->secret);
    if (!b->state)
        return;
    c->ops->add(b->state, bytes, nbytes);
    if (!last)
        return;
    c->ops->end(b->state, b->hash);
    b->state = NULL;
}

/* bytes[nbytes] are block `i`'s from `from` on. */
static void add_to_block(struct content *c, size_t i, uint32_t from, const unsigned char *bytes,
                         size_t nbytes)
{
    struct block *b = &c->blocks[i];
    size_t end = from + nbytes;
    uint32_t at;

    pthread_mutex_lock(&c->lock);
    at = b->nhashed;
    bool wanted = !b->busy && from <= at && at < end;
    b->busy = b->busy || wanted;
    pthread_mutex_unlock(&c->lock);
    if (!wanted)
        return;
    hash(c, b, end == block_nbytes(c, i), bytes + (at - from), end - at);
    pthread_mutex_lock(&c->lock);
    b->busy = false;
    if (b->state || end == block_nbytes(c, i))
        b->nhashed = (uint32_t)end;
    pthread_mutex_unlock(&c->lock);
}

void content_add(struct content *c, uint64_t off, const void *bytes, size_t nbytes)
{
    const unsigned char *at = bytes;

    while (nbytes > 0 && off < c->nbytes) {
        size_t i = (size_t)(off / CONTENT_BLOCK_NBYTES);
        uint32_t from = (uint32_t)(off % CONTENT_BLOCK_NBYTES), room = block_nbytes(c, i) - from;
        size_t n = nbytes < room ? nbytes : room;

        add_to_block(c, i, from, at, n);
        at += n;
        off += n;
        nbytes -= n;
    }
}

static bool is_complete(const struct content *c, size_t i)
{
    return c->blocks[i].nhashed == block_nbytes(c, i);
}

uint64_t content_missing(const struct content *c)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->nblocks; i++)
        sum += is_complete(c, i) ? 0 : block_nbytes(c, i);
    return sum;
}

static int read_block(struct content *c, size_t i, decoder_pread *pread, void *ctx,
                      unsigned char *buf, struct error *err)
{
    struct block *b = &c->blocks[i];
    size_t want = block_nbytes(c, i), done = 0, got = 1;
    uint64_t off = (uint64_t)i * CONTENT_BLOCK_NBYTES;
    int ret = 0;

    c->ops->end(b->state, NULL);
    b->state = NULL;
    b->nhashed = 0;
    for (; ret == 0 && got > 0 && done < want; done += got) {
        got = 0;
        ret = pread(ctx, off + done, buf + done, want - done, &got, err);
    }
    if (ret == 0 && done < want)
        ret = error_set(err, EIO, "the file ends early");
    if (ret == 0)
        add_to_block(c, i, 0, buf, want);
    if (ret == 0 && b->nhashed < want)
        ret = error_set(err, ENOMEM, "out of memory");
    return ret;
}

/* One of the three that the fingerprint is of? */
static bool is_of_fingerprint(const struct content *c, size_t i)
{
    return i == 0 || i == c->nblocks / 2 || i + 1 == c->nblocks;
}

int content_fill(struct content *c, bool all, decoder_pread *pread, void *ctx,
                 const struct cancel_token *cancel, struct error *err)
{
    unsigned char *buf = malloc(CONTENT_BLOCK_NBYTES);
    int ret = buf ? 0 : error_set(err, ENOMEM, "out of memory");

    for (size_t i = 0; i < c->nblocks && ret == 0; i++) {
        if (is_complete(c, i) || (!all && !is_of_fingerprint(c, i)))
            continue;
        ret = cancel_check(cancel, err);
        if (ret == 0)
            ret = read_block(c, i, pread, ctx, buf, err);
    }
    free(buf);
    return ret;
}

static bool hash_blocks(const struct content *c, bool all, unsigned char out[HASH_NBYTES])
{
    void *state = c->ops->begin(c->secret);
    uint64_t little = htole64(c->nbytes);

    if (!state)
        return false;
    c->ops->add(state, all ? "content" : "finger", 7);
    c->ops->add(state, &little, sizeof little);
    for (size_t i = 0; i < c->nblocks; i++)
        if (all || is_of_fingerprint(c, i))
            c->ops->add(state, c->blocks[i].hash, HASH_NBYTES);
    c->ops->end(state, out);
    return true;
}

int content_end(const struct content *c, bool all, struct content_id *out, struct error *err)
{
    *out = (struct content_id){.nbytes = c->nbytes};
    if (!hash_blocks(c, false, out->fingerprint) || (all && !hash_blocks(c, true, out->hash)))
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}
