/* SPDX-License-Identifier: MIT
 *
 * Reading a stream: its volumes, one after the other, as float64.
 *
 * Thread rule: a reader belongs to one thread.
 */
#ifndef DERIVFS_STREAM_READER_H
#define DERIVFS_STREAM_READER_H

#include "blob.h"
#include "cursor.h"
#include "error.h"
#include "graph.h"

struct stream_reader;

/* For stream `s` of task `t` of `g`, whose dependencies have given `inputs`; `stop` is asked while
 * runs are read. All are borrowed and outlive the reader. */
int stream_reader_open(struct cursor_pool *pool, const struct graph *g, const struct task *t,
                       const struct stream *s, struct blob *const *inputs,
                       const struct cancel_token *stop, struct stream_reader **out,
                       struct error *err) NODISCARD;

/* Read the samples of the next volume. */
int stream_reader_next(struct stream_reader *r, struct error *err) NODISCARD;

/* Values of voxels [vox0, vox0 + nvox) of the volume that was read. `out` is [nvox]. */
void stream_reader_values(struct stream_reader *r, size_t vox0, size_t nvox, double *out);

/* The samples of the volume that was read, of a stream with one SAMPLE leaf (stream_sample_leaf()): as
 * stored, in this machine's byte order; valid until the next volume is read. Then
 * stream_reader_values() does not give the values of this one. */
const void *stream_reader_stored(struct stream_reader *r);

/* Values of voxels [vox0, vox0 + nvox) of volume `vol` of such a stream, from their samples, which
 * stream_reader_stored() gave; at most EVAL_TILE. Also after stream_reader_finish(). */
void stream_reader_values_of(struct stream_reader *r, int64_t vol, size_t vox0, size_t nvox,
                             const void *samples, double *out);

/* After the last volume: check the sources (cursor_check), park them for who comes next, and free the
 * samples. */
int stream_reader_finish(struct stream_reader *r, struct error *err) NODISCARD;

/* Stored bytes read so far. */
uint64_t stream_reader_consumed(const struct stream_reader *r);

void stream_reader_close(struct stream_reader *r); /* NULL is allowed */

#endif
