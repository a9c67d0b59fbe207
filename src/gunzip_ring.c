/* SPDX-License-Identifier: MIT
 *
 * The ring: where pieces begin, and who works on them when.
 *
 *     stored  |=======owner=======>......gap......|--piece--|.....gap.....|--piece--|
 *                                 alone, at full speed       alone
 *
 * Where a piece lies is decided when a hand begins it: so far ahead that the owner, who decodes the
 * gap and takes over the finished pieces before it, gets there when the piece is done. How far that
 * is, the times measured so far tell: what the owner takes for a stored byte alone (with all that
 * its caller does in between), what for one of a finished piece, what a hand takes for a byte, and
 * for the search and the symbols of a piece on top. The more hands, the smaller the gaps. At the
 * end of the file pieces get shorter, so that owner and hands are done together. Guarantee: a hand
 * that comes late, or never, costs nothing; one that is slow, the wait for one piece. At most two
 * pieces a hand exist at a time, towards the end of a file one, and only what the budget has room
 * for: memory that is touched for the first time can cost more than decoding into it, where a
 * virtual machine has to get it from its host.
 */
#include <stdlib.h>

#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"

enum {
    SLOTS_MAX = 128,
    WARM_UP = 256 << 10,   /* output before pieces are thought of: a header needs none */
    WIDTH_MIN = 256 << 10, /* stored bytes of a piece aimed at; of data that compresses more
                              than PIECE_OUT_NBYTES by it, pieces would be all overhead */
    WIDTH_MAX = 16 << 20,
    LONG_NBYTES = 64 << 20, /* stored bytes to go: so many that a second piece a hand is worth its
                               memory */
    HEAD_NBYTES = 1500000,  /* stored bytes that take a hand as long as the search and the symbols,
                               before that has been measured */
    LEAST_NBYTES = 1 << 20, /* stored bytes, or a quarter of a piece: a rest that is less is left to
                               the owner */
};

/* Data that hardly compresses is copied faster than it is searched. */
static const double RATIO_MIN = 1.05;

/* An average in which what was long ago counts less. */
struct pace {
    double ns, amount;
};

struct ring {
    struct gunzip_options o;
    struct deflate_source source;
    struct deflate_finder *finder;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a piece's state or start_known */

    /* guarded by lock */
    bool stopped;         /* no piece begins */
    bool planned_out;     /* no place for one was left */
    struct piece *active; /* begun and not yet reached by the owner, in order */
    uint64_t claim;       /* stored bytes that the owner has read or may be reading */
    uint64_t width;       /* stored bytes of a piece */
    unsigned hands;
    struct pace alone, over; /* of the owner, by stored bytes: alone; of finished pieces */
    struct pace bytes, head; /* of a hand: by stored bytes; by pieces, what comes on top */

    /* the owner's */
    struct piece *slots[SLOTS_MAX]; /* [nslots] */
    unsigned nslots;
    double taken_ns;    /* when a piece was taken */
    double since_ns;    /* the last call of ring_go_on(), or 0 */
    uint64_t since_fed; /* then */
};

static void pace_add(struct pace *p, double ns, double amount, double keep)
{
    p->ns += ns;
    p->amount += amount;
    if (p->amount > keep) {
        p->ns *= keep / p->amount;
        p->amount = keep;
    }
}

static double pace_of(const struct pace *p, double unknown)
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

