/* SPDX-License-Identifier: MIT
 *
 * NIfTI-1 and NIfTI-2 headers: bytes to struct and back (nifti2_io does the field work).
 *
 * Knows dims, datatypes, scaling and affine as the NIfTI standard defines them. Reads no file and
 * touches no voxel. Thread rule: all functions are reentrant.
 */
#ifndef DERIVFS_NIFTI_H
#define DERIVFS_NIFTI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "sample.h"

enum {
    NIFTI_HEADER_NBYTES = 540,   /* what nifti_parse() needs at the most (NIfTI-2) */
    NIFTI_DERIVED_NBYTES = 1024, /* what nifti_derive() writes */
};

/* What a sound file holds, and the sentence on why only NIFTI_SERIES is a run. */
#define NIFTI_CONTENTS(X)                                                                          \
    X(NIFTI_SERIES, "a series")                                                                    \
    X(NIFTI_3D, "a 3-D image, not a series")                                                       \
    X(NIFTI_ONE_VOLUME, "one volume, not a series")                                                \
    X(NIFTI_MANY_DIMENSIONS,                                                                       \
      "more than four dimensions: two of those after space are larger than 1")                     \
    X(NIFTI_NOT_TIME, "a dimension that is not time: in a series, that is the fourth or fifth")    \
    X(NIFTI_CIFTI, "a CIFTI file: surfaces and grayordinates, not a series of volumes")            \
    X(NIFTI_VECTORS, "vectors, matrices or colours by its intent code, not a series")              \
    X(NIFTI_WARP, "a warp or coefficients by its intent code, not a series")                       \
    X(NIFTI_STATISTIC, "statistics by its intent code, not a series")                              \
    X(NIFTI_LABELS, "labels, estimates or surfaces by its intent code, not a series")              \
    X(NIFTI_COMPLEX, "complex voxels")                                                             \
    X(NIFTI_COLOUR, "RGB voxels")                                                                  \
    X(NIFTI_FLOAT128, "float128 voxels")

#define NIFTI_CONTENT_NAME(name, text) name,
enum nifti_content { NIFTI_CONTENTS(NIFTI_CONTENT_NAME) };
#undef NIFTI_CONTENT_NAME

struct nifti {
    int version;             /* 1 or 2 */
    bool swapped;            /* the file's byte order is not this machine's */
    bool real;               /* datatype is one of enum sample_type (not complex, RGB, float128) */
    enum sample_type sample; /* valid where real */
    size_t sample_nbytes;    /* bytes per voxel of any known datatype */
    int64_t dim[3];          /* nx, ny, nz in voxels, x fastest; each at least 1 */
    int64_t nvol;            /* volumes; 1 for a 3-D image */
    enum nifti_content content; /* NIFTI_SERIES: real, more than one volume, in the fourth or fifth
                                   dimension, and the intent code does not deny that it is time */
    uint64_t vox_offset;        /* bytes from the start of the (inflated) file to the first voxel */
    double slope, inter; /* intensity = slope * stored + inter; 1 and 0 where scl_slope is 0 or
                                not finite, as the standard has it */
    double affine[3][4]; /* voxel index to mm: sform, else qform, else pixdim */
    bool oriented;       /* sform or qform: the affine says which side is left */
    double tr;           /* pixdim[4] in seconds (units applied), 0 where unknown */
    unsigned char raw[NIFTI_HEADER_NBYTES]; /* the header itself in this machine's byte order;
                                               348 bytes for version 1, 540 for version 2 */
};

/* Understand a header. `bytes` are the first bytes of the (inflated) file; `nbytes` may be less
 * than NIFTI_HEADER_NBYTES where the file is shorter. Single files (magic n+1, n+2) only. Fails
 * with EIO and a sentence (without the file's name) for: too short, no magic, negative, zero or
 * overflowing dims, unknown datatype, vox_offset inside the header or not finite. Takes what other
 * readers take: a vox_offset of 0 means right behind the header, bitpix says nothing beside the
 * datatype, a zero beyond the fourth dimension is 1 (nifticlib), and dim[1] = -1 is FreeSurfer's
 * sign of a long vector, whose length is in glmin (nibabel). */
int nifti_parse(const unsigned char *bytes, size_t nbytes, struct nifti *out,
                struct error *err) NODISCARD;

/* "a 3-D image, not a series" */
const char *nifti_content_text(enum nifti_content content);

/* Voxels of one volume, and bytes of all voxels of the file (stored samples). Cannot overflow:
 * nifti_parse() has refused what would. */
int64_t nifti_nvox(const struct nifti *h);
uint64_t nifti_data_nbytes(const struct nifti *h);

/* Same grid: equal dim[3] and affines that differ by less than 1e-3 mm in every element. */
bool nifti_same_shape(const struct nifti *a, const struct nifti *b);
bool nifti_same_grid(const struct nifti *a, const struct nifti *b);

/* All that stands before the voxels in a float32 image of `nvol` volumes on the grid of `like`:
 * header and one extension. qform, sform, pixdim and units are kept (a pixdim[1..3] that is not
 * positive becomes positive); datatype, dims, scaling, cal, intent and vox_offset are set; the
 * extensions of `like` are left out. `text` goes into descrip, cut to 79 characters, and into the
 * extension (a comment, code 6), which fills up to NIFTI_DERIVED_NBYTES, the image's vox_offset:
 * nibabel asks for the first 1024 bytes of a file to find out what it is, and gets them without
 * voxels. NIfTI-1, or NIfTI-2 where a dimension is over 32767; byte order of this machine. */
void nifti_derive(const struct nifti *like, int64_t nvol, const char *text,
                  unsigned char out[NIFTI_DERIVED_NBYTES]);

#endif
