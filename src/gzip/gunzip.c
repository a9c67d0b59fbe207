/* SPDX-License-Identifier: MIT
 *
 * gzip, from front to back:
 *
 *     [header] deflate blocks [CRC-32, length]  [header] ... [CRC-32, length]  zero bytes
 *               |== alone ==|== a piece ==|== alone ==|
 *
 * The owner inflates alone (deflate_inflater.c) up to the start of a piece that a helper has
 * decoded meanwhile (gunzip_ring.c places it, gunzip_piece.c decodes it). If the owner is between
 * two blocks at exactly that bit, the piece continues the data and is copied out; else the owner
 * goes on alone. So whatever the pieces are, the bytes are those of a single pass, and only the
 * owner alone reports an error: if a piece breaks off, the owner inflates it again, and skips the
 * bytes handed out. Every joint is a checkpoint for free; without pieces the owner searches for one
 * itself, which takes 0.3 ms for 8 MiB of output. The owner compares the CRC-32 so far at known
 * checkpoints, and CRC-32 and length at every member's end. After the last member only zero bytes
 * may follow (tape padding). Anything else is an error: gzip(1) warns and drops it, but voxels cut
 * off would look the same.
 */
#include "gunzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include "gunzip_private.h"

enum {
    DROP_NBYTES = 128 * 1024,
    TRAILER_NBYTES = 8,
    LEARN_NBYTES = 8 << 20,   /* of output between two searches for a checkpoint */
    STEP_NBYTES = 256 * 1024, /* handed out at a time, while in the processor's cache */
};

struct gunzip {
    struct decoder_input o;
    struct ring *ring; /* NULL: no helpers */
    struct inflater *inflater;
    const struct cancel_token *cancel; /* may be NULL */
    _Atomic uint64_t consumed;

    uint64_t out_total;  /* inflated so far */
    uint64_t member_off; /* where the current member's output begins */
    uint32_t crc;        /* of its output so far */
    bool in_member;
    bool any_member; /* at least one has begun */
    bool at_end;     /* of the file */

    struct owner owner;                   /* since the last jump or member */
    unsigned char window[DEFLATE_WINDOW]; /* the last bytes handed out */

    struct piece *piece;                      /* being handed out, or NULL */
    uint64_t again;                           /* next bytes that were handed out before */
    unsigned char meanings[DEFLATE_NSYMBOLS]; /* of the piece's symbols */

    uint64_t next_bit;           /* a known checkpoint, or a found block header; or NO_BIT */
    uint64_t looked_off;         /* out_total at the last checkpoint or search for one */
    uint64_t look_every;         /* bytes of output between two searches */
    struct checkpoints *learned; /* NULL: note none */
};

/* ---- beginning and moving ---- */

/* The owner reads on from front to back here. */
static void begin_owner(struct gunzip *z)
{
    z->owner.begun = z->owner.fed = inflater_fed(z->inflater);
    z->owner.out_nbytes = 0;
}

/* Continue at a known checkpoint; NULL: at the start of the file. */
static void jump_to(struct gunzip *z, const struct checkpoint *p)
{
    if (z->ring)
        ring_rest(z->ring);
    z->piece = NULL;
    z->again = 0;
    z->next_bit = NO_BIT;
    z->at_end = false;
    z->in_member = z->any_member = p != NULL;
    z->out_total = p ? p->out_off : 0;
    z->member_off = p ? p->member_off : 0;
    z->crc = p ? p->crc : 0;
    if (p)
        memcpy(z->window, p->window, sizeof z->window);
    inflater_place(z->inflater, p ? p->in_bit : 0, z->window, p ? DEFLATE_WINDOW : 0);
    begin_owner(z);
    checkpoints_put(z->learned);
    z->learned = z->o.learn && !z->o.known ? checkpoints_new(z->o.budget) : NULL;
    z->look_every = LEARN_NBYTES;
    z->looked_off = 0;
    atomic_store_explicit(&z->consumed, z->owner.fed, memory_order_relaxed);
}

int gunzip_open(const struct decoder_input *in, struct decoder **out, struct error *err)
{
    struct gunzip *z = calloc(1, sizeof *z);

    if (!z)
        return error_set(err, ENOMEM, "out of memory");
    z->o = *in;
    z->inflater = inflater_new(&z->o.source);
    if (z->o.known)
        checkpoints_get(z->o.known);
    if (z->o.helpers)
        z->ring = ring_new(&z->o);
    if (!z->inflater || (z->o.helpers && !z->ring)) {
        gunzip_free((struct decoder *)z);
        return error_set(err, ENOMEM, "out of memory");
    }
    jump_to(z, NULL);
    *out = (struct decoder *)z;
    return 0;
}

