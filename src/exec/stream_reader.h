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

/* The samples of the volume that was read, of a stream that is raw (stream.h): as stored, in this
 * machine's byte order; valid until the next volume is read. Then no values can be had of this one. */
const void *stream_reader_stored(struct stream_reader *r);

/* After the last volume: check the sources (cursor_check) and park them for who comes next. */
int stream_reader_finish(struct stream_reader *r, struct error *err) NODISCARD;

/* Stored bytes read so far. */
uint64_t stream_reader_consumed(const struct stream_reader *r);

void stream_reader_close(struct stream_reader *r); /* NULL is allowed */

#endif
