/* SPDX-License-Identifier: MIT
 *
 * From a helper to the owner: the output of a piece, in chunks.
 *
 *     hand  ──> [chunk] [chunk] [chun ] ──> owner
 *        ^                                    │
 *        └────────────── spare <──────────────┘
 *
 * The owner takes what is there while the helper goes on behind it, so that neither waits for the
 * other for longer than a few hundred KiB take, however wrong the plan was. Chunks that are done
 * with are used again: memory that is touched for the first time can cost more than decoding into
 * it, where a virtual machine has to get it from its host; and a helper that begins its next piece
 * while the owner still takes the one before needs little more than one piece's memory.
 */
#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"
#include "vector.h"

_Static_assert(sizeof(struct chunk) == CHUNK_NBYTES, "a chunk has its size");

/* With the lock held: append a chunk, NULL for none at hand. */
static struct chunk *append(struct piece *p, struct chunk *c, bool symbols)
{
    if (!c)
        return NULL;
    c->has_bytes = !symbols;
    c->n = c->nsymbols = 0;
    p->nchunks++;
    DL_APPEND(p->chunks, c);
    return c;
}

/* With the lock held: the piece's last chunk, if more of that kind goes into it. */
static struct chunk *last_chunk(struct piece *p, bool symbols)
{
    struct chunk *c = p->chunks ? p->chunks->prev : NULL;

    if (!c || (symbols && c->has_bytes))
        return NULL;
    c->has_bytes = !symbols;
    return chunk_left(c) > 0 ? c : NULL;
}

struct chunk *output_room(struct piece *p, bool symbols)
{
    struct ring *r = p->ring;

    pthread_mutex_lock(&r->lock);
    struct chunk *c = last_chunk(p, symbols);
    bool fits = c, full = p->nchunks == PIECE_CHUNKS;
    if (!fits) {
        c = full ? NULL : r->spare;
        if (c)
            DL_DELETE(r->spare, c);
        c = append(p, c, symbols);
    }
    pthread_mutex_unlock(&r->lock);
    if (c || full)
        return c;
    c = vector_alloc(sizeof *c);
    pthread_mutex_lock(&r->lock);
    c = append(p, c, symbols);
    pthread_mutex_unlock(&r->lock);
    return c;
}

void output_put(struct piece *p, struct chunk *c, size_t n)
{
    pthread_mutex_lock(&p->ring->lock);
    c->n += n;
    c->nsymbols += c->has_bytes ? 0 : n;
    p->put_n += n;
    pthread_mutex_unlock(&p->ring->lock);
}

void output_ready(struct piece *p)
{
    pthread_mutex_lock(&p->ring->lock);
    p->ready_n = p->put_n;
    pthread_cond_broadcast(&p->ring->changed);
    pthread_mutex_unlock(&p->ring->lock);
}

/* With the lock held: what the owner may take now, as far as it lies in one chunk and is of one
 * kind. */
static size_t look(struct piece *p)
{
    struct chunk *c = p->chunks;

    while (c && p->chunk_taken_n == c->n && c->next) {
        DL_DELETE(p->chunks, c);
        DL_PREPEND(p->ring->spare, c);
        p->chunk_taken_n = 0;
        c = p->chunks;
    }
    size_t end = c && p->chunk_taken_n < c->nsymbols ? c->nsymbols : c ? c->n : 0;
    size_t n = p->ready_n - p->taken_n, there = c ? end - p->chunk_taken_n : 0;
    return n < there ? n : there;
}

bool output_next(struct piece *p, struct span *out)
{
    struct ring *r = p->ring;
    double begin = 0;

    *out = (struct span){0};
    pthread_mutex_lock(&r->lock);
    while ((out->n = look(p)) == 0 && p->state == PIECE_RUNNING) {
        if (begin == 0)
            begin = (double)monotonic_ns();
        pthread_cond_wait(&r->changed, &r->lock);
    }
    if (out->n > 0 && p->chunk_taken_n < p->chunks->nsymbols)
        out->symbols = (const uint16_t *)(const void *)p->chunks->room + p->chunk_taken_n;
    else if (out->n > 0)
        out->bytes = chunk_byte(p->chunks, p->chunk_taken_n - p->chunks->nsymbols);
    pthread_mutex_unlock(&r->lock);
    if (begin > 0)
        r->waited_ns += (double)monotonic_ns() - begin;
    return out->n > 0;
}

void output_took(struct piece *p, size_t n)
{
    pthread_mutex_lock(&p->ring->lock);
    p->taken_n += n;
    p->chunk_taken_n += n;
    pthread_mutex_unlock(&p->ring->lock);
}

void output_drop(struct piece *p)
{
    DL_CONCAT(p->ring->spare, p->chunks);
    p->chunks = NULL;
}

void output_free(struct chunk *chunks)
{
    struct chunk *c, *next;

    DL_FOREACH_SAFE(chunks, c, next)
    free(c);
}
