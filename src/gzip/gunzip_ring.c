/* SPDX-License-Identifier: MIT
 *
 * The ring: who works on which piece when.
 *
 *     stored  |=======owner=======>......gap......|--piece--|.....gap.....|--piece--|
 *                                 alone, at full speed       alone
 *
 * Where a piece lies is decided when a helper begins it (gunzip_plan.c), from the times measured so
 * far. Guarantee: a helper that comes late, or never, costs nothing; one that is slow, the wait for
 * one piece. At most two pieces a helper exist at a time, of which the owner takes over the first
 * while the helper works on the second, and only what the budget has room for.
 */
#include <math.h>
#include <stdlib.h>

#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"

enum {
    WARM_UP = 16 << 10,    /* output that tells how much data is compressed: what the first feed
                              gives, so that helpers need not wait for long */
    WIDTH_MIN = 256 << 10, /* stored bytes of a piece aimed at; of data that compresses more
                              than a piece's output by it, pieces would be all overhead */
    WIDTH_MAX = 16 << 20,
    FAILED_SEARCHES_MAX =
        4,                /* pieces in a row without a header: the file has no blocks to begin at */
    HEAD_NBYTES = 500000, /* stored bytes that take a helper as long as the search and the symbols,
                             before that has been measured */
};

/* Data that hardly compresses is copied faster than it is searched. */
static const double RATIO_MIN = 1.05;

static void rate_add(struct rate *p, double ns, double amount, double keep)
{
    p->ns += ns;
    p->amount += amount;
    if (p->amount > keep) {
        p->ns *= keep / p->amount;
        p->amount = keep;
    }
}

static double rate_of(const struct rate *p, double unknown)
{
    return p->amount > 0 ? p->ns / p->amount : unknown;
}