void ring_rest(struct ring *r)
{
    for (unsigned i = 0; i < r->nslots; i++)
        atomic_store_explicit(&r->slots[i]->cancelled, true, memory_order_relaxed);
    for (unsigned i = 0; i < r->nslots; i++) {
        struct piece *p = r->slots[i];

        pthread_mutex_lock(&r->lock);
        r->stopped = true;
        bool offered = p->state == PIECE_OFFERED;
        pthread_mutex_unlock(&r->lock);
        bool back = offered && r->o.crew->take_back(r->o.crew, &p->job);
        pthread_mutex_lock(&r->lock);
        while (!back && (p->state == PIECE_OFFERED || p->state == PIECE_RUNNING))
            pthread_cond_wait(&r->changed, &r->lock);
        pthread_mutex_unlock(&r->lock);
        piece_free(p);
        if (r->o.budget)
            budget_give(r->o.budget, piece_nbytes());
    }
    r->active = NULL;
    r->nslots = 0;
    r->stopped = r->planned_out = false;
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

/* ---- in a crew's thread ------------------------------------------------------------------------
 */

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

/* Decide where a piece lies; under lock. False: nowhere. */
static bool plan(struct ring *r, struct piece *p)
{
    double alone = pace_of(&r->alone, 4), over = pace_of(&r->over, alone / 4);
    double bytes = pace_of(&r->bytes, alone), head = pace_of(&r->head, HEAD_NBYTES * alone);
    double at = (double)r->claim, arrival = 0; /* of the owner there, in ns from now */
    const struct piece *a;

    if (r->o.known)
        head = 0;
    DL_FOREACH(r->active, a)
    {
        double from = (double)a->from, to = (double)a->to;
        arrival += (from > at ? (from - at) * alone : 0) + (to - from) * over;
        at = to;
    }
    double left = (double)r->o.stored_nbytes - at, width = (double)r->width;
    double least = width / 4 < LEAST_NBYTES ? width / 4 : LEAST_NBYTES;
    if (r->hands > 0 && width > left / r->hands)
        width = left / r->hands > least ? left / r->hands : least;
    double lead = head + width * bytes;
    double gap = arrival < lead ? (lead - arrival) / alone : 0;
    if (gap + width > left) { /* let both come to the end at once */
        width = (left * alone + arrival - head) / (alone + bytes);
        gap = left - width;
    }
    if (width < least || gap < 0)
        return false;
    p->from = (uint64_t)(at + gap);
    p->to = p->from + (uint64_t)width;
    p->stop_bit = NO_BIT;
    p->known = NULL;
    return !r->o.known || snap_to_known(r, p);
}

static void note_pace(struct ring *r, const struct piece *p)
{
    double stored = (double)(p->end_bit - p->start_bit) / 8 - (double)p->marker_nbytes;
    double keep = 4 * (double)r->width;

    if (p->end != PIECE_BOUNDARY && p->end != PIECE_FINAL)
        return;
    if (stored > 0)
        pace_add(&r->bytes, p->total_ns - p->marker_ns, stored, keep);
    if (!p->known)
        pace_add(&r->head, p->marker_ns - (double)p->marker_nbytes * pace_of(&r->bytes, 4), 1, 4);
}

static void run_job(struct crew_job *job)
{
    struct piece *p = (struct piece *)job;
    struct ring *r = p->ring;

    pthread_mutex_lock(&r->lock);
    bool begins = !r->stopped && plan(r, p);
    r->planned_out = !begins;
    p->state = begins ? PIECE_RUNNING : PIECE_FREE;
    p->start_known = false;
    if (begins)
        DL_APPEND(r->active, p);
    else
        pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (!begins)
        return;
    piece_run(p, &r->source, r->finder, r->o.stored_nbytes);
    pthread_mutex_lock(&r->lock);
    note_pace(r, p);
    p->state = p->dropped ? PIECE_FREE : PIECE_DONE;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_found_start(struct piece *p)
{
    pthread_mutex_lock(&p->ring->lock);
    p->start_known = true;
    pthread_cond_broadcast(&p->ring->changed);
    pthread_mutex_unlock(&p->ring->lock);
}

/* ---- in the owner's thread ---------------------------------------------------------------------
 */

/* A piece that may be offered; NULL: there is no memory for one. */
static struct piece *spare_piece(struct ring *r)
{
    for (unsigned i = 0; i < r->nslots; i++)
        if (r->slots[i]->state == PIECE_FREE)
            return r->slots[i];
    if (r->nslots == SLOTS_MAX || (r->o.budget && !budget_take_spare(r->o.budget, piece_nbytes())))
        return NULL;
    struct piece *p = piece_new(r, &r->source);
    if (!p) {
        if (r->o.budget)
            budget_give(r->o.budget, piece_nbytes());
        return NULL;
    }
    p->job.run = run_job;
    p->job.kind = CREW_PIECE;
    r->slots[r->nslots++] = p;
    return p;
}

/* Nobody is idle: the memory of pieces that are not in use is for the tasks that keep them busy.
 * Returns how many went. */
static size_t drop_spare_pieces(struct ring *r)
{
    size_t n = 0;

    for (unsigned i = r->nslots; i-- > 0;) {
        if (r->slots[i]->state != PIECE_FREE)
            continue;
        piece_free(r->slots[i]);
        r->slots[i] = r->slots[--r->nslots];
        n++;
    }
    return n;
}

/* Make one of the pieces ready to be offered if there are hands for it. */
static struct piece *to_offer(struct ring *r, const struct owner *o, uint64_t width, unsigned idle)
{
    bool long_way = r->o.stored_nbytes - o->fed > LONG_NBYTES;
    unsigned busy = 0;
    size_t ndropped = 0;
    struct piece *p = NULL;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->nslots; i++)
        busy += r->slots[i]->state != PIECE_FREE;
    r->hands = idle;
    r->width = width;
    if (idle == 0)
        ndropped = drop_spare_pieces(r);
    if (busy < (long_way ? 2 * r->hands : r->hands) && !r->planned_out)
        p = spare_piece(r);
    if (p) {
        p->state = PIECE_OFFERED;
        p->dropped = false;
        atomic_store_explicit(&p->cancelled, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&r->lock);
    if (r->o.budget && ndropped > 0)
        budget_give(r->o.budget, ndropped * piece_nbytes());
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
    if (width > WIDTH_MAX)
        width = WIDTH_MAX;
    unsigned idle = r->o.crew->idle(r->o.crew);
    while ((p = to_offer(r, o, (uint64_t)width, idle)))
        r->o.crew->offer(r->o.crew, &p->job);
}

static void note_alone(struct ring *r, uint64_t fed)
{
    double now = (double)monotonic_ns();

    if (r->since_ns > 0 && fed > r->since_fed)
        pace_add(&r->alone, now - r->since_ns, (double)(fed - r->since_fed), WIDTH_MAX);
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
    if (p->state == PIECE_DONE)
        p->state = PIECE_FREE;
}

uint64_t ring_go_on(struct ring *r, const struct owner *o)
{
    uint64_t bit = NO_BIT;

    if (!r->o.crew)
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
    while (p->state != PIECE_DONE)
        pthread_cond_wait(&r->changed, &r->lock);
    if (p->end == PIECE_NOTHING) {
        drop_first(r);
        p = NULL;
    } else {
        DL_DELETE(r->active, p);
        if (r->claim < p->to)
            r->claim = p->to;
    }
    pthread_mutex_unlock(&r->lock);
    r->taken_ns = (double)monotonic_ns();
    r->since_ns = 0;
    return p;
}

void ring_give_back(struct ring *r, struct piece *p)
{
    pthread_mutex_lock(&r->lock);
    pace_add(&r->over, (double)monotonic_ns() - r->taken_ns, (double)(p->to - p->from), WIDTH_MAX);
    p->state = PIECE_FREE;
    pthread_mutex_unlock(&r->lock);
}

void ring_drop(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    drop_first(r);
    pthread_mutex_unlock(&r->lock);
}
