/* SPDX-License-Identifier: MIT
 *
 * The list of formats, and those with little code.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static uint64_t image_as_it_is(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)grid;
    return image_nbytes;
}

static void header_as_it_is(const unsigned char *header, size_t nbytes, unsigned char *out)
{
    memcpy(out, header, nbytes);
}

static int read_as_it_is(const struct blob *payload, bool final, uint64_t off, void *buf,
                         size_t nbytes, struct error *err)
{
    (void) final;
    return blob_read(payload, off, buf, nbytes, err);
}

static uint64_t part_as_it_is(uint64_t payload_nbytes)
{
    return payload_nbytes;
}

static const struct output_framing no_framing = {
    .header = header_as_it_is,
    .part_nbytes = part_as_it_is,
    .read = read_as_it_is,
};

int output_sum(const struct blob *b, uint32_t *crc, struct error *err)
{
    enum { STEP_NBYTES = 1 << 16 };
    uint64_t total = blob_nbytes(b);
    unsigned char *buf = malloc(STEP_NBYTES);
    int ret = buf ? 0 : error_set(err, ENOMEM, "out of memory");

    for (uint64_t off = 0; off < total && ret == 0; off += STEP_NBYTES) {
        size_t n = total - off < STEP_NBYTES ? (size_t)(total - off) : STEP_NBYTES;

        ret = blob_read(b, off, buf, n, err);
        if (ret == 0)
            *crc = (uint32_t)crc32(*crc, buf, (uInt)n);
    }
    free(buf);
    return ret;
}

const struct output_format output_nii = {
    .extension = ending_nii,
    .kind = OUTPUT_IMAGE,
    .listed = true,
    .listed_per_run = true,
    .nbytes = image_as_it_is,
    .framing = &no_framing,
};

const struct output_format output_svg = {
    .extension = ending_svg,
    .kind = OUTPUT_DRAWING,
};

const struct output_format output_json = {
    .extension = ending_json,
    .kind = OUTPUT_SIDECAR,
    .listed = true,
    .listed_per_run = true,
};

const struct output_format output_as_written = {
    .extension = "",
    .kind = OUTPUT_MADE,
    .operation = "command",
    .listed = true,
    .listed_per_run = true,
};

const struct output_format *const *output_formats(void)
{
#define ROW(name, ending) &output_##name,
    static const struct output_format *const formats[] = {OUTPUT_FORMATS(ROW) NULL};
#undef ROW

    return formats;
}

bool output_is_computed(const struct output_format *format)
{
    return format->kind == OUTPUT_IMAGE || format->kind == OUTPUT_MADE;
}

const struct output_format *output_find(const char *name, size_t *stem_nbytes)
{
    const struct output_format *found = NULL;
    size_t len = strlen(name), best = 0;

    for (const struct output_format *const *f = output_formats(); *f; f++) {
        size_t ext = strlen((*f)->extension);

        if (len > ext && ext > best && strcmp(name + len - ext, (*f)->extension) == 0) {
            found = *f;
            best = ext;
        }
    }
    *stem_nbytes = len - best;
    return found;
}
