/* SPDX-License-Identifier: MIT
 *
 * Test images: NIfTI headers to start from, and gzip members. Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_IMAGES_H
#define DERIVFS_TESTS_IMAGES_H

#include <stdint.h>
#include <string.h>

#include <nifti/nifti2_io.h>
#include <zlib.h>

/* An int16 series of 4x3x2 voxels and 5 volumes, TR 2.5 s, with an sform. */
static inline nifti_1_header image_n1(void)
{
    nifti_1_header h;

    memset(&h, 0, sizeof h);
    h.sizeof_hdr = 348;
    memcpy(h.magic, "n+1", 4);
    memcpy(h.dim, (short[8]){4, 4, 3, 2, 5, 1, 1, 1}, sizeof h.dim);
    memcpy(h.pixdim, (float[8]){1, 2, 3, 4, 2.5F, 0, 0, 0}, sizeof h.pixdim);
    h.datatype = DT_INT16;
    h.bitpix = 16;
    h.vox_offset = 352;
    h.xyzt_units = NIFTI_UNITS_MM | NIFTI_UNITS_SEC;
    h.sform_code = 1;
    memcpy(h.srow_x, (float[4]){-2, 0, 0, 90}, sizeof h.srow_x);
    memcpy(h.srow_y, (float[4]){0, 3, 0, -126}, sizeof h.srow_y);
    memcpy(h.srow_z, (float[4]){0, 0, 4, -72}, sizeof h.srow_z);
    return h;
}

/* The same image as NIfTI-2. */
static inline nifti_2_header image_n2(void)
{
    nifti_2_header h;

    memset(&h, 0, sizeof h);
    h.sizeof_hdr = 540;
    memcpy(h.magic, "n+2\0\r\n\032\n", 8);
    memcpy(h.dim, (int64_t[8]){4, 4, 3, 2, 5, 1, 1, 1}, sizeof h.dim);
    memcpy(h.pixdim, (double[8]){1, 2, 3, 4, 2.5, 0, 0, 0}, sizeof h.pixdim);
    h.datatype = DT_INT16;
    h.bitpix = 16;
    h.vox_offset = 544;
    h.xyzt_units = NIFTI_UNITS_MM | NIFTI_UNITS_SEC;
    h.sform_code = 1;
    memcpy(h.srow_x, (double[4]){-2, 0, 0, 90}, sizeof h.srow_x);
    memcpy(h.srow_y, (double[4]){0, 3, 0, -126}, sizeof h.srow_y);
    memcpy(h.srow_z, (double[4]){0, 0, 4, -72}, sizeof h.srow_z);
    return h;
}

enum { IMAGE_NBYTES = 352 + 4 * 3 * 2 * 5 * 2 }; /* of a file with header image_n1() */

/* Append one gzip member that holds in[nin] to out[cap]; `header` may be NULL. Returns its bytes.
 */
static inline size_t image_gzip_as(const void *in, size_t nin, unsigned char *out, size_t cap,
                                   gz_header *header)
{
    z_stream z = {
        .next_in = (Bytef *)in, .avail_in = (uInt)nin, .next_out = out, .avail_out = (uInt)cap};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (header)
        assert_int_equal(deflateSetHeader(&z, header), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    return cap - z.avail_out;
}

static inline size_t image_gzip(const void *in, size_t nin, unsigned char *out, size_t cap)
{
    return image_gzip_as(in, nin, out, cap, NULL);
}

/* A reproducible sequence for data and fuzzing (xorshift). */
static inline uint32_t image_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
