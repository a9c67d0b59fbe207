/* SPDX-License-Identifier: MIT
 *
 * The format table and the gzip writer.
 *
 * .nii.gz is written as stored deflate blocks (RFC 1951, 3.2.4; RFC 1952 for the frame): the size
 * follows from the image's size alone, and a float32 map of a noisy quotient would hardly shrink
 * anyhow. Layout: 10 bytes of header, then for each 65535 bytes of image 5 bytes of block header
 * and the bytes, then CRC-32 and length.
 */
#include "output.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    GZIP_HEADER_NBYTES = 10,
    GZIP_TRAILER_NBYTES = 8,
    STORED_HEADER_NBYTES = 5,
    STORED_MAX = 65535, /* payload of one stored block at the most */
};

static uint64_t image_as_it_is(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)grid;
    return image_nbytes;
}

static uint64_t gzip_stored_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    uint64_t nblocks = (image_nbytes + STORED_MAX - 1) / STORED_MAX;

    (void)grid;
    if (nblocks == 0)
        nblocks = 1; /* a deflate stream has at least a final block */
    return GZIP_HEADER_NBYTES + nblocks * STORED_HEADER_NBYTES + image_nbytes + GZIP_TRAILER_NBYTES;
}

/* One stored block: final flag, length and its complement, then the bytes. */
static int write_stored_block(const struct blob *image, uint64_t off, uint16_t nbytes, bool final,
                              unsigned char *buf, uint32_t *crc, struct cache_writer *w,
                              struct error *err)
{
    uint16_t len = htole16(nbytes), nlen = htole16((uint16_t)~nbytes);
    unsigned char *payload = buf + STORED_HEADER_NBYTES;
    int ret = blob_read(image, off, payload, nbytes, err);

    if (ret < 0)
        return ret;
    buf[0] = final ? 1 : 0;
    memcpy(buf + 1, &len, sizeof len);
    memcpy(buf + 3, &nlen, sizeof nlen);
    *crc = (uint32_t)crc32(*crc, payload, nbytes);
    return cache_write(w, buf, (size_t)STORED_HEADER_NBYTES + nbytes, err);
}

static int gzip_stored_write(const struct output_source *source, struct cache_writer *w,
                             struct error *err)
{
    /* no name and no time: equal images give equal files; OS 255 is "unknown" */
    static const unsigned char header[GZIP_HEADER_NBYTES] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    const struct blob *image = source->image;
    uint64_t total = blob_nbytes(image), off = 0;
    uint32_t crc = (uint32_t)crc32(0, NULL, 0);
    unsigned char *buf = malloc(STORED_HEADER_NBYTES + STORED_MAX);
    int ret;

    if (!buf)
        return error_set(err, ENOMEM, "gzip: out of memory");
    ret = cache_write(w, header, sizeof header, err);
    do {
        uint64_t left = total - off;
        uint16_t nbytes = left < STORED_MAX ? (uint16_t)left : STORED_MAX;

        if (ret == 0)
            ret = write_stored_block(image, off, nbytes, nbytes == left, buf, &crc, w, err);
        off += nbytes;
    } while (ret == 0 && off < total);
    free(buf);
    if (ret == 0) {
        uint32_t trailer[2] = {htole32(crc), htole32((uint32_t)total)};
        ret = cache_write(w, trailer, sizeof trailer, err);
    }
    return ret;
}

static uint64_t nothing(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)grid;
    (void)image_nbytes;
    return 0;
}

const struct output_format *output_formats(void)
{
    static const struct output_format formats[] = {
        {.extension = ".nii", .listed = true, .nbytes = image_as_it_is},
        {.extension = ".nii.gz",
         .operation = "gzip-stored",
         .version = 1,
         .nbytes = gzip_stored_nbytes,
         .write = gzip_stored_write},
        {.extension = ".svg", .drawn = true, .nbytes = nothing},
        {.extension = NULL},
    };

    return formats;
}

const struct output_format *output_find(const char *name, size_t *stem_nbytes)
{
    const struct output_format *f, *found = NULL;
    size_t len = strlen(name), best = 0;

    for (f = output_formats(); f->extension; f++) {
        size_t ext = strlen(f->extension);

        if (len > ext && ext > best && strcmp(name + len - ext, f->extension) == 0) {
            found = f;
            best = ext;
        }
    }
    *stem_nbytes = len - best;
    return found;
}