struct ring *ring_new(const struct gunzip_options *o)
{
    struct ring *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->o = *o;
    r->source = (struct deflate_source){.pread = o->pread, .ctx = o->ctx};
    r->finder = deflate_finder_new();
    if (!r->finder) {
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

static void free_scratches(struct piece_scratch *scratches)
{
    struct piece_scratch *b, *next;

    DL_FOREACH_SAFE(scratches, b, next)
    {
        deflate_marker_free(b->marker);
        free(b);
    }
}

/* No longer on offer, nor running. */
static void recall(struct ring *r, struct piece *p)
{
    pthread_mutex_lock(&r->lock);
    r->stopped = true;
    bool offered = p->state == PIECE_OFFERED;
    pthread_mutex_unlock(&r->lock);
    bool back = offered && r->o.helpers->take_back(r->o.helpers, &p->job);
    pthread_mutex_lock(&r->lock);
    while (!back && (p->state == PIECE_OFFERED || p->state == PIECE_RUNNING))
        pthread_cond_wait(&r->changed, &r->lock);
    output_drop(p);
    pthread_mutex_unlock(&r->lock);
}

void ring_rest(struct ring *r)
{
    for (unsigned i = 0; i < r->nslots; i++)
        atomic_store_explicit(&r->slots[i]->cancelled, true, memory_order_relaxed);
    for (unsigned i = 0; i < r->nslots; i++) {
        recall(r, r->slots[i]);
        piece_free(r->slots[i]);
    }
    output_free(r->spare);
    free_scratches(r->scratches);
    if (r->o.budget && r->nslots > 0)
        budget_give(r->o.budget, r->nslots * piece_nbytes());
    r->spare = NULL;
    r->scratches = NULL;
    r->active = r->taking = NULL;
    r->nslots = 0;
    r->stopped = false;
    r->wait_until = 0;
    r->nfailed_searches = 0;
    r->since_ns = 0;
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    ring_rest(r);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    deflate_finder_free(r->finder);
    free(r);
}

/* ---- in a helper's thread ---- */

/* Begin and end with a checkpoint. */
static bool snap_to_known(const struct ring *r, struct piece *p)
{
    p->known = checkpoints_find_bit(r->o.known, 8 * p->from);
    if (!p->known)
        return false;
    uint64_t behind = 8 * p->to > p->known->in_bit ? 8 * p->to : p->known->in_bit + 1;
    const struct checkpoint *next = checkpoints_find_bit(r->o.known, behind);
    p->from = p->known->in_bit / 8;
    p->to = next ? next->in_bit / 8 : r->o.stored_nbytes;
    p->stop_bit = next ? next->in_bit : NO_BIT;
    return true;
}

/* When the owner will be at `*at`, behind the piece that he is in and those of `active`, in ns from
 * now; under lock. */
static double arrival_ns(const struct ring *r, const struct piece *active, const struct forecast *o,
                         double now, double *at)
{
    const struct piece *p = r->taking;
    double t = now;

    *at = (double)r->claim;
    if (p) {
        double left = (double)(p->to - p->from) - (double)p->taken_n / r->ratio;
        t += left > 0 ? left * o->over : 0;
        if (p->state == PIECE_RUNNING && t < p->due_ns)
            t = p->due_ns;
    }
    DL_FOREACH(active, p)
    {
        double from = (double)p->from, to = (double)p->to;
        t += (from > *at ? (from - *at) * o->alone : 0) + (to - from) * o->over;
        if (p->state == PIECE_RUNNING && t < p->due_ns)
            t = p->due_ns;
        *at = to;
    }
    return t - now;
}

/* Where nothing is left behind the pieces that have been begun, there may be before the first of
 * them: a helper that has come to the end sooner than was thought helps with that. The read that
 * the owner is in ends before `claim`; where he may come to the first one's bit with it, nothing is
 * left here, and so what he comes to is what he was told. */
static double left_before(const struct ring *r, double at)
{
    const struct piece *first = r->active;

    if (!first || !first->start_known || first->start_bit == NO_BIT || r->o.known)
        return 0;
    return (double)(first->start_bit >> 3) - at;
}

/* Decide where a piece lies; under lock. Returns the piece that it lies before, or itself where it
 * is the last one; NULL: there is no place. */
static struct piece *plan(struct ring *r, struct piece *p)
{
    double now = (double)monotonic_ns(), alone = rate_of(&r->alone, 4), at, gap, width;
    struct piece *before = p;
    struct forecast o = {
        .alone = alone,
        .over = fmin(rate_of(&r->over, alone / 8), alone),
        .bytes = rate_of(&r->bytes, alone),
        /* below 0 where a helper was held up while it made bytes */
        .head = r->o.known ? 0 : fmax(rate_of(&r->head, HEAD_NBYTES * alone), 0),
        .width = r->width,
        .helpers = r->helpers > 0 ? r->helpers : 1,
    };

    o.arrival = arrival_ns(r, r->active, &o, now, &at);
    o.left = (double)r->o.stored_nbytes - at;
    p->stop_bit = NO_BIT;
    if (o.left <= 0 || !plan_piece(&o, &gap, &width)) {
        o.arrival = arrival_ns(r, NULL, &o, now, &at);
        o.left = left_before(r, at);
        if (o.left <= 0 || !plan_piece(&o, &gap, &width))
            return NULL;
        before = r->active;
        p->stop_bit = before->start_bit;
        width = o.left - gap;
    }
    p->from = (uint64_t)(at + gap);
    p->to = gap + width > o.left - 1 ? (uint64_t)(at + o.left) : p->from + (uint64_t)width;
    p->due_ns = now + o.head + width * o.bytes;
    p->known = NULL;
    return !r->o.known || snap_to_known(r, p) ? before : NULL;
}

static void note_rate(struct ring *r, const struct piece *p)
{
    double stored = (double)(p->end_bit - p->start_bit) / 8 - (double)p->marker_nbytes;

    if (p->end != PIECE_BOUNDARY && p->end != PIECE_FINAL)
        return;
    if (stored > 0)
        rate_add(&r->bytes, p->total_ns - p->marker_ns, stored, 4 * r->width);
    if (!p->known)
        rate_add(&r->head, p->marker_ns - (double)p->marker_nbytes * rate_of(&r->bytes, 4), 1, 4);
}

/* A scratch that is free, or a new one; NULL: out of memory. */
static struct piece_scratch *scratch_get(struct ring *r)
{
    struct piece_scratch *b;

    pthread_mutex_lock(&r->lock);
    b = r->scratches;
    if (b)
        DL_DELETE(r->scratches, b);
    pthread_mutex_unlock(&r->lock);
    if (b)
        return b;
    b = malloc(sizeof *b);
    if (b && !(b->marker = deflate_marker_new())) {
        free(b);
        b = NULL;
    }
    return b;
}

/* True: the piece has got its place. */
static bool begin(struct ring *r, struct piece *p)
{
    pthread_mutex_lock(&r->lock);
    struct piece *before =
        r->stopped || r->nfailed_searches == FAILED_SEARCHES_MAX ? NULL : plan(r, p);
    if (!before)
        r->wait_until =
            r->nfailed_searches == FAILED_SEARCHES_MAX ? UINT64_MAX : r->claim + (uint64_t)r->width;
    p->state = before ? PIECE_RUNNING : PIECE_FREE;
    p->start_known = false;
    p->nchunks = 0;
    p->put_n = p->ready_n = p->taken_n = p->chunk_taken_n = 0;
    if (!before)
        pthread_cond_broadcast(&r->changed);
    else if (before == p)
        DL_APPEND(r->active, p);
    else
        DL_PREPEND_ELEM(r->active, before, p);
    pthread_mutex_unlock(&r->lock);
    return before;
}

/* The owner may learn where it begins, or that it begins nowhere. */
static void tell_start(struct ring *r, struct piece *p)
{
    pthread_mutex_lock(&r->lock);
    p->start_known = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void run_job(struct helper_job *job)
{
    struct piece *p = (struct piece *)job;
    struct ring *r = p->ring;

    if (!begin(r, p))
        return;
    struct piece_scratch *b = scratch_get(r);
    p->end = PIECE_BROKEN;
    p->start_bit = NO_BIT;
    bool found = b && piece_find(p, b, &r->source, r->finder, r->o.stored_nbytes);
    tell_start(r, p);
    if (found)
        piece_run(p, b, &r->source, r->o.stored_nbytes);
    pthread_mutex_lock(&r->lock);
    if (b)
        DL_PREPEND(r->scratches, b);
    note_rate(r, p);
    if (p->start_bit != NO_BIT)
        r->nfailed_searches = 0;
    else if (!atomic_load_explicit(&p->cancelled, memory_order_relaxed) &&
             r->nfailed_searches < FAILED_SEARCHES_MAX)
        r->nfailed_searches++;
    if (p->dropped)
        output_drop(p);
    p->state = p->dropped ? PIECE_FREE : PIECE_DONE;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- in the owner's thread ---- */

/* What is not in use any more, to be given back without the lock. */
struct unused {
    struct chunk *chunks;
    struct piece_scratch *scratches;
    size_t npieces;
};

/* A piece that may be offered; NULL: there is no memory for one. */
static struct piece *spare_piece(struct ring *r, struct unused *u)
{
    for (unsigned i = 0; i < r->nslots; i++)
        if (r->slots[i]->state == PIECE_FREE)
            return r->slots[i];
    if (r->nslots == RING_SLOTS_MAX ||
        (r->o.budget && !budget_take_spare(r->o.budget, piece_nbytes())))
        return NULL;
    struct piece *p = piece_new(r, &r->source);
    if (!p) {
        u->npieces++;
        return NULL;
    }
    p->job.run = run_job;
    p->job.kind = HELPER_PIECE;
    r->slots[r->nslots++] = p;
    return p;
}

/* Nobody is idle: the memory of pieces that are not in use is for the tasks that keep them busy. */
static void drop_spare(struct ring *r, struct unused *u)
{
    for (unsigned i = r->nslots; i-- > 0;) {
        if (r->slots[i]->state != PIECE_FREE)
            continue;
        piece_free(r->slots[i]);
        r->slots[i] = r->slots[--r->nslots];
        u->npieces++;
    }
    u->chunks = r->spare;
    u->scratches = r->scratches;
    r->spare = NULL;
    r->scratches = NULL;
}

/* Make one of the pieces ready to be offered if there are helpers for it. */
static struct piece *to_offer(struct ring *r, unsigned idle)
{
    struct unused unused = {0};
    struct piece *p = NULL;
    unsigned busy = 0;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->nslots; i++)
        busy += r->slots[i]->state != PIECE_FREE;
    r->helpers = idle;
    if (idle == 0)
        drop_spare(r, &unused);
    if (busy < 2 * r->helpers && r->claim >= r->wait_until)
        p = spare_piece(r, &unused);
    if (p) {
        p->state = PIECE_OFFERED;
        p->dropped = false;
        atomic_store_explicit(&p->cancelled, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&r->lock);
    output_free(unused.chunks);
    free_scratches(unused.scratches);
    if (r->o.budget && unused.npieces > 0)
        budget_give(r->o.budget, unused.npieces * piece_nbytes());
    return p;
}

static void offer_all(struct ring *r, const struct owner *o)
{
    uint64_t stored = o->fed - o->begun;
    double ratio = stored > 0 ? (double)o->out_nbytes / (double)stored : 0;
    double width = PIECE_OUT_NBYTES / ratio;
    struct piece *p;

    if (o->out_nbytes < WARM_UP || ratio < RATIO_MIN || width < WIDTH_MIN)
        return;
    pthread_mutex_lock(&r->lock);
    r->ratio = ratio;
    r->width = width > WIDTH_MAX ? WIDTH_MAX : width;
    pthread_mutex_unlock(&r->lock);
    unsigned idle = r->o.helpers->idle(r->o.helpers);
    while ((p = to_offer(r, idle)))
        r->o.helpers->offer(r->o.helpers, &p->job);
}

/* Of what was read at a time some is inflated in several calls: their time counts together. */
static void note_alone(struct ring *r, uint64_t fed)
{
    double now = (double)monotonic_ns();

    if (r->since_ns > 0 && fed == r->since_fed)
        return;
    if (r->since_ns > 0)
        rate_add(&r->alone, now - r->since_ns, (double)(fed - r->since_fed), WIDTH_MAX);
    r->since_ns = now;
    r->since_fed = fed;
}

/* Out of the way; a piece that runs becomes free when it ends. */
static void drop_first(struct ring *r)
{
    struct piece *p = r->active;

    DL_DELETE(r->active, p);
    p->dropped = true;
    atomic_store_explicit(&p->cancelled, true, memory_order_relaxed);
    if (p->state != PIECE_DONE)
        return;
    output_drop(p);
    p->state = PIECE_FREE;
}

uint64_t ring_go_on(struct ring *r, const struct owner *o)
{
    uint64_t bit = NO_BIT;

    if (!r->o.helpers)
        return NO_BIT;
    pthread_mutex_lock(&r->lock);
    note_alone(r, o->fed);
    r->claim = o->fed + INFLATER_FEED_MAX;
    pthread_mutex_unlock(&r->lock);
    offer_all(r, o);

    pthread_mutex_lock(&r->lock);
    while (r->active && bit == NO_BIT && r->active->from < r->claim) {
        if (!r->active->start_known) {
            pthread_cond_wait(&r->changed, &r->lock);
            r->since_ns = 0;
        } else if (r->active->start_bit == NO_BIT ||
                   inflater_limit(r->active->start_bit) < o->fed) {
            drop_first(r);
        } else {
            bit = r->active->start_bit;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return bit;
}

struct piece *ring_take(struct ring *r)
{
    struct piece *p;

    pthread_mutex_lock(&r->lock);
    p = r->active;
    DL_DELETE(r->active, p);
    r->taking = p;
    if (r->claim < p->to)
        r->claim = p->to;
    pthread_mutex_unlock(&r->lock);
    r->taken_ns = (double)monotonic_ns();
    r->waited_ns = 0;
    r->since_ns = 0;
    return p;
}

void ring_give_back(struct ring *r, struct piece *p)
{
    double took = (double)monotonic_ns() - r->taken_ns - r->waited_ns;

    pthread_mutex_lock(&r->lock);
    if (p->end != PIECE_BROKEN)
        rate_add(&r->over, took, (double)(p->to - p->from), WIDTH_MAX);
    output_drop(p);
    r->taking = NULL;
    p->state = PIECE_FREE;
    pthread_mutex_unlock(&r->lock);
}

void ring_drop(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    drop_first(r);
    pthread_mutex_unlock(&r->lock);
}