void gunzip_free(struct decoder *decoder)
{
    struct gunzip *z = (struct gunzip *)decoder;

    if (!z)
        return;
    ring_free(z->ring);
    free(z->inflater);
    checkpoints_put(z->learned);
    checkpoints_put(z->o.known);
    free(z);
}

void gunzip_set_cancel(struct decoder *decoder, const struct cancel_token *cancel)
{
    ((struct gunzip *)decoder)->cancel = cancel;
}

/* ---- members ---- */

static int fail(const struct gunzip *z, const char *what, struct error *err)
{
    return error_set(err, EIO, "%s, after %llu bytes", what, (unsigned long long)z->out_total);
}

static const char wrong_sum[] = "wrong CRC-32 or length in the gzip data";
static const char ends_early[] = "gzip data ends early";
static const char corrupt[] = "corrupt gzip data";

static int read_header(struct gunzip *z, struct error *err)
{
    int code;
    int ret = inflater_gzip_header(z->inflater, &code, err);

    if (ret < 0)
        return ret;
    switch (code) {
    case ISAL_DECOMP_OK:
        break;
    case ISAL_END_INPUT:
        return fail(z, ends_early, err);
    case ISAL_INCORRECT_CHECKSUM:
        return fail(z, wrong_sum, err);
    case ISAL_UNSUPPORTED_METHOD:
        return fail(z, "unknown gzip compression method", err);
    default:
        return fail(z, "bad gzip header", err);
    }
    z->in_member = z->any_member = true;
    z->member_off = z->out_total;
    z->crc = 0;
    begin_owner(z);
    z->next_bit = NO_BIT;
    return 0;
}

/* Move to the first block of the next member (in_member) or to the end of the file (at_end). */
static int next_member(struct gunzip *z, struct error *err)
{
    const unsigned char *bytes;
    size_t left;

    for (;;) {
        int ret = cancel_check(z->cancel, err);
        if (ret == 0)
            ret = inflater_peek(z->inflater, &bytes, &left, err);
        if (ret != 0)
            return ret;
        size_t zeros = 0;
        while (z->any_member && zeros < left && bytes[zeros] == 0)
            zeros++;
        inflater_advance(z->inflater, zeros);
        atomic_store_explicit(&z->consumed, inflater_fed(z->inflater), memory_order_relaxed);
        z->at_end = left == 0;
        if (z->at_end)
            return 0;
        if (zeros < left && z->any_member && bytes[zeros] != 0x1f)
            return fail(z, "garbage after the end of the gzip data", err);
        if (zeros < left)
            return read_header(z, err);
    }
}

/* Behind the last block: compare the CRC-32 and the length. */
static int end_member(struct gunzip *z, uint64_t bit, struct error *err)
{
    unsigned char trailer[TRAILER_NBYTES];
    size_t n = 0;

    if (z->ring)
        ring_rest(z->ring);
    inflater_place(z->inflater, (bit + 7) / 8 * 8, NULL, 0);
    while (n < sizeof trailer) {
        const unsigned char *bytes;
        size_t got;
        int ret = inflater_peek(z->inflater, &bytes, &got, err);
        if (ret < 0)
            return ret;
        if (got == 0)
            return fail(z, ends_early, err);
        if (got > sizeof trailer - n)
            got = sizeof trailer - n;
        memcpy(trailer + n, bytes, got);
        inflater_advance(z->inflater, got);
        n += got;
    }
    uint32_t crc, length;
    memcpy(&crc, trailer, sizeof crc);
    memcpy(&length, trailer + 4, sizeof length);
    if (le32toh(crc) != z->crc || le32toh(length) != (uint32_t)(z->out_total - z->member_off))
        return fail(z, wrong_sum, err);
    z->in_member = false;
    return 0;
}

/* ---- checkpoints ---- */

static void learn(struct gunzip *z, uint64_t bit)
{
    struct checkpoint p = {.in_bit = bit,
                           .out_off = z->out_total,
                           .member_off = z->member_off,
                           .crc = z->crc,
                           .window = z->window};
    size_t n = checkpoints_count(z->learned);
    uint64_t last = n > 0 ? checkpoints_at(z->learned, n - 1)->out_off : 0;
    uint64_t apart = z->out_total / 1024; /* grows with the output: bounded memory */

    z->looked_off = z->out_total;
    if (apart < LEARN_NBYTES / 4)
        apart = LEARN_NBYTES / 4;
    if (z->out_total - z->member_off < DEFLATE_WINDOW || z->out_total < last + apart)
        return;
    if (checkpoints_add(z->learned, &p, NULL) < 0) { /* out of memory: note none */
        checkpoints_put(z->learned);
        z->learned = NULL;
    }
}

