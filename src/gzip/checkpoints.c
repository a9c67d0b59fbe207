/* SPDX-License-Identifier: MIT
 *
 * A sorted array. Packed, in little endian:
 *
 *     "derivfs checkpoints 2\n"  u32 count  u32 zero
 *     count times: struct entry
 *     the windows, one after the other, as zlib streams
 *
 * Unpacking trusts nothing: it compares every length with the bytes left, checkpoints_add() checks
 * the order, and a window must inflate to exactly its size. Windows of int16 voxels compress to
 * about half, 16 KiB for each checkpoint.
 */
#include "checkpoints.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <zlib.h>

#include "grow.h"

static const char magic[] = "derivfs checkpoints 2\n";

struct entry {
    uint64_t in_bit, out_off, member_off, xxh3;
    uint32_t crc, packed_nbytes; /* of the window */
};

enum { MAGIC_NBYTES = sizeof magic - 1 }; /* without the NUL */
enum { HEADER_NBYTES = MAGIC_NBYTES + 8, LEVEL = 1 };

_Static_assert(sizeof(struct entry) == 40, "no padding");

struct checkpoints {
    atomic_uint nrefs;
    atomic_bool distrusted;
    struct budget *budget; /* of CHECKPOINT_WINDOW bytes for each; or NULL */
    size_t count;
    struct checkpoint *points; /* [count], each window malloced */
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

bool checkpoint_is_sound(const struct checkpoint *p)
{
    return XXH3_64bits(p->window, CHECKPOINT_WINDOW) == p->xxh3;
}

/* The hash of the window is the point's. */
static int add(struct checkpoints *c, const struct checkpoint *point, struct error *err)
{
    if (!may_follow(c->count > 0 ? &c->points[c->count - 1] : NULL, point))
        return error_set(err, EINVAL, "checkpoints: out of order");
    if (GROW(c->points, c->count) < 0 ||
        (c->budget && !budget_take_spare(c->budget, CHECKPOINT_WINDOW)))
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

int checkpoints_add(struct checkpoints *c, const struct checkpoint *point, struct error *err)
{
    struct checkpoint hashed = *point;

    hashed.xxh3 = XXH3_64bits(point->window, CHECKPOINT_WINDOW);
    return add(c, &hashed, err);
}

size_t checkpoints_count(const struct checkpoints *c)
{
    return c->count;
}

const struct checkpoint *checkpoints_at(const struct checkpoints *c, size_t i)
{
    return &c->points[i];
}

/* How many begin before bit `place`; or, if not `by_bit`, at or before output offset `place`. */
static size_t count_before(const struct checkpoints *c, uint64_t place, bool by_bit)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct checkpoint *p = &c->points[middle];

        if (by_bit ? p->in_bit < place : p->out_off <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct checkpoint *checkpoints_find(const struct checkpoints *c, uint64_t out_off)
{
    size_t n = count_before(c, out_off, false);

    return n > 0 ? &c->points[n - 1] : NULL;
}

const struct checkpoint *checkpoints_find_bit(const struct checkpoints *c, uint64_t in_bit)
{
    size_t n = count_before(c, in_bit, true);

    return n < c->count ? &c->points[n] : NULL;
}

/* ---- as bytes ---- */

int checkpoints_pack(const struct checkpoints *c, unsigned char **bytes, size_t *nbytes,
                     struct error *err)
{
    uint32_t counts[2] = {htole32((uint32_t)c->count), 0};
    size_t at = HEADER_NBYTES + c->count * sizeof(struct entry);
    unsigned char *b = malloc(at + c->count * compressBound(CHECKPOINT_WINDOW));

    if (!b)
        return no_memory(err);
    memcpy(mempcpy(b, magic, MAGIC_NBYTES), counts, sizeof counts);
    for (size_t i = 0; i < c->count; i++) {
        const struct checkpoint *p = &c->points[i];
        uLongf packed = compressBound(CHECKPOINT_WINDOW);

        if (compress2(b + at, &packed, p->window, CHECKPOINT_WINDOW, LEVEL) != Z_OK) {
            free(b);
            return no_memory(err);
        }
        struct entry e = {htole64(p->in_bit), htole64(p->out_off), htole64(p->member_off),
                          htole64(p->xxh3),   htole32(p->crc),     htole32((uint32_t)packed)};
        memcpy(b + HEADER_NBYTES + i * sizeof e, &e, sizeof e);
        at += packed;
    }
    *bytes = b;
    *nbytes = at;
    return 0;
}

static int malformed(struct error *err)
{
    return error_set(err, EINVAL, "checkpoints: malformed");
}

static int unpack_all(struct checkpoints *c, size_t count, const unsigned char *bytes,
                      size_t nbytes, struct error *err)
{
    unsigned char window[CHECKPOINT_WINDOW];
    size_t at = HEADER_NBYTES + count * sizeof(struct entry);

    for (size_t i = 0; i < count; i++) {
        struct entry e;

        memcpy(&e, bytes + HEADER_NBYTES + i * sizeof e, sizeof e);
        uLong packed = le32toh(e.packed_nbytes), used = packed;
        uLongf inflated = sizeof window;

        if (packed > nbytes - at)
            return malformed(err);
        int code = uncompress2(window, &inflated, bytes + at, &used);
        if (code == Z_MEM_ERROR)
            return no_memory(err);
        if (code != Z_OK || inflated != sizeof window || used != packed)
            return malformed(err);
        struct checkpoint p = {.in_bit = le64toh(e.in_bit),
                               .out_off = le64toh(e.out_off),
                               .member_off = le64toh(e.member_off),
                               .crc = le32toh(e.crc),
                               .window = window,
                               .xxh3 = le64toh(e.xxh3)};
        int ret = checkpoint_is_sound(&p) ? add(c, &p, err) : malformed(err);
        if (ret < 0)
            return ret;
        at += packed;
    }
    return at == nbytes ? 0 : malformed(err);
}

int checkpoints_unpack(const unsigned char *bytes, size_t nbytes, struct budget *budget,
                       struct checkpoints **out, struct error *err)
{
    uint32_t counts[2];

    if (nbytes < HEADER_NBYTES || memcmp(bytes, magic, MAGIC_NBYTES) != 0)
        return malformed(err);
    memcpy(counts, bytes + MAGIC_NBYTES, sizeof counts);
    size_t count = le32toh(counts[0]);
    if (counts[1] != 0 || count > (nbytes - HEADER_NBYTES) / sizeof(struct entry))
        return malformed(err);
    struct checkpoints *c = checkpoints_new(budget);
    if (!c)
        return no_memory(err);
    int ret = unpack_all(c, count, bytes, nbytes, err);
    if (ret < 0)
        checkpoints_put(c);
    else
        *out = c;
    return ret;
}
