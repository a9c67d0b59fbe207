/* SPDX-License-Identifier: MIT
 *
 * Reading once more what was read of a file while a program may have been writing it.
 *
 * The kernel gives a file its times when a write(2) begins, so a read that overlaps with one can take old
 * and new bytes under the times that stay. A compressed file's checksum finds that. Of a plain
 * file, what was read is compared with what is there in the end. Thread rule: one thread.
 */
#ifndef DERIVFS_RECHECK_H
#define DERIVFS_RECHECK_H

#include "source.h"

struct recheck;

struct recheck *recheck_new(void) NODISCARD; /* NULL: out of memory */
void recheck_free(struct recheck *r);        /* NULL is allowed */

/* bytes[nbytes] were read from `off` on. ENOMEM. */
int recheck_add(struct recheck *r, uint64_t off, const void *bytes, size_t nbytes,
                struct error *err) NODISCARD;

/* ESTALE: the source, a plain file, has other bytes by now; else as source_read_stored(). Begins anew in
 * any case. */
int recheck_end(struct recheck *r, struct source *s, struct error *err) NODISCARD;

#endif
