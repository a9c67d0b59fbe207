/* SPDX-License-Identifier: MIT
 *
 * Cursors: the voxels of runs, read from any volume on. The one way to them.
 *
 * A cursor that is given back stays open in a small pool. Who asks for a later volume of the same
 * run goes on from there, so that chunks of a 4-D file that are read one after the other cost one
 * pass over the runs, not one each. The first complete pass over a gzip run notes checkpoints
 * (checkpoints.h), which are kept in the cache; from then on a cursor starts anywhere. Free workers
 * help a cursor that has much to read. Thread rule: a cursor belongs to one thread; the pool may be
 * used from any.
 */
#ifndef DERIVFS_CURSOR_H
#define DERIVFS_CURSOR_H

#include <stdint.h>

#include "budget.h"
#include "cache.h"
#include "error.h"
#include "helpers.h"
#include "run.h"
#include "thread.h"

struct cursor;
struct cursor_pool;

/* All borrowed. */
struct cursor_pool_config {
    int rootfd;                  /* the dataset */
    struct cache *cache;         /* keeps checkpoints; NULL: they are not kept */
    struct helper_pool *helpers; /* free workers; NULL: none */
    struct budget *budget;       /* for what their pieces take; NULL: no ceiling */
};

struct cursor_pool *cursor_pool_new(const struct cursor_pool_config *config) NODISCARD; /* NULL: out
                                                                                        of memory */
void cursor_pool_free(struct cursor_pool *pool); /* NULL is allowed */

/* How a compressed run is read now, in words; NULL: it is not compressed. `cache` may be NULL. */
const char *cursor_way(struct cache *cache, struct run *run);

/* A cursor that stands before volume `vol` of `run`, from which about `nvol` volumes will be read;
 * from the pool if one is near. `stop` (may be NULL) is asked while it is read, until it is given
 * back. This and what follows fail with ESTALE: the file is no longer the one that was probed;
 * ECANCELED: `stop` said so; ERESTART: checkpoints do not fit the file, and are gone now: what has
 * been read since the cursor was opened is not to be believed, begin anew. */
int cursor_open(struct cursor_pool *pool, struct run *run, int64_t vol, int64_t nvol,
                const struct cancel_token *stop, struct cursor **out, struct error *err) NODISCARD;

/* Read the next `nbytes` of the stored samples [nvol][nz][ny][nx], x fastest, into `buf`. */
int cursor_read(struct cursor *c, void *buf, size_t nbytes, struct error *err) NODISCARD;

/* Go on `nbytes` behind. */
int cursor_pass(struct cursor *c, uint64_t nbytes, struct error *err) NODISCARD;

/* Where the last volume has been read, or of a compressed run that nobody has read so far: read on
 * to the end, check the checksum of a gzip member there, and keep what the pass has told of the run
 * (soon: when a worker has nothing else to do). `of_parts`: where the last volume has been read only,
 * as the result is believed only once somebody does the rest (run_add_part_to_key()). In any case
 * check that the file is still what it was. */
int cursor_check(struct cursor *c, bool of_parts, struct error *err) NODISCARD;

/* Stored bytes read since cursor_open(). */
uint64_t cursor_consumed(const struct cursor *c);

/* Give it back to the pool (after a success, which must stand before a volume), or close it. NULL
 * is allowed. */
void cursor_park(struct cursor *c);
void cursor_close(struct cursor *c);

#endif
