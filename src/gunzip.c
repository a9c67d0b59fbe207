/* SPDX-License-Identifier: MIT
 *
 * gzip on ISA-L.
 *
 *     stored bytes -> input buffer -> isal_inflate() -> the caller's buffer
 *
 * One call of isal_inflate() fills as much of the caller's buffer as it can, and the data is never
 * copied by us; ISA-L keeps the 32 KiB window across calls, so buffers of some hundred KiB and more
 * run at its full speed. It checks each member's CRC-32 and length (mod 2^32) itself. Member
 * headers are read by a call of their own: isal_inflate() forgets the header's flags between two
 * calls, and so fails where a header straddles two input buffers. After the last member only zero
 * bytes may follow (tape padding). Anything else there is an error: gzip(1) warns and drops it, but
 * voxels that were cut off would look just like it. Reading starts small, because most files are
 * opened only for their header. Cost: 345 KiB of memory per stream.
 */
#include "gunzip.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <isa-l/igzip_lib.h>

enum {
    FEED_FIRST = 16 * 1024,
    FEED_MAX = 256 * 1024,
    OUT_MAX = 1 << 30, /* ISA-L counts in 32 bits */
    DROP_NBYTES = 128 * 1024,
};

struct gunzip {
    struct gunzip_options o;
    _Atomic uint64_t fed; /* stored bytes; gunzip_consumed() reads it */
    size_t feed_nbytes;   /* to ask for next time */
    bool fed_all;         /* pread has told its end */
    bool in_header;       /* of a member: isal_read_gzip_header() is not done with it */
    bool in_member;
    bool any_member;    /* at least one member has begun */
    uint64_t out_total; /* inflated so far */
    struct isal_gzip_header header;
    struct inflate_state state;
    unsigned char in[FEED_MAX];
};

static void rewind_all(struct gunzip *z)
{
    atomic_store_explicit(&z->fed, 0, memory_order_relaxed);
    z->feed_nbytes = FEED_FIRST;
    z->fed_all = z->in_header = z->in_member = z->any_member = false;
    z->out_total = 0;
    isal_inflate_init(&z->state);
    z->state.next_in = z->in;
    z->state.avail_in = 0;
}

struct gunzip *gunzip_new(const struct gunzip_options *options)
{
    struct gunzip *z = malloc(sizeof(*z));

    if (!z)
        return NULL;
    z->o = *options;
    if (z->o.known)
        checkpoints_get(z->o.known);
    atomic_init(&z->fed, 0);
    rewind_all(z);
    return z;
}

void gunzip_free(struct gunzip *z)
{
    if (!z)
        return;
    checkpoints_put(z->o.known);
    free(z);
}

static int refill(struct gunzip *z, struct error *err)
{
    size_t got = 0;

    if (z->state.avail_in > 0 || z->fed_all)
        return 0;
    uint64_t off = gunzip_consumed(z);
    int ret = z->o.pread(z->o.ctx, off, z->in, z->feed_nbytes, &got, err);
    if (ret < 0)
        return ret;
    atomic_store_explicit(&z->fed, off + got, memory_order_relaxed);
    z->feed_nbytes = FEED_MAX;
    z->fed_all = got == 0;
    z->state.next_in = z->in;
    z->state.avail_in = (uint32_t)got;
    return 0;
}

/* Stand at the first byte of the next member (in_member) or at the end of everything. */
static int next_member(struct gunzip *z, struct error *err)
{
    for (;;) {
        int ret = refill(z, err);
        if (ret < 0)
            return ret;
        while (z->any_member && z->state.avail_in > 0 && *z->state.next_in == 0) {
            z->state.next_in++;
            z->state.avail_in--;
        }
        if (z->state.avail_in > 0)
            break;
        if (z->fed_all)
            return 0;
    }
    if (z->any_member && *z->state.next_in != 0x1f)
        return error_set(err, EIO, "garbage after the end of the gzip data, after %llu bytes",
                         (unsigned long long)z->out_total);
    isal_inflate_reset(&z->state);
    isal_gzip_header_init(&z->header); /* without buffers: name, comment and extra are dropped */
    z->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
    z->in_header = z->in_member = z->any_member = true;
    return 0;
}

