/* SPDX-License-Identifier: MIT
 *
 * A .nii file of float32, as derivfs writes it, in parts: one volume, or one voxel over time. In a
 * mount, only the chunks that are read are computed. Source: NIfTI-1 and NIfTI-2, nifti1.h, nifti2.h.
 * Thread rule: a series is immutable; any thread.
 */
#ifndef DERIVFS_SERIES_H
#define DERIVFS_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct series {
    int fd;
    int64_t dim[4];       /* nx, ny, nz, nvol */
    size_t before_nbytes; /* where the voxels begin */
    size_t volume_nbytes;
    unsigned char *header; /* [before_nbytes] of a file of one volume */
};

/* EINVAL: it has another form, byte order or type; then it can still be read as a whole. */
int series_open(const char *path, struct series *out, struct error *err) NODISCARD;
void series_close(struct series *s);

/* A file of volume `t` alone: malloced, of before_nbytes + volume_nbytes. */
int series_volume(const struct series *s, int64_t t, unsigned char **out,
                  struct error *err) NODISCARD;

/* Voxel `at` in volumes [from, from + n): out[n]. */
int series_course(const struct series *s, const int64_t at[3], int64_t from, size_t n, float *out,
                  struct error *err) NODISCARD;

#endif
