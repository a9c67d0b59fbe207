/* SPDX-License-Identifier: MIT
 *
 * Raw deflate by ISA-L, from any bit to any block.
 *
 *     stored bytes -> input buffer -> isal_inflate() -> the caller's buffer
 *
 * To start within a byte, its upper bits go into ISA-L's bit buffer (read_in); the window is its
 * dictionary. ISA-L runs until its input is used up; so to stop at a block, it gets only a part of
 * the block's header. It then waits for the rest (block_state), and the header begins at the bytes
 * fed less those kept in tmp_in_buffer and read_in.
 * ISA-L keeps the window across calls, so it runs at full speed with buffers of some hundred KiB.
 * Reading starts small, because most files are opened only for their header. Memory: 217 KiB.
 */
#include <stdlib.h>

#include <isa-l/igzip_lib.h>

#include "deflate.h"

enum {
    FEED_FIRST = 2 * 1024,
    HEADER_MAX = 1 << 20,  /* of a gzip member: longer names and comments are refused */
    FLAGS_RESERVED = 0xe0, /* of a gzip member; RFC 1952 says to refuse them */
    OUT_MAX = 1 << 30,     /* ISA-L counts in 32 bits */
};

struct inflater {
    struct decoder_source source;
    uint64_t in_end;    /* the stored byte behind those in the buffer */
    size_t in_nbytes;   /* in the buffer; state.next_in points into it, or behind it */
    size_t feed_nbytes; /* to read next */
    bool ended;         /* the source is at its end */
    bool in_header;     /* isal_read_gzip_header() has begun a member's header */
    unsigned skip_bits; /* of the next byte */
    struct isal_gzip_header header;
    struct inflate_state state;
    unsigned char in[INFLATER_FEED_MAX];
};

struct inflater *inflater_new(const struct decoder_source *source)
{
    struct inflater *f = malloc(sizeof *f);

    if (!f)
        return NULL;
    f->source = *source;
    f->in_end = 0;
    f->in_nbytes = 0;
    f->feed_nbytes = FEED_FIRST;
    isal_inflate_init(&f->state);
    inflater_place(f, 0, NULL, 0);
    return f;
}

size_t inflater_nbytes(void)
{
    return sizeof(struct inflater);
}

static size_t left_in(const struct inflater *f)
{
    return f->in_nbytes - (size_t)(f->state.next_in - f->in);
}

uint64_t inflater_fed(const struct inflater *f)
{
    return f->in_end;
}

void inflater_place(struct inflater *f, uint64_t bit, const unsigned char *window,
                    size_t window_nbytes)
{
    uint64_t byte = bit >> 3;

    if (byte > f->in_end || f->in_end - byte > f->in_nbytes) { /* not in the buffer */
        f->in_end = byte;
        f->in_nbytes = 0;
    }
    f->ended = f->in_header = false;
    f->skip_bits = bit & 7;
    isal_inflate_reset(&f->state);
    f->state.crc_flag = ISAL_DEFLATE;
    f->state.next_in = f->in + f->in_nbytes - (size_t)(f->in_end - byte);
    if (window_nbytes > 0) /* fails in other states only */
        (void)isal_inflate_set_dict(&f->state, (uint8_t *)(uintptr_t)window,
                                    (uint32_t)window_nbytes);
}

static int refill(struct inflater *f, uint64_t limit, struct error *err)
{
    size_t want = f->feed_nbytes, got = 0;

    if (left_in(f) > 0 || f->ended || f->in_end >= limit)
        return 0;
    if (want > limit - f->in_end)
        want = (size_t)(limit - f->in_end);
    int ret = f->source.pread(f->source.ctx, f->in_end, f->in, want, &got, err);
    if (ret < 0)
        return ret;
    f->feed_nbytes = INFLATER_FEED_MAX;
    f->ended = got == 0;
    f->in_end += got;
    f->in_nbytes = got;
    f->state.next_in = f->in;
    return 0;
}

