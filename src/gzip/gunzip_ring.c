/* SPDX-License-Identifier: MIT
 *
 * The ring: which helper decodes which piece, and when.
 *
 *     stored  |=======owner=======>......gap......|--piece--|.....gap.....|--piece--|
 *                                 alone, at full speed       alone
 *
 * A piece is placed when a helper begins it, from the times measured so far.
 * Guarantee: a helper that comes late, or never, costs nothing; a slow one costs the wait for one
 * piece. At most two pieces per helper exist at a time, within the budget: the owner takes the
 * first while the helper decodes the second.
 */
#include <math.h>
#include <stdlib.h>

#include <utlist.h>

#include "gunzip_private.h"
#include "monotonic.h"

enum {
    WARM_UP = 16 << 10,    /* output that shows the compression ratio: the first feed's, so that
                              helpers need not wait long */
    WIDTH_MIN = 256 << 10, /* target width, in stored bytes; if the data compresses so well that
                              pieces would be narrower, they would be all overhead */
    WIDTH_MAX = 16 << 20,
    FAILED_SEARCHES_MAX = 4, /* pieces in a row without a header: the file has no blocks */
    HEAD_NBYTES = 500000, /* initial estimate: the search and the symbols take a helper as long as
                                so many stored bytes */
};

/* Data that hardly compresses is copied faster than searched. */
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

struct ring *ring_new(const struct decoder_input *o)
{
    struct ring *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->o = *o;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

/* Wait until the piece is neither offered nor running. */
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
    if (r->o.budget && r->nslots > 0)
        budget_give(r->o.budget, r->nslots * piece_nbytes());
    r->spare = NULL;
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
    free(r);
}

/* ---- where the next piece lies ---- */

/* A piece narrower than this, or than a quarter of the target, is all overhead: the owner decodes
 * such a rest. */
static const double LEAST_NBYTES = 1 << 20;

/* Place a piece so that no thread waits and all finish at the same time.
 *
 *     stored  |==owner==>...gap...|--piece--|...gap...|--piece--| the end
 *     helper   head, width * bytes           owner: gap * alone, width * over
 *
 * While a helper decodes a piece of width w, the owner decodes the gap before it; when the helper
 * is done, the owner should have nearly taken the piece over. With h helpers there is a gap for
 * each h-th part of that time. So each piece and its gap need
 *
 *     u(w) = w + ((head + w * bytes) / h - w * over) / alone
 *
 * of the rest of the file, which is divided evenly into as many of them as make w about the target
 * width. The last piece reaches to the end, and begins where helper and owner finish at the same
 * time. Only ratios of the times count, so the first estimates need not be right. */
bool plan_piece(const struct forecast *o, double *gap, double *width)
{
    double least = fmin(o->width / 4, LEAST_NBYTES);
    double head = o->head / o->helpers / o->alone; /* per piece, in the owner's bytes */
    double grows = 1 + (o->bytes / o->helpers - o->over) / o->alone;
    if (grows < 0.5) /* with so many helpers the owner only takes over */
        grows = 0.5;

    unsigned n = (unsigned)(o->left / (o->width * grows + head) + 0.5);
    if (n < o->helpers)
        n = (unsigned)fmin(o->helpers, o->left / (least * grows + head));
    double w = n > 0 ? (o->left / n - head) / grows : o->left;
    if (w < least)
        w = least;
    double g = (o->head + w * (o->bytes - o->over) - o->arrival) / o->alone;
    if (n <= 1 || g + w > o->left) {
        w = (o->arrival + o->left * o->alone - o->head) / (o->bytes + o->alone - o->over);
        g = o->left - w;
    }
    if (g < 0) {
        g = 0;
        w = fmin(w, o->left);
    }
    *gap = g;
    *width = w;
    return w >= least;
}

/* ---- in a helper's thread ---- */

/* Let the piece begin and end at checkpoints. */
static bool snap_to_known(const struct ring *r, struct piece *p)
{
    p->known = checkpoints_find_bit(r->o.known, 8 * p->from);
    if (!p->known || !checkpoint_is_sound(p->known))
        return false;
    uint64_t behind = 8 * p->to > p->known->in_bit ? 8 * p->to : p->known->in_bit + 1;
    const struct checkpoint *next = checkpoints_find_bit(r->o.known, behind);
    p->from = p->known->in_bit / 8;
    p->to = next ? next->in_bit / 8 : r->o.stored_nbytes;
    p->stop_bit = next ? next->in_bit : NO_BIT;
    return true;
}

/* When the owner will reach `*at`, behind the piece that it takes and those of `active`, in ns from
 * now. With the lock held. */
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

/* Stored bytes left before the first begun piece, which a helper takes when none are left behind
 * the last. The owner's current read ends before `claim`; if it may reach the first piece, nothing
 * is left, so ring_go_on()'s answer to the owner stays right. */
