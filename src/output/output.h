/* SPDX-License-Identifier: MIT
 *
 * Output formats: what a derived image looks like as a file.
 *
 * An image task writes the bytes of NAME.nii. Other formats of the image are made from those bytes
 * by one more task, so that each file of an image is one blob of exactly its own bytes, and its
 * size is known before anything is computed. A series is read in parts; a format that has a framing
 * has it too. Formats that tell of the image instead of showing it have no task. To add a format:
 * one row of OUTPUT_FORMATS (endings.h), and one file that defines output_NAME. Thread rule: all
 * functions are reentrant; the formats are constant.
 */
#ifndef DERIVFS_OUTPUT_H
#define DERIVFS_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "blob.h"
#include "cache.h"
#include "caption.h"
#include "endings.h"
#include "error.h"
#include "nifti.h"

/* What a file is made from; all borrowed. */
struct output_source {
    const struct nifti *grid;      /* of the image */
    const struct blob *image;      /* the bytes of the .nii */
    const struct blob *mean;       /* of a `needs_mean` format: mean over time of the runs, float64
                                      [nz][ny][nx]; else NULL */
    const struct caption *caption; /* of a `needs_mean` format; else NULL */
};

/* How a series lies in a file: its header, its parts in the order of time, a trailer. The parts are
 * computed as those of the .nii are, and brought into the file's form as they are read. */
struct output_framing {
    /* The first bytes of the .nii, header[nbytes], as those of the file: `before_nbytes` more. */
    void (*header)(const unsigned char *header, size_t nbytes, unsigned char *out);
    size_t before_nbytes;
    /* What a part of `payload_nbytes` takes. */
    uint64_t (*part_nbytes)(uint64_t payload_nbytes);
    /* Bytes [off, off + nbytes) of a part, which lie within it; `final`: it is the last one. */
    int (*read)(const struct blob *payload, bool final, uint64_t off, void *buf, size_t nbytes,
                struct error *err);
    size_t trailer_nbytes; /* 0: there is none */
    /* Write the trailer of a .nii of `total_nbytes` with this CRC-32. */
    void (*trailer)(unsigned char *out, uint32_t crc, uint64_t total_nbytes);
};

enum { OUTPUT_FRAME_NBYTES = 16 }; /* before and tail, each at the most */

enum output_kind {
    OUTPUT_IMAGE,   /* the image itself: .nii */
    OUTPUT_MADE,    /* made from the image by a task */
    OUTPUT_DRAWING, /* a picture of how the image is made, drawn when it is opened; its size is
                       known only then and told as 0 */
    OUTPUT_SIDECAR, /* a text about the image that names and headers tell (sidecar.h), made when
                       the name is looked up */
};

struct output_format {
    const char *extension; /* ".nii.gz", with its dot */
    enum output_kind kind;
    const char *operation; /* OUTPUT_MADE: names the task and goes into its key; else NULL */
    int version;           /* of the operation: goes into the key too */
    bool listed;           /* shown in listings, for groups */
    bool listed_per_run;   /* and for the runs of the recipe that has files for each of them */
    bool needs_mean; /* made from more than the image: from the mean over time, and in words */
    /* Exact size of the file made from an image of `image_nbytes`; 0 where that does not tell. */
    uint64_t (*nbytes)(const struct nifti *grid, uint64_t image_nbytes);
    /* Buffers that `write` needs; NULL: at most TASK_BUFFER_NBYTES. */
    size_t (*mem_nbytes)(const struct nifti *grid);
    /* Write all of it from the finished image. NULL where operation is NULL. */
    int (*write)(const struct output_source *source, struct cache_writer *w, struct error *err);
    const struct output_framing *framing; /* NULL: a series has no such file, or a drawn one */
};

/* Go on with a CRC-32, which began as 0, over all of a blob. */
int output_sum(const struct blob *b, uint32_t *crc, struct error *err) NODISCARD;

#define ROW(name, ending) extern const struct output_format output_##name;
OUTPUT_FORMATS(ROW)
#undef ROW

/* What a command writes; its name has the ending. Not one of output_formats(). */
extern const struct output_format output_as_written;

/* All formats, in the order of OUTPUT_FORMATS, and NULL. */
const struct output_format *const *output_formats(void);

/* Does a task make the file? Else names and headers tell all of it. */
bool output_is_computed(const struct output_format *format);

/* The format of a file called `name`, by the longest extension that fits; NULL where there is none.
 * *stem_nbytes is the length of the name before the extension. */
const struct output_format *output_find(const char *name, size_t *stem_nbytes);

#endif
