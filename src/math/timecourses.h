/* SPDX-License-Identifier: MIT
 *
 * Time courses: all values of some voxels over time, held to find their percentiles.
 *
 * Volumes come in one after the other and are held as they are stored. Of samples of 16 bits, most
 * rows are held in 8: as differences from an earlier volume. If the memory does not suffice, the last
 * voxels are dropped; the caller reads the runs once more for these. Results are the same to the bit
 * with any memory.
 * Thread rule: one thread adds; then any number of readers.
 */
#ifndef DERIVFS_TIMECOURSES_H
#define DERIVFS_TIMECOURSES_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "percentile.h"
#include "sample.h"

/* Voxels of a row, the unit of holding and of selection. */
enum { TIMECOURSES_TILE = PERCENTILE_LANES };

struct timecourses;

/* Bytes of memory that `nvol` volumes of `nvox` voxels of `sample_nbytes` take at most. */
size_t timecourses_nbytes(size_t sample_nbytes, size_t nvox, int64_t nvol);
/* Voxels of which as many fit into `room_nbytes` at any rate; TIMECOURSES_TILE at least. */
size_t timecourses_fit(size_t sample_nbytes, int64_t nvol, size_t room_nbytes);
/* Bytes of a reader and of all else that a volume needs, beside that. */
size_t timecourses_own_nbytes(int64_t nvol);

/* For `nvol` volumes and `room_nbytes` of memory, which suffice for `least_nvox` voxels at any rate.
 * NULL: out of memory. */
struct timecourses *timecourses_new(int64_t nvol, size_t room_nbytes, size_t least_nvox) NODISCARD;
void timecourses_free(struct timecourses *c); /* NULL is allowed */

/* Drop all, and begin with volumes of `nvox` voxels. */
void timecourses_begin(struct timecourses *c, size_t nvox);

/* The next volume: samples[nvox] in this machine's byte order, of values slope * sample + inter; as
 * many voxels as timecourses_begin() was told, of which those that are held are used. */
void timecourses_add(struct timecourses *c, enum sample_type type, double slope, double inter,
                     const void *samples);
void timecourses_add_float64(struct timecourses *c, const double *values); /* values as they are */

/* Voxels held: fewer after some timecourses_add(), never fewer than `least_nvox` and what is left. */
size_t timecourses_nvox(const struct timecourses *c);

struct timecourses_reader;

/* Compute the values of voxels [vox0, vox0 + n) of volume `vol`, counted from the first that was
 * added, from their samples, as they were added. */
typedef void timecourses_value_fn(void *ctx, size_t vol, size_t vox0, size_t n, const void *samples,
                                  double *out);

/* Reads the tiles of `c` from the first one on, with all values from `value`, or, where it is NULL,
 * scaled as they were added. NULL: out of memory. */
struct timecourses_reader *timecourses_reader_new(const struct timecourses *c,
                                                  timecourses_value_fn *value, void *ctx) NODISCARD;
void timecourses_reader_free(struct timecourses_reader *r); /* NULL is allowed */

/* Percentile percents[p] of the voxels of the next tile goes to out[p * apart + voxel]; at most
 * TIMECOURSES_TILE voxels. Returns how many. All volumes have been added. */
size_t timecourses_reader_next(struct timecourses_reader *r, const double *percents,
                               size_t npercents, double *out, size_t apart);

#endif