static double left_before(const struct ring *r, double at)
{
    const struct piece *first = r->active;

    if (!first || !first->start_known || first->start_bit == NO_BIT || r->o.known)
        return 0;
    return (double)(first->start_bit >> 3) - at;
}

/* Place a piece. Returns the piece behind it, or itself if it is the last one; NULL: no place left.
 * With the lock held. */
static struct piece *plan(struct ring *r, struct piece *p)
{
    double now = (double)monotonic_ns(), alone = rate_of(&r->alone, 4), at, gap, width;
    struct piece *before = p;
    struct forecast o = {
        .alone = alone,
        .over = fmin(rate_of(&r->over, alone / 8), alone),
        .bytes = rate_of(&r->bytes, alone),
        /* measured below 0 if a helper was held up while it made bytes */
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

/* Give the piece a place. False: there is none. */
static bool begin(struct ring *r, struct piece *p)
{
    pthread_mutex_lock(&r->lock);
    bool no_blocks = r->nfailed_searches == FAILED_SEARCHES_MAX;
    struct piece *before = r->stopped || no_blocks ? NULL : plan(r, p);

    p->state = before ? PIECE_RUNNING : PIECE_FREE;
    p->start_known = false;
    p->nchunks = 0;
    p->put_n = p->ready_n = p->taken_n = p->chunk_taken_n = 0;
    if (!before) {
        r->wait_until = no_blocks ? UINT64_MAX : r->claim + (uint64_t)r->width;
        pthread_cond_broadcast(&r->changed);
    } else if (before == p) {
        DL_APPEND(r->active, p);
    } else {
        DL_PREPEND_ELEM(r->active, before, p);
    }
    pthread_mutex_unlock(&r->lock);
    return before;
}

static void run_job(struct helper_job *job)
{
    struct piece *p = (struct piece *)job;
    struct ring *r = p->ring;

    if (!begin(r, p))
        return;
    bool found = piece_find(p);
    pthread_mutex_lock(&r->lock);
    p->start_known = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (found)
        piece_run(p);
    pthread_mutex_lock(&r->lock);
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

/* A piece to offer; NULL: out of memory or budget. Adds to *nfreed the pieces whose budget must be
 * given back without the lock. */
static struct piece *spare_piece(struct ring *r, size_t *nfreed)
{
    for (unsigned i = 0; i < r->nslots; i++)
        if (r->slots[i]->state == PIECE_FREE)
            return r->slots[i];
    if (r->nslots == RING_SLOTS_MAX ||
        (r->o.budget && !budget_take_spare(r->o.budget, piece_nbytes())))
        return NULL;
    struct piece *p = piece_new(r);
    if (!p) {
        ++*nfreed;
        return NULL;
    }
    p->job.run = run_job;
    p->job.kind = HELPER_PIECE;
    r->slots[r->nslots++] = p;
    return p;
}

/* While no helper is idle, the memory of unused pieces is for the tasks that keep them busy.
 * Returns how many pieces were freed, and the chunks to free without the lock. */
static size_t drop_spare(struct ring *r, struct chunk **chunks)
{
    size_t npieces = 0;

    for (unsigned i = r->nslots; i-- > 0;) {
        if (r->slots[i]->state != PIECE_FREE)
            continue;
        piece_free(r->slots[i]);
        r->slots[i] = r->slots[--r->nslots];
        npieces++;
    }
    *chunks = r->spare;
    r->spare = NULL;
    return npieces;
}

/* Make a piece ready to be offered, if helpers are idle. */
static struct piece *to_offer(struct ring *r, unsigned idle)
{
    struct chunk *unused = NULL;
    struct piece *p = NULL;
    unsigned busy = 0;
    size_t nfreed = 0;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->nslots; i++)
        busy += r->slots[i]->state != PIECE_FREE;
    r->helpers = idle;
    if (idle == 0)
        nfreed = drop_spare(r, &unused);
    if (busy < 2 * r->helpers && r->claim >= r->wait_until)
        p = spare_piece(r, &nfreed);
    if (p) {
        p->state = PIECE_OFFERED;
        p->dropped = false;
        atomic_store_explicit(&p->cancelled, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&r->lock);
    output_free(unused);
    if (r->o.budget && nfreed > 0)
        budget_give(r->o.budget, nfreed * piece_nbytes());
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

/* A running piece becomes free when it ends. */
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
    double now = (double)monotonic_ns();
    uint64_t bit = NO_BIT;

    pthread_mutex_lock(&r->lock);
    if (r->since_ns > 0 && o->fed != r->since_fed)
        rate_add(&r->alone, now - r->since_ns, (double)(o->fed - r->since_fed), WIDTH_MAX);
    /* one feed may be inflated in several calls; their times are added up */
    if (r->since_ns <= 0 || o->fed != r->since_fed)
        r->since_ns = now;
    r->since_fed = o->fed;
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
