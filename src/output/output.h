/* SPDX-License-Identifier: MIT
 *
 * Output formats: derived images as files.
 *
 * An image task writes the bytes of NAME.nii. Another task makes each other format from them, so
 * that every file of an image is one blob of exactly its bytes, and its size is known before
 * anything is computed. A series is read in parts, by formats with a framing. Formats that
 * describe the image have no task. To add a format: one row of OUTPUT_FORMATS (endings.h), and a
 * definition of output_NAME. Thread rule: all functions are reentrant; the formats are constant.
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

/* The input of a format; all borrowed. */
struct output_source {
    const struct nifti *grid; /* of the image */
    const struct blob *image; /* the bytes of the .nii */
    const struct blob *mean;  /* over time, float64 [nz][ny][nx]; NULL unless needs_mean */
    const struct blob *mask;  /* float64 [nz][ny][nx], in it where not 0; NULL: the head, by the
                                      mean */
    const struct caption *caption; /* NULL unless needs_mean */
};

/* The layout of a series in a file: a header, the parts in the order of time, a trailer. Reads
 * convert the parts, which are those of the .nii. */
struct output_framing {
    /* Convert the header of the .nii, header[nbytes], to before_nbytes more bytes. */
    void (*header)(const unsigned char *header, size_t nbytes, unsigned char *out);
    size_t before_nbytes;
    /* The bytes of a part of `payload_nbytes`. */
    uint64_t (*part_nbytes)(uint64_t payload_nbytes);
    /* Read bytes [off, off + nbytes) of a part, within it; `final`: it is the last one. */
    int (*read)(const struct blob *payload, bool final, uint64_t off, void *buf, size_t nbytes,
                struct error *err);
    size_t trailer_nbytes; /* 0: there is none */
    /* Write the trailer of a .nii of `total_nbytes` with this CRC-32. */
    void (*trailer)(unsigned char *out, uint32_t crc, uint64_t total_nbytes);
};

enum { OUTPUT_FRAME_NBYTES = 16 }; /* before and trailer, each at most */

enum output_kind {
    OUTPUT_IMAGE,   /* the image itself: .nii */
    OUTPUT_MADE,    /* made from the image by a task */
    OUTPUT_DRAWING, /* of the task graph, drawn when it is opened; its size is 0 until then */
    OUTPUT_SIDECAR, /* a text about the image (sidecar.h), made when the name is looked up */
};

struct output_format {
    const char *extension; /* ".nii.gz", with its dot */
    enum output_kind kind;
    const char *operation; /* OUTPUT_MADE: names the task and goes into its key; else NULL */
    int version;           /* of the operation: goes into the key too */
    bool listed;           /* listed for groups */
    bool listed_per_run;   /* and for runs, if the recipe lists files of runs */
    bool needs_mean;       /* made from image, mean over time, mask, and caption */
    /* Exact size of the file made from an image of `image_nbytes`. NULL: not known from that. */
    uint64_t (*nbytes)(const struct nifti *grid, uint64_t image_nbytes);
    /* Size of the buffers of `write`; NULL: at most TASK_BUFFER_NBYTES. */
    size_t (*mem_nbytes)(const struct nifti *grid);
    /* Write the whole file. NULL if operation is NULL. */
    int (*write)(const struct output_source *source, struct cache_writer *w, struct error *err);
    const struct output_framing *framing; /* NULL: none of a series, unless drawn */
};

/* Continue a CRC-32, which starts as 0, over a blob. */
int output_sum(const struct blob *b, uint32_t *crc, struct error *err) NODISCARD;

#define ROW(name, ending) extern const struct output_format output_##name;
OUTPUT_FORMATS(ROW)
#undef ROW

/* The result of a command, whose name has the ending. Not one of output_formats(). */
extern const struct output_format output_as_written;

/* All formats, in the order of OUTPUT_FORMATS, and NULL. */
const struct output_format *const *output_formats(void);

/* Does a task make the file? */
bool output_is_computed(const struct output_format *format);

/* The format of the file `name`, by the longest extension that fits, or NULL. *stem_nbytes: the
 * length of the name before the extension. */
const struct output_format *output_find(const char *name, size_t *stem_nbytes);

#endif
