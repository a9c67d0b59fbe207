/* SPDX-License-Identifier: MIT
 *
 * An array sorted by place. Packed, in little endian:
 *
 *     "derivfs checkpoints 1\n"  u32 count  u32 zero
 *     count times: u64 in_bit, out_off, member_off  u32 crc  u32 nbytes of the window as packed
 *     the windows, one after the other, as zlib streams
 *
 * Unpacking believes nothing: every length is compared with what is left, the order is checked by
 * the function that adds, and a window must inflate to exactly its size. Voxels of int16 make
 * windows of about half the size, 16 KiB for each checkpoint.
 */
#include "checkpoints.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

static const char magic[] = "derivfs checkpoints 1\n";

enum { MAGIC_NBYTES = sizeof magic - 1 }; /* without the NUL */
enum { HEAD_NBYTES = MAGIC_NBYTES + 8, ENTRY_NBYTES = 32, LEVEL = 1 };

struct checkpoints {
    atomic_uint nrefs;
    atomic_bool distrusted;
    struct budget *budget; /* has given CHECKPOINT_WINDOW for each; or NULL */
    size_t count, room;
    struct checkpoint *points; /* [room], count of them valid, each window malloced */
};

struct checkpoints *checkpoints_new(struct budget *budget)
{
    struct checkpoints *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    atomic_init(&c->nrefs, 1);
    c->budget = budget;
    return c;
}

struct checkpoints *checkpoints_get(struct checkpoints *c)
{
    atomic_fetch_add_explicit(&c->nrefs, 1, memory_order_relaxed);
    return c;
}

void checkpoints_distrust(struct checkpoints *c)
{
    atomic_store(&c->distrusted, true);
}

bool checkpoints_are_trusted(const struct checkpoints *c)
{
    return !atomic_load(&c->distrusted);
}

void checkpoints_put(struct checkpoints *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->nrefs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < c->count; i++)
        free((void *)(uintptr_t)c->points[i].window);
    if (c->budget)
        budget_give(c->budget, c->count * CHECKPOINT_WINDOW);
    free(c->points);
    free(c);
}

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "checkpoints: out of memory");
}

static bool may_follow(const struct checkpoint *last, const struct checkpoint *p)
{
    if (p->member_off > p->out_off || p->out_off - p->member_off < CHECKPOINT_WINDOW)
        return false;
    return !last || (p->in_bit > last->in_bit && p->out_off > last->out_off &&
                     (p->member_off == last->member_off || p->member_off >= last->out_off));
}

int checkpoints_add(struct checkpoints *c, const struct checkpoint *point, struct error *err)
{
    if (!may_follow(c->count > 0 ? &c->points[c->count - 1] : NULL, point))
        return error_set(err, EINVAL, "checkpoints: out of order");
    if (c->count == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 16;
        struct checkpoint *points = reallocarray(c->points, room, sizeof *points);

        if (!points)
            return no_memory(err);
        c->points = points;
        c->room = room;
    }
    if (c->budget && !budget_take_spare(c->budget, CHECKPOINT_WINDOW))
        return no_memory(err);
    unsigned char *window = malloc(CHECKPOINT_WINDOW);
    if (!window) {
        if (c->budget)
            budget_give(c->budget, CHECKPOINT_WINDOW);
        return no_memory(err);
    }
    memcpy(window, point->window, CHECKPOINT_WINDOW);
    c->points[c->count] = *point;
    c->points[c->count++].window = window;
    return 0;
}

size_t checkpoints_count(const struct checkpoints *c)
{
    return c->count;
}

const struct checkpoint *checkpoints_at(const struct checkpoints *c, size_t i)
{
    return &c->points[i];
}

const struct checkpoint *checkpoints_find(const struct checkpoints *c, uint64_t out_off)
{
    size_t low = 0, high = c->count; /* what is asked for stands at low - 1 in the end */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->points[middle].out_off <= out_off)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &c->points[low - 1] : NULL;
}

