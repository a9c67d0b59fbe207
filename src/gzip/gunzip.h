/* SPDX-License-Identifier: MIT
 *
 * Inflate a gzip file, on one core or on several (on ISA-L).
 *
 * Handles members, padding, CRC-32 and length; does not know where the bytes come from. The bytes
 * and the messages of failures do not depend on the number of helpers or on where reading begins.
 * Thread rule: a struct gunzip belongs to one thread at a time; gunzip_consumed() may be called
 * from any. The helpers' threads call only source.pread.
 */
#ifndef DERIVFS_GUNZIP_H
#define DERIVFS_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "checkpoints.h"
#include "deflate.h"
#include "error.h"
#include "helpers.h"
#include "thread.h"

struct gunzip_options {
    struct deflate_source source;
    uint64_t stored_nbytes;      /* of the file */
    struct helper_pool *helpers; /* inflate while they are idle; NULL: none */
    struct budget *budget;       /* of the helpers' pieces, which begin only if it has enough to
                                    spare; NULL: no limit */
    struct checkpoints *known;   /* of this very file; NULL: none. A reference is taken */
    bool learn;                  /* note checkpoints on the way */
};

struct gunzip;

struct gunzip *gunzip_new(const struct gunzip_options *options) NODISCARD; /* NULL: no memory */

/* In what follows `gunzip` is a struct gunzip: a codec calls these as its own. */

/* Waits until the helpers have left its pieces: they stop soon. NULL is allowed. */
void gunzip_free(void *gunzip);

/* From now on check `cancel` about every 256 KiB of stored bytes and of output, and fail with
 * ECANCELED if it asks to; NULL: never. */
void gunzip_set_cancel(void *gunzip, const struct cancel_token *cancel);

/* Inflate at most `nbytes` into `buf`; *got is less only at the end of the data, after every
 * member's CRC-32 and length were found right. EIO with a sentence (without the file's name) for
 * invalid gzip data; the result of `pread` if that fails. After a failure only free it. */
int gunzip_read(void *gunzip, void *buf, size_t nbytes, size_t *got, struct error *err) NODISCARD;

/* Move to inflated byte `out_off`, or to the end if that comes first; forwards or backwards.
 * Inflates and drops the bytes from the last known checkpoint before it (or from here, or from the
 * start of the file). */
int gunzip_seek(struct gunzip *z, uint64_t out_off, struct error *err) NODISCARD;

/* The inflated byte that is read next. */
uint64_t gunzip_tell(const struct gunzip *z);

/* After one pass without seeks reached the end of the data without error: a reference to the
 * checkpoints noted. NULL: none, or checkpoints were known. */
struct checkpoints *gunzip_learned(void *gunzip);

/* Stored bytes inflated so far, for progress. */
uint64_t gunzip_consumed(const void *gunzip);

#endif
