/* SPDX-License-Identifier: MIT
 *
 * Streams: a segment of a series expression, lowered to reads and elementwise steps volume by
 * volume. Pure data; part of the graph.
 *
 *     zscore(bold) over the second run     ->     (#0 - #1) / #2
 *                                                 #0 samples of run 1 from volume 0 on
 *                                                 #1 plane: mean(bold), #2 plane: std(bold)
 *
 * Thread rule: immutable once planned.
 */
#ifndef DERIVFS_STREAM_H
#define DERIVFS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "expr.h"
#include "key.h"
#include "run.h"

enum leaf_kind {
    LEAF_SAMPLE, /* the run's samples, scaled */
    LEAF_PLANE,  /* one float64 image, the same at each volume */
    LEAF_TREND,  /* the trend that a TASK_TREND has fitted, at each volume */
    LEAF_NUMBER, /* one number for all voxels and volumes */
};

struct stream_leaf {
    enum leaf_kind kind;
    struct run *run;  /* LEAF_SAMPLE: a reference */
    int64_t vol0;     /* SAMPLE: the run's volume that the stream's first one is;
                         TREND: the same within the fitted segment */
    size_t task;      /* PLANE, NUMBER, TREND: index in the graph of the task that makes it */
    unsigned order;   /* TREND */
    int64_t fit_nvol; /* TREND: volumes of the fitted segment */
};

struct stream {
    struct expr *e; /* elementwise over leaves; a leaf is EXPR_BOLD whose `start` is its number */
    struct stream_leaf *leaves; /* [nleaves] */
    size_t nleaves;
    int64_t nvol;
};

/* Frees what it owns; `s` itself stays the caller's. */
void stream_clear(struct stream *s);

/* The number of an equal leaf, added if there is none; always takes over the run reference of
 * `leaf`. SIZE_MAX: out of memory. */
size_t stream_add_leaf(struct stream *s, struct stream_leaf leaf);

/* Is it just the samples of one run? Then stored values can be used as they are. */
bool stream_is_raw(const struct stream *s);

/* The type of its values: the stored type where it is raw, else float64. */
enum sample_type stream_sample_type(const struct stream *s);

/* The only leaf of samples, from which each value of the stream can be computed, or NULL if it has
 * several. */
const struct stream_leaf *stream_sample_leaf(const struct stream *s);

/* Stored bytes to read for it: its volumes' share of the files. */
uint64_t stream_work_nbytes(const struct stream *s);

#endif