/* A block begins at `bit`, and all output before it was handed out. */
static int at_block(struct gunzip *z, uint64_t bit, struct error *err)
{
    const struct checkpoint *p = z->o.known ? checkpoints_find_bit(z->o.known, bit) : NULL;

    if (p && p->in_bit == bit && (p->crc != z->crc || p->out_off != z->out_total))
        return fail(z, wrong_sum, err);
    if (z->learned)
        learn(z, bit);
    return 0;
}

/* If there was no checkpoint for long, search for a block just behind the bytes read. */
static void look_for_block(struct gunzip *z)
{
    uint64_t stored = z->owner.fed - z->owner.begun;
    unsigned char *scratch;
    size_t got;

    if (z->out_total - z->looked_off < z->look_every)
        return;
    z->looked_off = z->out_total;
    if (z->owner.out_nbytes < stored + stored / 16) /* hardly compressed: not worth it */
        return;
    scratch = malloc(SEARCH_NBYTES + DEFLATE_SLACK);
    if (!scratch)
        return;
    z->next_bit = piece_search(&z->o.source, z->owner.fed, NULL, scratch, &got);
    free(scratch);
    z->look_every = z->next_bit == NO_BIT ? 2 * z->look_every : LEARN_NBYTES;
}

/* ---- data ---- */

/* Note n bytes of output. */
static void account(struct gunzip *z, const unsigned char *out, size_t n)
{
    size_t keep = n < DEFLATE_WINDOW ? DEFLATE_WINDOW - n : 0;

    memmove(z->window, z->window + DEFLATE_WINDOW - keep, keep);
    memcpy(z->window + keep, out + n - (DEFLATE_WINDOW - keep), DEFLATE_WINDOW - keep);
    z->out_total += n;
    z->owner.out_nbytes += n;
}

/* The owner has inflated up to bit `stop`: does a block begin there? One within output that was
 * handed out before is of no use. */
static int at_stop(struct gunzip *z, uint64_t stop, bool piece_begins, struct error *err)
{
    uint64_t bit;
    bool right = z->again == 0 && inflater_between_blocks(z->inflater, &bit) && bit == stop;
    int ret = right ? at_block(z, bit, err) : 0;

    if (z->next_bit == stop)
        z->next_bit = NO_BIT;
    if (ret < 0 || !piece_begins)
        return ret;
    if (!right || z->out_total - z->member_off < DEFLATE_WINDOW) {
        ring_drop(z->ring);
        return 0;
    }
    z->piece = ring_take(z->ring);
    deflate_meanings(z->window, z->meanings);
    return 0;
}

static int read_alone(struct gunzip *z, unsigned char *out, size_t cap, size_t *got,
                      struct error *err)
{
    uint64_t piece_bit = z->ring ? ring_go_on(z->ring, &z->owner) : NO_BIT;
    enum inflater_status status;
    uint64_t stop, bit;

    if (z->next_bit == NO_BIT && z->o.known) {
        const struct checkpoint *p = checkpoints_find_bit(z->o.known, 8 * z->owner.fed);
        z->next_bit = p ? p->in_bit : NO_BIT;
    }
    if (z->next_bit == NO_BIT && z->learned)
        look_for_block(z);
    stop = piece_bit < z->next_bit ? piece_bit : z->next_bit;
    int ret = inflater_run(z->inflater, out, cap, stop == NO_BIT ? NO_BIT : inflater_limit(stop),
                           got, &status, err);
    if (ret < 0)
        return ret;
    z->owner.fed = inflater_fed(z->inflater);
    size_t again = z->again < *got ? (size_t)z->again : *got; /* of bytes handed out before */
    z->again -= again;
    *got -= again;
    if (again > 0)
        memmove(out, out + again, *got);
    z->crc = crc32_gzip_refl(z->crc, out, *got);
    account(z, out, *got);
    switch (status) {
    case INFLATER_LIMIT:
        return at_stop(z, stop, stop == piece_bit, err);
    case INFLATER_FINAL:
        (void)inflater_between_blocks(z->inflater, &bit);
        return end_member(z, bit, err);
    case INFLATER_END:
        return fail(z, ends_early, err);
    case INFLATER_BAD:
        return fail(z, corrupt, err);
    default:
        return 0;
    }
}

