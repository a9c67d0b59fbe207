/* SPDX-License-Identifier: MIT
 *
 * .nii.gz as stored deflate blocks (RFC 1951, 3.2.4; RFC 1952 for the frame).
 *
 *     10 bytes of header | 5 bytes, up to 65535 of the .nii | 5 bytes, ... | CRC-32 and length
 *
 * The size follows from that of the .nii, and a noisy float32 map would hardly shrink. In a series
 * the header is a block of its own, and each part begins with a new block: each byte of the file,
 * except for the checksum at its end, depends on one part and costs no more than a copy of it.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "output.h"

enum {
    GZIP_HEADER_NBYTES = 10,
    GZIP_TRAILER_NBYTES = 8,
    STORED_HEADER_NBYTES = 5,
    STORED_MAX = 65535, /* maximal payload of a stored block */
    BLOCK_NBYTES = STORED_HEADER_NBYTES + STORED_MAX,
};

/* no name and no time: equal images give equal files; OS 255 is "unknown" */
static const unsigned char gzip_header[GZIP_HEADER_NBYTES] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};

/* Final flag, length and its complement. */
static void block_header(unsigned char *out, uint64_t payload_nbytes, bool final)
{
    uint16_t len = htole16((uint16_t)payload_nbytes), nlen = htole16((uint16_t)~payload_nbytes);

    out[0] = final ? 1 : 0;
    memcpy(out + 1, &len, sizeof len);
    memcpy(out + 3, &nlen, sizeof nlen);
}

static void trailer(unsigned char *out, uint32_t crc, uint64_t total_nbytes)
{
    uint32_t words[2] = {htole32(crc), htole32((uint32_t)total_nbytes)};

    memcpy(out, words, GZIP_TRAILER_NBYTES);
}

/* `payload_nbytes` in blocks. */
static uint64_t blocks_nbytes(uint64_t payload_nbytes)
{
    uint64_t nblocks = (payload_nbytes + STORED_MAX - 1) / STORED_MAX;

    return nblocks * STORED_HEADER_NBYTES + payload_nbytes;
}

/* Bytes [off, off + nbytes) of a blob in blocks. */
static int read_blocks(const struct blob *payload, bool final, uint64_t off, void *buf,
                       size_t nbytes, struct error *err)
{
    uint64_t total = blob_nbytes(payload);
    unsigned char header[STORED_HEADER_NBYTES], *at = buf;

    while (nbytes > 0) {
        uint64_t begin = off / BLOCK_NBYTES * STORED_MAX, within = off % BLOCK_NBYTES;
        uint64_t len = total - begin < STORED_MAX ? total - begin : STORED_MAX;
        size_t n;
        int ret = 0;

        if (within < STORED_HEADER_NBYTES) {
            n = STORED_HEADER_NBYTES - (size_t)within;
            n = n < nbytes ? n : nbytes;
            block_header(header, len, final && begin + len == total);
            memcpy(at, header + within, n);
        } else {
            within -= STORED_HEADER_NBYTES;
            n = len - within < nbytes ? (size_t)(len - within) : nbytes;
            ret = blob_read(payload, begin + within, at, n, err);
        }
        if (ret < 0)
            return ret;
        at += n;
        off += n;
        nbytes -= n;
    }
    return 0;
}

/* ---- an image ---- */

static uint64_t stored_nbytes(const struct nifti *grid, uint64_t image_nbytes)
{
    (void)grid;
    return GZIP_HEADER_NBYTES + blocks_nbytes(image_nbytes) + GZIP_TRAILER_NBYTES;
}

static int write_stored(const struct output_source *source, struct cache_writer *w,
                        struct error *err)
{
    const struct blob *image = source->image;
    uint64_t total = blocks_nbytes(blob_nbytes(image));
    uint32_t crc = (uint32_t)crc32(0, NULL, 0);
    unsigned char last[GZIP_TRAILER_NBYTES];
    unsigned char *buf = malloc(BLOCK_NBYTES);
    int ret;

    if (!buf)
        return error_set(err, ENOMEM, "gzip: out of memory");
    ret = cache_write(w, gzip_header, sizeof gzip_header, err);
    for (uint64_t off = 0; off < total && ret == 0; off += BLOCK_NBYTES) {
        size_t n = total - off < BLOCK_NBYTES ? (size_t)(total - off) : BLOCK_NBYTES;

        ret = read_blocks(image, true, off, buf, n, err);
        if (ret < 0)
            break;
        crc = (uint32_t)crc32(crc, buf + STORED_HEADER_NBYTES, (uInt)(n - STORED_HEADER_NBYTES));
        ret = cache_write(w, buf, n, err);
    }
    free(buf);
    trailer(last, crc, blob_nbytes(image));
    return ret < 0 ? ret : cache_write(w, last, sizeof last, err);
}

/* ---- the parts of a series ---- */

static void frame_header(const unsigned char *header, size_t nbytes, unsigned char *out)
{
    memcpy(out, gzip_header, GZIP_HEADER_NBYTES);
    block_header(out + GZIP_HEADER_NBYTES, nbytes, false);
    memcpy(out + GZIP_HEADER_NBYTES + STORED_HEADER_NBYTES, header, nbytes);
}

static const struct output_framing framing = {
    .header = frame_header,
    .before_nbytes = GZIP_HEADER_NBYTES + STORED_HEADER_NBYTES,
    .part_nbytes = blocks_nbytes,
    .read = read_blocks,
    .trailer_nbytes = GZIP_TRAILER_NBYTES,
    .trailer = trailer,
};

const struct output_format output_nii_gz = {
    .extension = ending_nii_gz,
    .kind = OUTPUT_MADE,
    .operation = "gzip-stored",
    .version = 1,
    .nbytes = stored_nbytes,
    .write = write_stored,
    .framing = &framing,
};