const struct checkpoint *checkpoints_find_bit(const struct checkpoints *c, uint64_t in_bit)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->points[middle].in_bit < in_bit)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->count ? &c->points[low] : NULL;
}

size_t checkpoints_nbytes(const struct checkpoints *c)
{
    return sizeof *c + c->room * sizeof *c->points + c->count * CHECKPOINT_WINDOW;
}

/* ---- as bytes ---- */

static void put32(unsigned char *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static void put64(unsigned char *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static uint32_t take32(const unsigned char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static uint64_t take64(const unsigned char *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

int checkpoints_pack(const struct checkpoints *c, unsigned char **bytes, size_t *nbytes,
                     struct error *err)
{
    size_t at = HEAD_NBYTES + c->count * ENTRY_NBYTES;
    unsigned char *b = malloc(at + c->count * compressBound(CHECKPOINT_WINDOW));

    if (!b)
        return no_memory(err);
    memcpy(b, magic, MAGIC_NBYTES);
    put32(b + MAGIC_NBYTES, (uint32_t)c->count);
    put32(b + MAGIC_NBYTES + 4, 0);
    for (size_t i = 0; i < c->count; i++) {
        const struct checkpoint *p = &c->points[i];
        unsigned char *entry = b + HEAD_NBYTES + i * ENTRY_NBYTES;
        uLongf packed = compressBound(CHECKPOINT_WINDOW);

        if (compress2(b + at, &packed, p->window, CHECKPOINT_WINDOW, LEVEL) != Z_OK) {
            free(b);
            return no_memory(err);
        }
        put64(entry, p->in_bit);
        put64(entry + 8, p->out_off);
        put64(entry + 16, p->member_off);
        put32(entry + 24, p->crc);
        put32(entry + 28, (uint32_t)packed);
        at += packed;
    }
    *bytes = b;
    *nbytes = at;
    return 0;
}

static int not_ours(struct error *err)
{
    return error_set(err, EINVAL, "checkpoints: not in the form that they are kept in");
}

static int unpack_all(struct checkpoints *c, size_t count, const unsigned char *bytes,
                      size_t nbytes, struct error *err)
{
    unsigned char window[CHECKPOINT_WINDOW];
    size_t at = HEAD_NBYTES + count * ENTRY_NBYTES;

    for (size_t i = 0; i < count; i++) {
        const unsigned char *entry = bytes + HEAD_NBYTES + i * ENTRY_NBYTES;
        struct checkpoint p = {.in_bit = take64(entry),
                               .out_off = take64(entry + 8),
                               .member_off = take64(entry + 16),
                               .crc = take32(entry + 24),
                               .window = window};
        uLong packed = take32(entry + 28), used = packed;
        uLongf inflated = sizeof window;

        if (packed > nbytes - at)
            return not_ours(err);
        int code = uncompress2(window, &inflated, bytes + at, &used);
        if (code == Z_MEM_ERROR)
            return no_memory(err);
        if (code != Z_OK || inflated != sizeof window || used != packed)
            return not_ours(err);
        int ret = checkpoints_add(c, &p, err);
        if (ret < 0)
            return ret;
        at += packed;
    }
    return at == nbytes ? 0 : not_ours(err);
}

int checkpoints_unpack(const unsigned char *bytes, size_t nbytes, struct budget *budget,
                       struct checkpoints **out, struct error *err)
{
    if (nbytes < HEAD_NBYTES || memcmp(bytes, magic, MAGIC_NBYTES) != 0)
        return not_ours(err);
    size_t count = take32(bytes + MAGIC_NBYTES);
    if (take32(bytes + MAGIC_NBYTES + 4) != 0 || count > (nbytes - HEAD_NBYTES) / ENTRY_NBYTES)
        return not_ours(err);
    struct checkpoints *c = checkpoints_new(budget);
    if (!c)
        return no_memory(err);
    int ret = unpack_all(c, count, bytes, nbytes, err);
    if (ret < 0) {
        checkpoints_put(c);
        return ret;
    }
    *out = c;
    return 0;
}
