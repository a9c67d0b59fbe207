/* SPDX-License-Identifier: MIT
 *
 * The output of a piece, from the helper to the owner, in chunks.
 *
 *     helper ─> [chunk] [chunk] [chun ] ──> owner
 *        ^                                    │
 *        └────────────── spare <──────────────┘
 *
 * The owner takes output while the helper adds more, so that neither waits for the other longer
 * than a few hundred KiB take, however wrong the plan was. Chunks are reused: touching memory for
 * the first time can cost more than decoding into it, if a virtual machine has to get it from its
 * host; and a helper that begins its next piece while the owner still takes the previous one needs
 * little more than one piece's memory.
 */
#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"
#include "vector.h"

_Static_assert(sizeof(struct chunk) == CHUNK_NBYTES, "a chunk has its size");

unsigned char *chunk_byte(struct chunk *c, size_t i)
{
    return c->room + (2 * c->nsymbols + 63) / 64 * 64 + i;
}

size_t chunk_left(struct chunk *c)
{
    return c->has_bytes ? (size_t)(c->room + sizeof c->room - chunk_byte(c, c->n - c->nsymbols))
                        : CHUNK_NSYMBOLS - c->n;
}

/* Append a chunk. With the lock held. */
static void append(struct piece *p, struct chunk *c, bool symbols)
{
    c->has_bytes = !symbols;
    c->n = c->nsymbols = 0;
    p->nchunks++;
    DL_APPEND(p->chunks, c);
}

/* The piece's last chunk, if it has room for more of that kind. With the lock held. */
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
    bool full = p->nchunks == PIECE_CHUNKS;
    if (!c && !full && r->spare) {
        c = r->spare;
        DL_DELETE(r->spare, c);
        append(p, c, symbols);
    }
    pthread_mutex_unlock(&r->lock);
    if (c || full || !(c = vector_alloc(sizeof *c)))
        return c;
    pthread_mutex_lock(&r->lock);
    append(p, c, symbols);
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

/* How much the owner may take now, of one chunk and of one kind. With the lock held. */
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