static int explain(const struct gunzip *z, int isal_code, struct error *err)
{
    unsigned long long at = z->out_total;

    switch (isal_code) {
    case ISAL_INCORRECT_CHECKSUM:
        return error_set(err, EIO, "wrong CRC-32 or length in the gzip data, after %llu bytes", at);
    case ISAL_INVALID_WRAPPER:
        return error_set(err, EIO, "bad gzip header, after %llu bytes", at);
    case ISAL_UNSUPPORTED_METHOD:
        return error_set(err, EIO, "unknown gzip compression method, after %llu bytes", at);
    default:
        return error_set(err, EIO, "corrupt gzip data, after %llu bytes", at);
    }
}

/* Inflate from the current member into out[cap] until that is full or the input buffer is empty;
 * *got may be 0. */
static int inflate_some(struct gunzip *z, unsigned char *out, size_t cap, size_t *got,
                        struct error *err)
{
    int ret = refill(z, err);
    if (ret < 0)
        return ret;

    uint32_t out_nbytes = cap > OUT_MAX ? OUT_MAX : (uint32_t)cap;
    uint32_t in_nbytes = z->state.avail_in;
    z->state.next_out = out;
    z->state.avail_out = out_nbytes;
    int code = ISAL_DECOMP_OK;
    if (z->in_header) {
        code = isal_read_gzip_header(&z->state, &z->header);
        z->in_header = code == ISAL_END_INPUT;
    }
    if (!z->in_header && code == ISAL_DECOMP_OK)
        code = isal_inflate(&z->state);
    *got = out_nbytes - z->state.avail_out;
    z->out_total += *got;
    if (code < 0)
        return explain(z, code, err);

    if (z->state.block_state == ISAL_BLOCK_FINISH) {
        z->in_member = false;
        return 0;
    }
    if (*got > 0 || z->state.avail_in < in_nbytes)
        return 0;
    if (z->fed_all)
        return error_set(err, EIO, "gzip data ends early, after %llu bytes",
                         (unsigned long long)z->out_total);
    return error_set(err, EIO, "corrupt gzip data, after %llu bytes",
                     (unsigned long long)z->out_total);
}

int gunzip_read(struct gunzip *z, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    unsigned char *out = buf;
    size_t done = 0;

    *got = 0;
    while (done < nbytes) {
        int ret = z->in_member ? 0 : next_member(z, err);
        if (ret < 0)
            return ret;
        if (!z->in_member)
            break; /* the end of everything */
        size_t n = 0;
        ret = inflate_some(z, out + done, nbytes - done, &n, err);
        if (ret < 0)
            return ret;
        done += n;
    }
    *got = done;
    return 0;
}

int gunzip_seek(struct gunzip *z, uint64_t out_off, struct error *err)
{
    unsigned char *dropped = malloc(DROP_NBYTES);
    size_t want, got;
    int ret = 0;

    if (!dropped)
        return error_set(err, ENOMEM, "out of memory");
    if (out_off < z->out_total)
        rewind_all(z);
    do {
        uint64_t left = out_off - z->out_total;
        want = left < DROP_NBYTES ? (size_t)left : DROP_NBYTES;
        ret = gunzip_read(z, dropped, want, &got, err);
    } while (ret == 0 && got == want && z->out_total < out_off);
    free(dropped);
    return ret;
}

uint64_t gunzip_tell(const struct gunzip *z)
{
    return z->out_total;
}

struct checkpoints *gunzip_learned(struct gunzip *z)
{
    (void)z;
    return NULL;
}

uint64_t gunzip_consumed(const struct gunzip *z)
{
    return atomic_load_explicit(&z->fed, memory_order_relaxed);
}
