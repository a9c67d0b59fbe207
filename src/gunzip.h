/* SPDX-License-Identifier: MIT
 *
 * Inflate a gzip stream from front to back (on ISA-L). Part of the source layer.
 *
 * Knows members, padding, CRC-32 and length; does not know where the bytes come from.
 * Thread rule: a struct gunzip belongs to one thread at a time.
 */
#ifndef DERIVFS_GUNZIP_H
#define DERIVFS_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Put the next at most `cap` stored bytes into `buf`; *got is 0 at their end only. */
typedef int gunzip_feed(void *ctx, unsigned char *buf, size_t cap, size_t *got, struct error *err);

struct gunzip;

struct gunzip *gunzip_new(gunzip_feed *feed, void *ctx) NODISCARD; /* NULL: out of memory */
void gunzip_free(struct gunzip *z);                                /* NULL is allowed */

/* Inflate at most `nbytes` into `buf`; *got is less only at the end of the data, every member's
 * CRC-32 and length being right. EIO with a sentence (without the file's name) for anything that is
 * no sound gzip; what the feed returns where that fails. After a failure only free it. */
int gunzip_read(struct gunzip *z, void *buf, size_t nbytes, size_t *got,
                struct error *err) NODISCARD;

#endif