/* All of the piece was handed out: continue at its end. */
static int leave_piece(struct gunzip *z, struct error *err)
{
    struct piece *p = z->piece;
    struct inflater *own = z->inflater;
    int ret = 0;

    z->crc = (uint32_t)crc32_combine(z->crc, p->crc, (z_off_t)p->nbytes);
    z->piece = NULL;
    switch (p->end) {
    case PIECE_FINAL:
        ret = end_member(z, p->end_bit, err);
        z->owner.fed = inflater_fed(z->inflater);
        return ret; /* the ring has taken the piece back */
    case PIECE_BOUNDARY:
        inflater_place(z->inflater, p->end_bit, z->window, DEFLATE_WINDOW);
        ret = at_block(z, p->end_bit, err);
        break;
    case PIECE_MIDDLE:
        z->inflater = p->inflater;
        p->inflater = own;
        break;
    case PIECE_BROKEN: /* the inflater is still at the piece's start */
        z->again = p->taken_n;
        break;
    }
    z->owner.fed = inflater_fed(z->inflater);
    ring_give_back(z->ring, p);
    return ret;
}

static int read_piece(struct gunzip *z, unsigned char *out, size_t cap, size_t *got,
                      struct error *err)
{
    struct span next;

    if (!output_next(z->piece, &next))
        return leave_piece(z, err);
    size_t n = next.n < cap ? next.n : cap;
    n = n < STEP_NBYTES ? n : STEP_NBYTES;
    if (next.symbols) {
        deflate_resolve(next.symbols, n, z->meanings, out);
        z->crc = crc32_gzip_refl(z->crc, out, n);
    } else {
        memcpy(out, next.bytes, n);
    }
    output_took(z->piece, n);
    account(z, out, n);
    *got = n;
    return 0;
}

/* The stored bytes of the output handed out; an estimate within a piece. */
static uint64_t consumed(const struct gunzip *z)
{
    const struct piece *p = z->piece;

    if (!p)
        return z->owner.fed;
    double stored = (double)(z->owner.fed - z->owner.begun);
    double ratio = (double)(z->owner.out_nbytes - p->taken_n) / stored;
    uint64_t off = p->start_bit / 8 + (uint64_t)((double)p->taken_n / ratio);
    return off < p->to ? off : p->to;
}

int gunzip_read(struct decoder *decoder, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    struct gunzip *z = (struct gunzip *)decoder;
    unsigned char *out = buf;
    size_t done = 0;

    *got = 0;
    while (done < nbytes) {
        size_t n = 0;
        int ret = z->in_member ? cancel_check(z->cancel, err) : next_member(z, err);

        if (ret == 0 && z->at_end)
            break;
        if (ret == 0 && z->piece)
            ret = read_piece(z, out + done, nbytes - done, &n, err);
        else if (ret == 0)
            ret = read_alone(z, out + done, nbytes - done, &n, err);
        atomic_store_explicit(&z->consumed, consumed(z), memory_order_relaxed);
        if (ret < 0)
            return ret;
        done += n;
    }
    *got = done;
    return 0;
}

int gunzip_seek(struct decoder *decoder, uint64_t out_off, uint64_t *at, struct error *err)
{
    struct gunzip *z = (struct gunzip *)decoder;
    const struct checkpoint *p = z->o.known ? checkpoints_find(z->o.known, out_off) : NULL;
    bool jumps = out_off < z->out_total || (p && p->out_off > z->out_total);
    unsigned char *dropped;
    size_t want, got;
    int ret = 0;

    if (jumps && p && !checkpoint_is_sound(p))
        return error_set(err, EIO, "a checkpoint is damaged");
    if (jumps)
        jump_to(z, p);
    dropped = malloc(DROP_NBYTES);
    if (!dropped)
        return error_set(err, ENOMEM, "out of memory");
    do {
        uint64_t left = out_off - z->out_total;
        want = left < DROP_NBYTES ? (size_t)left : DROP_NBYTES;
        ret = gunzip_read(decoder, dropped, want, &got, err);
    } while (ret == 0 && got == want && z->out_total < out_off);
    free(dropped);
    *at = z->out_total;
    return ret;
}

struct checkpoints *gunzip_learned(struct decoder *decoder)
{
    const struct gunzip *z = (const struct gunzip *)decoder;

    if (!z->at_end || !z->learned || checkpoints_count(z->learned) == 0)
        return NULL;
    return checkpoints_get(z->learned);
}

uint64_t gunzip_consumed(const struct decoder *decoder)
{
    return atomic_load_explicit(&((const struct gunzip *)decoder)->consumed, memory_order_relaxed);
}