int inflater_run(struct inflater *f, unsigned char *out, size_t cap, uint64_t limit, size_t *got,
                 enum inflater_status *status, struct error *err)
{
    int ret = refill(f, limit, err);

    if (ret < 0)
        return ret;
    size_t left = left_in(f);
    size_t beyond = f->in_end > limit ? (size_t)(f->in_end - limit) : 0;
    uint32_t in_nbytes = (uint32_t)(left > beyond ? left - beyond : 0);
    uint32_t out_nbytes = cap > OUT_MAX ? OUT_MAX : (uint32_t)cap;

    f->state.avail_in = in_nbytes;
    f->state.next_out = out;
    f->state.avail_out = out_nbytes;
    if (f->skip_bits > 0 && in_nbytes > 0) { /* the upper bits of the first byte go in first */
        f->state.read_in = *f->state.next_in >> f->skip_bits;
        f->state.read_in_length = 8 - (int)f->skip_bits;
        f->skip_bits = 0;
        f->state.next_in++;
        f->state.avail_in--;
    }
    int code = isal_inflate(&f->state);
    *got = out_nbytes - f->state.avail_out;

    bool stuck = *got == 0 && f->state.avail_in == in_nbytes;
    if (code < 0)
        *status = INFLATER_BAD;
    else if (f->state.block_state == ISAL_BLOCK_FINISH)
        *status = INFLATER_FINAL;
    else if (f->state.avail_in == 0 && f->state.avail_out > 0 && f->in_end - left_in(f) >= limit)
        *status = INFLATER_LIMIT;
    else if (stuck)
        *status = f->ended ? INFLATER_END : INFLATER_BAD;
    else
        *status = INFLATER_MORE;
    return 0;
}

bool inflater_between_blocks(const struct inflater *f, uint64_t *bit)
{
    const struct inflate_state *s = &f->state;

    *bit = 8 * (f->in_end - left_in(f)) + f->skip_bits - 8 * (uint64_t)s->tmp_in_size -
           (uint64_t)s->read_in_length;
    return s->block_state == ISAL_BLOCK_NEW_HDR || s->block_state == ISAL_BLOCK_HDR ||
           s->block_state == ISAL_BLOCK_FINISH;
}

uint64_t inflater_limit(uint64_t bit)
{
    return (bit + DEFLATE_HEADER_BITS_MIN - 10) / 8 + 1;
}

/* ---- what is not deflate ---- */

int inflater_peek(struct inflater *f, const unsigned char **bytes, size_t *got, struct error *err)
{
    int ret = refill(f, UINT64_MAX, err);

    *bytes = f->state.next_in;
    *got = left_in(f);
    return ret;
}

void inflater_advance(struct inflater *f, size_t nbytes)
{
    f->state.next_in += nbytes;
}

/* Not left to isal_inflate(), which forgets the header's flags between two calls, and so fails if a
 * header straddles two input buffers. */
int inflater_gzip_header(struct inflater *f, int *code, struct error *err)
{
    uint64_t begin = f->in_end;

    do {
        int ret = refill(f, UINT64_MAX, err);
        if (ret < 0)
            return ret;
        if (!f->in_header)
            isal_gzip_header_init(&f->header); /* no buffers: name, comment, extra are dropped */
        f->in_header = true;
        f->state.avail_in = (uint32_t)left_in(f);
        *code = isal_read_gzip_header(&f->state, &f->header);
        if (*code == ISAL_END_INPUT && f->in_end - begin > HEADER_MAX)
            *code = ISAL_INVALID_WRAPPER;
    } while (*code == ISAL_END_INPUT && !f->ended);
    if (*code == ISAL_DECOMP_OK && (f->header.flags & FLAGS_RESERVED) != 0) /* ISA-L ignores them */
        *code = ISAL_INVALID_WRAPPER;
    if (*code == ISAL_DECOMP_OK)
        inflater_place(f, 8 * (f->in_end - left_in(f)), NULL, 0);
    return 0;
}
