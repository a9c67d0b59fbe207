/* SPDX-License-Identifier: MIT
 *
 * Checkpoints of a gzip file: places from which it can be inflated without what is before them.
 *
 * Each stands at the header of a deflate block and has the window, the 32 KiB of output before it.
 * A checkpoint is only ever taken where its member has given that much already. All of them were
 * passed by one reading that found every length and CRC-32 right; so their CRCs verify a later
 * reading that begins at one of them and passes another.
 * Ownership: reference counted; _new, _get and _put. Thread rule: one thread builds them; from then
 * on they do not change, and any number of threads may read.
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
    uint64_t in_bit;             /* bit of the stored file where the block's header begins; of a
                                    byte the least significant bit is the first */
    uint64_t out_off;            /* inflated bytes before it, of all members */
    uint64_t member_off;         /* of these, those of earlier members */
    uint32_t crc;                /* CRC-32 of its member's output up to here */
    const unsigned char *window; /* [CHECKPOINT_WINDOW] */
};

struct checkpoints;

/* None yet. What they take comes from what `budget` (may be NULL, outlives them) can spare. NULL:
 * out of memory. */
struct checkpoints *checkpoints_new(struct budget *budget) NODISCARD;
struct checkpoints *checkpoints_get(struct checkpoints *c);
void checkpoints_put(struct checkpoints *c); /* NULL is allowed */

/* Add one that lies behind all others, in bits and in bytes; copies the window. EINVAL if it does
 * not. ENOMEM, or nothing left to spare: the others are as they were. */
int checkpoints_add(struct checkpoints *c, const struct checkpoint *point,
                    struct error *err) NODISCARD;

size_t checkpoints_count(const struct checkpoints *c);
const struct checkpoint *checkpoints_at(const struct checkpoints *c, size_t i);
/* The last one at or before the output offset; NULL: there is none. */
const struct checkpoint *checkpoints_find(const struct checkpoints *c, uint64_t out_off);
/* The first one at or after the bit; NULL: there is none. */
const struct checkpoint *checkpoints_find_bit(const struct checkpoints *c, uint64_t in_bit);

/* They have been found not to fit their file: for all who share them. Any thread. */
void checkpoints_distrust(struct checkpoints *c);
bool checkpoints_are_trusted(const struct checkpoints *c);

size_t checkpoints_nbytes(const struct checkpoints *c); /* of memory */

/* As bytes to keep, windows compressed; *bytes is malloced. */
int checkpoints_pack(const struct checkpoints *c, unsigned char **bytes, size_t *nbytes,
                     struct error *err) NODISCARD;
/* EINVAL for bytes that checkpoints_pack() has not made, whatever they are. */
int checkpoints_unpack(const unsigned char *bytes, size_t nbytes, struct budget *budget,
                       struct checkpoints **out, struct error *err) NODISCARD;

#endif
