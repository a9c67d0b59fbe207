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

#include <stddef.h>
#include <stdint.h>

#include "decoder.h"
#include "thread.h"

/* These are the functions of a row of the table of codecs (codec.h). ENOMEM. */
int gunzip_open(const struct decoder_input *in, struct decoder **out, struct error *err) NODISCARD;

/* Waits until the helpers have left its pieces: they stop soon. NULL is allowed. */
void gunzip_free(struct decoder *decoder);

/* From now on check `cancel` about every 256 KiB of stored bytes and of output, and fail with
 * ECANCELED if it asks to; NULL: never. */
void gunzip_set_cancel(struct decoder *decoder, const struct cancel_token *cancel);

/* Inflate at most `nbytes` into `buf`; *got is less only at the end of the data, after every
 * member's CRC-32 and length were found right. EIO with a sentence (without the file's name) for
 * invalid gzip data; the result of `pread` if that fails. After a failure only free it. */
int gunzip_read(struct decoder *decoder, void *buf, size_t nbytes, size_t *got,
                struct error *err) NODISCARD;

/* Move to inflated byte `out_off`, or to the end if that comes first, forwards or backwards; *at
 * tells which. Inflates and drops the bytes from the last known checkpoint before it (or from here,
 * or from the start of the file). */
int gunzip_seek(struct decoder *decoder, uint64_t out_off, uint64_t *at,
                struct error *err) NODISCARD;

/* After one pass without seeks reached the end of the data without error: a reference to the
 * checkpoints noted. NULL: none, or checkpoints were known. */
struct checkpoints *gunzip_learned(struct decoder *decoder);

/* Stored bytes inflated so far, for progress. */
uint64_t gunzip_consumed(const struct decoder *decoder);

#endif
