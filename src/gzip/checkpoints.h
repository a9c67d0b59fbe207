/* SPDX-License-Identifier: MIT
 *
 * Checkpoints of a gzip file: places where inflating can start.
 *
 * Each lies at the header of a deflate block and holds the window, the 32 KiB of output before it,
 * all of the same member. One pass that found every length and CRC-32 right noted them all; so
 * their CRCs verify a later pass that starts at one of them and reaches another. For passes that end
 * before, each window has a hash of its own, from when it was noted to when it is used.
 * Ownership: reference counted; _new, _get and _put. Thread rule: one thread builds them; then they
 * do not change, and any number of threads may read.
 */
#ifndef DERIVFS_CHECKPOINTS_H
#define DERIVFS_CHECKPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "error.h"

enum { CHECKPOINT_WINDOW = 32 * 1024 }; /* bytes */

struct checkpoint {
    uint64_t in_bit;             /* bit of the stored file where the block's header begins,
                                    counted from each byte's least significant bit */
    uint64_t out_off;            /* inflated bytes before it, of all members */
    uint64_t member_off;         /* of these, those of earlier members */
    uint32_t crc;                /* CRC-32 of its member's output up to here */
    const unsigned char *window; /* [CHECKPOINT_WINDOW] */
    uint64_t xxh3;               /* XXH3 of the window (set by checkpoints_add) */
};

struct checkpoints;

/* An empty set. Its windows are taken from the spare half of `budget` (may be NULL; outlives it).
 * NULL: out of memory. */
struct checkpoints *checkpoints_new(struct budget *budget) NODISCARD;
struct checkpoints *checkpoints_get(struct checkpoints *c);
void checkpoints_put(struct checkpoints *c); /* NULL is allowed */

/* Add one behind all others, in bits and in bytes; copies the window. EINVAL if it lies elsewhere;
 * ENOMEM if memory or budget is short. A failure leaves the others unchanged. */
int checkpoints_add(struct checkpoints *c, const struct checkpoint *point,
                    struct error *err) NODISCARD;

size_t checkpoints_count(const struct checkpoints *c);
const struct checkpoint *checkpoints_at(const struct checkpoints *c, size_t i);
/* The last one at or before the output offset; NULL: there is none. */
const struct checkpoint *checkpoints_find(const struct checkpoints *c, uint64_t out_off);
/* The first one at or after the bit; NULL: there is none. */
const struct checkpoint *checkpoints_find_bit(const struct checkpoints *c, uint64_t in_bit);

/* Is its window what it was when it was noted? To be asked before inflating starts there: what is inflated
 * up to the next checkpoint is not compared with anything else. */
bool checkpoint_is_sound(const struct checkpoint *p);

/* Mark them, for every owner, as not fitting their file. Any thread. */
void checkpoints_distrust(struct checkpoints *c);
bool checkpoints_are_trusted(const struct checkpoints *c);

/* Serialise, windows compressed; *bytes is malloced. */
int checkpoints_pack(const struct checkpoints *c, unsigned char **bytes, size_t *nbytes,
                     struct error *err) NODISCARD;
/* EINVAL for any bytes that checkpoints_pack() has not made. */
int checkpoints_unpack(const unsigned char *bytes, size_t nbytes, struct budget *budget,
                       struct checkpoints **out, struct error *err) NODISCARD;

#endif
