/* SPDX-License-Identifier: MIT
 *
 * Inflate a gzip file, on one core or on several (on ISA-L). Part of the source layer.
 *
 * Knows members, padding, CRC-32 and length; does not know where the bytes come from. The bytes
 * and the sentences of failures are the same however many helpers help and wherever reading begins.
 * Thread rule: a struct gunzip belongs to one thread at a time; gunzip_consumed() may be called
 * from any. The helpers' threads call only `pread`.
 */
#ifndef DERIVFS_GUNZIP_H
#define DERIVFS_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "cancel.h"
#include "checkpoints.h"
#include "error.h"
#include "helpers.h"

/* Put at most `cap` stored bytes from `off` on into `buf`; *got is 0 at their end only. Called from
 * several threads at once where there is helpers. */
typedef int gunzip_pread(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                         struct error *err);

struct gunzip_options {
    gunzip_pread *pread;
    void *ctx;
    uint64_t stored_nbytes;      /* of the file */
    struct helper_pool *helpers; /* helps while it is idle; NULL: nobody */
    struct budget *budget;     /* what the helpers' pieces take is taken from here; without, none is
                                  begun. NULL: no ceiling */
    struct checkpoints *known; /* of this very file; NULL: none. A reference is taken */
    bool learn;                /* note checkpoints on the way */
};

struct gunzip;

struct gunzip *gunzip_new(const struct gunzip_options *options) NODISCARD; /* NULL: no memory */
/* Waits for the helpers to let go of its pieces: they stop soon. NULL is allowed. */
void gunzip_free(struct gunzip *z);

/* From now on ask `stop` about every 256 KiB of stored bytes and of output, and fail with ECANCELED
 * where it says so; NULL: nobody is asked. */
void gunzip_set_cancel(struct gunzip *z, const struct cancel_token *stop);

/* Inflate at most `nbytes` into `buf`; *got is less only at the end of the data, every member's
 * CRC-32 and length being right. EIO with a sentence (without the file's name) for anything that is
 * no sound gzip; what `pread` returns where that fails. After a failure only free it. */
int gunzip_read(struct gunzip *z, void *buf, size_t nbytes, size_t *got,
                struct error *err) NODISCARD;

/* Go on reading at inflated byte `out_off`, or at the end if that comes before; forwards or
 * backwards. Inflates and drops what lies between the last known checkpoint before (or here, or the
 * start of the file) and there. */
int gunzip_seek(struct gunzip *z, uint64_t out_off, struct error *err) NODISCARD;

/* The inflated byte that is read next. */
uint64_t gunzip_tell(const struct gunzip *z);

/* After the end of the data was reached by one pass without seeks, and all was right: a reference
 * to the checkpoints noted. NULL: none, or they are those that were known. */
struct checkpoints *gunzip_learned(struct gunzip *z);

/* Stored bytes inflated so far, for progress. */
uint64_t gunzip_consumed(const struct gunzip *z);

#endif
