/* SPDX-License-Identifier: MIT
 *
 * From a hand to the owner: the output of a piece, in chunks.
 *
 *     hand  ──> [chunk] [chunk] [chun ] ──> owner
 *        ^                                    │
 *        └────────────── spare <──────────────┘
 *
 * The owner takes what is there while the hand goes on behind it, so that neither waits for the
 * other for longer than a few hundred KiB take, however wrong the plan was. Chunks that are done
 * with are used again: memory that is touched for the first time can cost more than decoding into
 * it, where a virtual machine has to get it from its host; and a hand that begins its next piece
 * while the owner still takes the one before needs little more than one piece's memory.
 */
#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"
#include "pages.h"

_Static_assert(sizeof(struct chunk) == CHUNK_NBYTES, "a chunk is a huge page");

static size_t capacity(const struct chunk *c)
{
    return c->has_symbols ? CHUNK_NSYMBOLS : sizeof c->room;
}

/* With the lock held: append a chunk, NULL for none at hand. */
static struct chunk *append(struct piece *p, struct chunk *c, bool symbols)
{
    if (!c)
        return NULL;
    c->has_symbols = symbols;
    c->n = 0;
    p->nchunks++;
    DL_APPEND(p->chunks, c);
    return c;
}

/* NULL: out of memory. It is touched here, for that may take long and nobody is to wait for a lock
 * meanwhile; and since most pieces find chunks that are there, their pace is told without it. Where
 * there are no huge pages, this is the first of many faults, the others of which count as
 * inflating. */
static struct chunk *fresh_chunk(struct piece *p)
{
    double begin = (double)monotonic_ns();
    struct chunk *c = pages_alloc(sizeof *c);

    if (c)
        *c->room = 0;
    p->fresh_ns += (double)monotonic_ns() - begin;
    return c;
}

struct chunk *output_room(struct piece *p, bool symbols)
{
    struct ring *r = p->ring;
    struct chunk *c = NULL;

    pthread_mutex_lock(&r->lock);
    if (p->chunks && p->chunks->prev->has_symbols == symbols)
        c = p->chunks->prev;
    bool fits = c && c->n < capacity(c), full = p->nchunks == PIECE_CHUNKS;
    if (!fits) {
        c = full ? NULL : r->spare;
        if (c)
            DL_DELETE(r->spare, c);
        c = append(p, c, symbols);
    }
    pthread_mutex_unlock(&r->lock);
    if (c || full)
        return c;
    c = fresh_chunk(p);
    pthread_mutex_lock(&r->lock);
    c = append(p, c, symbols);
    pthread_mutex_unlock(&r->lock);
    return c;
}

void output_put(struct piece *p, struct chunk *c, size_t n)
{
    pthread_mutex_lock(&p->ring->lock);
    c->n += n;
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

/* With the lock held: what the owner may take now, as far as it lies in one chunk. */
static size_t look(struct piece *p)
{
    struct chunk *c = p->chunks;

    while (c && p->chunk_taken_n == c->n && c->next) {
        DL_DELETE(p->chunks, c);
        DL_PREPEND(p->ring->spare, c);
        p->chunk_taken_n = 0;
        c = p->chunks;
    }
    size_t n = p->ready_n - p->taken_n, there = c ? c->n - p->chunk_taken_n : 0;
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
    if (out->n > 0 && p->chunks->has_symbols)
        out->symbols = (const uint16_t *)(const void *)p->chunks->room + p->chunk_taken_n;
    else if (out->n > 0)
        out->bytes = p->chunks->room + p->chunk_taken_n;
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
    pages_free(c, sizeof *c);
}
