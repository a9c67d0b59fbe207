/* SPDX-License-Identifier: MIT
 *
 * Cursors: runs that are being read, volume by volume.
 *
 * A cursor that is given back stays open in a small pool. Who asks for a later volume of the same
 * run goes on from there, so that chunks of a 4-D file that are read one after the other cost one
 * pass over the runs, not one each. Thread rule: a cursor belongs to one thread; the pool may be
 * used from any.
 */
#ifndef DERIVFS_CURSOR_H
#define DERIVFS_CURSOR_H

#include <stdint.h>

#include "error.h"
#include "run.h"

struct cursor;
struct cursor_pool;

/* Reads beneath `rootfd`, which is borrowed. NULL: out of memory. */
struct cursor_pool *cursor_pool_new(int rootfd) NODISCARD;
void cursor_pool_free(struct cursor_pool *pool); /* NULL is allowed */

/* A cursor that stands before volume `vol` of `run`, from the pool if one is near. ESTALE: the file
 * is no longer the one that was probed. */
int cursor_open(struct cursor_pool *pool, struct run *run, int64_t vol, struct cursor **out,
                struct error *err) NODISCARD;

/* Read the next volume: stored samples [nz][ny][nx], x fastest, into `buf`. */
int cursor_read(struct cursor *c, void *buf, struct error *err) NODISCARD;

/* Where the last volume has been read: check what is behind it, the checksum of a gzip member. In
 * any case check that the file is still what it was. */
int cursor_check(struct cursor *c, struct error *err) NODISCARD;

/* Stored bytes read so far. */
uint64_t cursor_consumed(const struct cursor *c);

/* Give it back to the pool (after a success), or close it. NULL is allowed. */
void cursor_park(struct cursor_pool *pool, struct cursor *c);
void cursor_close(struct cursor *c);

#endif
