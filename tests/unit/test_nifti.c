/* SPDX-License-Identifier: MIT
 *
 * NIfTI headers: both versions and byte orders, every refusal, and headers written anew.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "images.h"
#include "nifti.h"

static void parse_ok(const void *header, size_t nbytes, struct nifti *out)
{
    struct error err;
    int ret = nifti_parse(header, nbytes, out, &err);

    if (ret < 0)
        fail_msg("%s", err.text);
}

static struct nifti parsed_n1(nifti_1_header h)
{
    struct nifti n;
    parse_ok(&h, sizeof h, &n);
    return n;
}

static struct nifti parsed_n2(nifti_2_header h)
{
    struct nifti n;
    parse_ok(&h, sizeof h, &n);
    return n;
}

static void refused(const void *header, size_t nbytes, const char *why)
{
    struct nifti n;
    struct error err = {0};

    assert_int_equal(nifti_parse(header, nbytes, &n, &err), -EIO);
    assert_int_equal(err.code, EIO);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void refused_n1(nifti_1_header h, const char *why)
{
    refused(&h, sizeof h, why);
    nifti_swap_as_nifti1(&h);
    refused(&h, sizeof h, why);
}

static void refused_n2(nifti_2_header h, const char *why)
{
    refused(&h, sizeof h, why);
    nifti_swap_as_nifti2(&h);
    refused(&h, sizeof h, why);
}

static void check_sample_image(const struct nifti *n, uint64_t vox_offset)
{
    static const double affine[3][4] = {{-2, 0, 0, 90}, {0, 3, 0, -126}, {0, 0, 4, -72}};

    assert_true(n->real);
    assert_int_equal(n->sample, SAMPLE_INT16);
    assert_int_equal(n->sample_nbytes, 2);
    assert_memory_equal(n->dim, ((int64_t[3]){4, 3, 2}), sizeof n->dim);
    assert_int_equal(n->nvol, 5);
    assert_int_equal(n->content, NIFTI_SERIES);
    assert_int_equal(n->vox_offset, vox_offset);
    assert_true(n->slope == 1 && n->inter == 0 && n->tr == 2.5);
    assert_memory_equal(n->affine, affine, sizeof affine);
    assert_int_equal(nifti_nvox(n), 24);
    assert_int_equal(nifti_data_nbytes(n), 240);
}

static void both_versions_and_byte_orders(void **state)
{
    nifti_1_header n1 = image_n1(), swapped1 = n1;
    nifti_2_header n2 = image_n2(), swapped2 = n2;
    struct nifti n;

    (void)state;
    nifti_swap_as_nifti1(&swapped1);
    nifti_swap_as_nifti2(&swapped2);

    parse_ok(&n1, sizeof n1, &n);
    check_sample_image(&n, 352);
    assert_int_equal(n.version, 1);
    assert_false(n.swapped);
    parse_ok(&swapped1, sizeof swapped1, &n);
    check_sample_image(&n, 352);
    assert_true(n.swapped);
    assert_memory_equal(n.raw, &n1, sizeof n1);

    parse_ok(&n2, sizeof n2, &n);
    check_sample_image(&n, 544);
    assert_int_equal(n.version, 2);
    assert_false(n.swapped);
    parse_ok(&swapped2, sizeof swapped2, &n);
    check_sample_image(&n, 544);
    assert_true(n.swapped);
    assert_memory_equal(n.raw, &n2, sizeof n2);
}

static void every_datatype(void **state)
{
    static const struct {
        short datatype, bits;
        int sample; /* -1: not real */
    } types[] = {
        {DT_UINT8, 8, SAMPLE_UINT8},
        {DT_INT8, 8, SAMPLE_INT8},
        {DT_UINT16, 16, SAMPLE_UINT16},
        {DT_INT16, 16, SAMPLE_INT16},
        {DT_UINT32, 32, SAMPLE_UINT32},
        {DT_INT32, 32, SAMPLE_INT32},
        {DT_UINT64, 64, SAMPLE_UINT64},
        {DT_INT64, 64, SAMPLE_INT64},
        {DT_FLOAT32, 32, SAMPLE_FLOAT32},
        {DT_FLOAT64, 64, SAMPLE_FLOAT64},
        {DT_COMPLEX64, 64, -1},
        {DT_COMPLEX128, 128, -1},
        {DT_COMPLEX256, 256, -1},
        {DT_FLOAT128, 128, -1},
        {DT_RGB24, 24, -1},
        {DT_RGBA32, 32, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        nifti_1_header h = image_n1();
        h.datatype = types[i].datatype;
        h.bitpix = types[i].bits;
        struct nifti n = parsed_n1(h);
        assert_int_equal(n.real, types[i].sample >= 0);
        assert_int_equal(n.sample_nbytes, types[i].bits / 8);
        if (n.real)
            assert_int_equal(n.sample, types[i].sample);
        h.bitpix = 0; /* the datatype says it */
        assert_int_equal(parsed_n1(h).sample_nbytes, types[i].bits / 8);
    }
}

static void refuses_what_is_no_header(void **state)
{
    nifti_1_header n1 = image_n1();
    nifti_2_header n2 = image_n2();
    unsigned char garbage[NIFTI_HEADER_NBYTES];
    uint32_t seed = 7;

    (void)state;
    refused("", 0, "empty");
    refused(&n1, sizeof n1 - 1, "347 bytes are too few");
    refused(&n2, 400, "ends early: 400 of 540");
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (unsigned char)image_random(&seed);
    refused(garbage, sizeof garbage, "not NIfTI");

    memcpy(n1.magic, "ni1", 4);
    refused_n1(n1, ".hdr/.img pair");
    memset(n1.magic, 0, 4); /* Analyze 7.5 */
    refused_n1(n1, "no magic n+1");
    memcpy(n1.magic, "n+2", 4);
    refused_n1(n1, "no magic n+1");

    memcpy(n2.magic, "ni2", 4);
    refused_n2(n2, ".hdr/.img pair");
    n2 = image_n2();
    memcpy(n2.magic + 4, "\n\032\n", 4); /* CRLF became LF on the way */
    refused_n2(n2, "text-mode");
}

static void refuses_impossible_dims(void **state)
{
    nifti_1_header n1 = image_n1();
    nifti_2_header n2 = image_n2();

    (void)state;
    n1.dim[0] = 0;
    refused_n1(n1, "number of dimensions is 0");
    n1.dim[0] = 8;
    refused_n1(n1, "number of dimensions is 8");
    n1.dim[0] = -4;
    refused_n1(n1, "number of dimensions is -4");
    n1 = image_n1();
    n1.dim[2] = 0;
    refused_n1(n1, "dimension 2 is 0");
    n1.dim[2] = -3;
    refused_n1(n1, "dimension 2 is -3");
    n1 = image_n1();
    for (int i = 0; i < 8; i++)
        n1.dim[i] = i == 0 ? 7 : INT16_MAX;
    refused_n1(n1, "overflow");

    n2.dim[1] = n2.dim[2] = 1LL << 31;
    refused_n2(n2, "overflow");
    n2 = image_n2();
    n2.dim[1] = INT64_MAX;
    refused_n2(n2, "overflow");
    n2.dim[1] = INT64_MIN;
    refused_n2(n2, "dimension 1 is -9223372036854775808");
    n2 = image_n2();
    n2.datatype = DT_UINT8; /* fits as it is stored, but not as float32 */
    n2.bitpix = 8;
    n2.dim[1] = 1LL << 57;
    refused_n2(n2, "overflow");
    n2 = image_n2();
    n2.dim[1] = 1LL << 53; /* fits by itself, not behind the offset */
    n2.vox_offset = INT64_MAX;
    refused_n2(n2, "overflow");
}

/* Of a series: what is computed of it has more planes than it has volumes. */
static void refuses_series_beyond_all_scans(void **state)
{
    nifti_2_header n2 = image_n2();
    struct nifti h;

    (void)state;
    n2.dim[1] = n2.dim[2] = 1 << 18;
    n2.dim[3] = 1;
    assert_int_equal(nifti_parse((unsigned char *)&n2, sizeof n2, &h, NULL), 0);
    n2.dim[3] = 2;
    refused_n2(n2, "a volume of more than 2^36 voxels");
    n2.dim[0] = 3; /* no series: nothing is computed of it */
    assert_int_equal(nifti_parse((unsigned char *)&n2, sizeof n2, &h, NULL), 0);
    n2 = image_n2();
    n2.dim[1] = n2.dim[2] = n2.dim[3] = 1;
    n2.dim[4] = 1LL << 32;
    assert_int_equal(nifti_parse((unsigned char *)&n2, sizeof n2, &h, NULL), 0);
    n2.dim[4]++;
    refused_n2(n2, "more than 2^32 volumes");
}

static void refuses_unknown_datatypes(void **state)
{
    static const short unknown[] = {DT_UNKNOWN, DT_BINARY, DT_ALL, 3, -4, 4096};
    nifti_1_header h = image_n1();

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        h.datatype = unknown[i];
        h.bitpix = 0;
        refused_n1(h, "unknown datatype");
    }
}

static void vox_offset_rules(void **state)
{
    nifti_1_header n1 = image_n1();
    nifti_2_header n2 = image_n2();

    (void)state;
    static const float bad[] = {1, 347, -352, 1e30F, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        n1.vox_offset = bad[i];
        refused_n1(n1, "vox_offset");
    }
    n2.vox_offset = -1;
    refused_n2(n2, "vox_offset");
    n2.vox_offset = 539;
    refused_n2(n2, "inside the header");

    n1.vox_offset = 0;
    assert_int_equal(parsed_n1(n1).vox_offset, 348);
    n1.vox_offset = 4096; /* extensions */
    assert_int_equal(parsed_n1(n1).vox_offset, 4096);
    n2.vox_offset = 0;
    assert_int_equal(parsed_n2(n2).vox_offset, 540);
    n2.vox_offset = 5000000000;
    assert_int_equal(parsed_n2(n2).vox_offset, 5000000000);
}

static void only_time_makes_a_series(void **state)
{
    static const struct {
        short dim[8], intent;
        enum nifti_content content;
        int64_t nvol;
    } cases[] = {
        {{4, 4, 3, 2, 5}, 0, NIFTI_SERIES, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_TIME_SERIES, NIFTI_SERIES, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_DIMLESS, NIFTI_SERIES, 5},
        {{4, 4, 3, 2, 3}, NIFTI_INTENT_VECTOR, NIFTI_VECTORS, 3},
        {{4, 4, 3, 2, 3}, NIFTI_INTENT_RGB_VECTOR, NIFTI_VECTORS, 3},
        {{4, 4, 3, 2, 3}, NIFTI_INTENT_FSL_FNIRT_DISPLACEMENT_FIELD, NIFTI_WARP, 3},
        {{4, 4, 3, 2, 3}, NIFTI_INTENT_FSL_CUBIC_SPLINE_COEFFICIENTS, NIFTI_WARP, 3},
        {{4, 4, 3, 2, 3}, NIFTI_INTENT_FSL_TOPUP_FIELD, NIFTI_WARP, 3},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_ZSCORE, NIFTI_STATISTIC, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_LOG10PVAL, NIFTI_STATISTIC, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_ESTIMATE, NIFTI_LABELS, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_LABEL, NIFTI_LABELS, 5},
        {{4, 4, 3, 2, 5}, NIFTI_INTENT_SHAPE, NIFTI_LABELS, 5},
        {{3, 4, 3, 2, 5}, 0, NIFTI_3D, 1}, /* what is beyond dim[0] says nothing */
        {{4, 4, 3, 2, 1}, 0, NIFTI_ONE_VOLUME, 1},
        {{2, 4, 3}, 0, NIFTI_3D, 1},
        {{1, 4}, 0, NIFTI_3D, 1},
        {{5, 4, 3, 2, 5, 1}, 0, NIFTI_SERIES, 5},
        {{5, 4, 3, 2, 5, 0}, 0, NIFTI_SERIES, 5},
        {{7, 4, 3, 2, 5, 0, 0, 0}, 0, NIFTI_SERIES, 5},
        {{5, 4, 3, 2, 5, 1}, NIFTI_INTENT_VECTOR, NIFTI_VECTORS, 5},
        {{5, 4, 3, 2, 1, 5}, 0, NIFTI_SERIES, 5},
        {{5, 4, 3, 2, 1, 5}, NIFTI_INTENT_TIME_SERIES, NIFTI_SERIES, 5},
        {{5, 4, 3, 2, 1, 3}, NIFTI_INTENT_DISPVECT, NIFTI_VECTORS, 3},
        {{5, 4, 3, 2, 1, 6}, NIFTI_INTENT_SYMMATRIX, NIFTI_VECTORS, 6},
        {{5, 4, 3, 2, 1, 2}, NIFTI_INTENT_FTEST, NIFTI_STATISTIC, 2},
        {{5, 4, 3, 2, 5, 3}, 0, NIFTI_MANY_DIMENSIONS, 15},
        {{6, 4, 3, 2, 1, 1, 5}, 0, NIFTI_NOT_TIME, 5},
        {{7, 4, 3, 2, 1, 1, 1, 5}, 0, NIFTI_NOT_TIME, 5},
        {{7, 4, 3, 2, 5, 1, 1, 2}, 0, NIFTI_MANY_DIMENSIONS, 10},
        {{6, 1, 1, 1, 1, 12, 500}, 3002, NIFTI_CIFTI, 6000},
        {{6, 1, 1, 1, 1, 1, 500}, 3006, NIFTI_CIFTI, 500},
        {{6, 1, 1, 1, 1, 500, 1}, 3099, NIFTI_CIFTI, 500},
        {{6, 1, 1, 1, 1, 500, 1}, 0, NIFTI_NOT_TIME, 500},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nifti_1_header h = image_n1();
        memcpy(h.dim, cases[i].dim, sizeof h.dim);
        h.intent_code = cases[i].intent;
        struct nifti n = parsed_n1(h);
        if (n.content != cases[i].content || n.nvol != cases[i].nvol)
            fail_msg("case %zu: %s, %d volumes", i, nifti_content_text(n.content), (int)n.nvol);
        for (int d = 0; d < 3; d++)
            assert_int_equal(n.dim[d], cases[i].dim[0] <= d ? 1 : cases[i].dim[d + 1]);
    }
}

static void voxels_of_a_series_are_real(void **state)
{
    static const struct {
        short datatype;
        enum nifti_content content;
    } cases[] = {
        {DT_COMPLEX64, NIFTI_COMPLEX},  {DT_COMPLEX128, NIFTI_COMPLEX},
        {DT_COMPLEX256, NIFTI_COMPLEX}, {DT_RGB24, NIFTI_COLOUR},
        {DT_RGBA32, NIFTI_COLOUR},      {DT_FLOAT128, NIFTI_FLOAT128},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nifti_1_header h = image_n1();
        h.datatype = cases[i].datatype;
        assert_int_equal(parsed_n1(h).content, cases[i].content);
    }
    assert_string_equal(nifti_content_text(NIFTI_COMPLEX), "complex voxels");
}

/* as nibabel reads them */
static void long_vectors_of_freesurfer(void **state)
{
    nifti_1_header h = image_n1();
    struct nifti n;

    (void)state;
    memcpy(h.dim, (short[8]){4, -1, 1, 1, 5, 1, 1, 1}, sizeof h.dim);
    refused_n1(h, "glmin is 0");
    h.glmin = 163842;
    n = parsed_n1(h);
    assert_memory_equal(n.dim, ((int64_t[3]){163842, 1, 1}), sizeof n.dim);
    assert_int_equal(n.nvol, 5);
    assert_int_equal(n.content, NIFTI_SERIES);
    h.dim[2] = 2;
    refused_n1(h, "dimension 1 is -1");

    h = image_n1();
    memcpy(h.dim, (short[8]){4, 27307, 1, 6, 5, 1, 1, 1}, sizeof h.dim);
    assert_memory_equal(parsed_n1(h).dim, ((int64_t[3]){163842, 1, 1}), sizeof n.dim);
}

static void scaling_and_units(void **state)
{
    static const struct {
        float slope, inter;
        double want_slope, want_inter;
    } scalings[] = {
        {2, -3, 2, -3}, {-0.5F, 0, -0.5, 0}, {0, 7, 1, 0},
        {NAN, 7, 1, 0}, {INFINITY, 7, 1, 0}, {2, NAN, 2, 0},
    };
    static const struct {
        char units;
        float pixdim;
        double tr;
    } times[] = {
        {NIFTI_UNITS_MM | NIFTI_UNITS_SEC, 2.5F, 2.5},
        {NIFTI_UNITS_MM | NIFTI_UNITS_MSEC, 2500, 2.5},
        {NIFTI_UNITS_USEC, 2500000, 2.5},
        {0, 2.5F, 2.5},
        {NIFTI_UNITS_HZ, 2.5F, 0},
        {NIFTI_UNITS_SEC, 0, 0},
        {NIFTI_UNITS_SEC, -1, 0},
        {NIFTI_UNITS_SEC, NAN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++) {
        nifti_1_header h = image_n1();
        h.scl_slope = scalings[i].slope;
        h.scl_inter = scalings[i].inter;
        struct nifti n = parsed_n1(h);
        assert_true(n.slope == scalings[i].want_slope && n.inter == scalings[i].want_inter);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        nifti_1_header h = image_n1();
        h.xyzt_units = times[i].units;
        h.pixdim[4] = times[i].pixdim;
        assert_true(fabs(parsed_n1(h).tr - times[i].tr) < 1e-9);
    }
}

static void affine_is_sform_else_qform_else_pixdim(void **state)
{
    nifti_1_header h = image_n1();
    struct nifti n;

    (void)state;
    h.qform_code = 1; /* half a turn around z, third axis flipped */
    h.quatern_d = 1;
    h.qoffset_x = 10;
    h.pixdim[0] = -1;
    assert_true(parsed_n1(h).affine[0][3] == 90);

    h.sform_code = 0;
    n = parsed_n1(h);
    assert_true(n.affine[0][0] == -2 && n.affine[0][1] == 0 && n.affine[0][3] == 10);
    assert_true(n.affine[1][1] == -3 && n.affine[2][2] == -4);

    h.qform_code = 0;
    h.pixdim[1] = 0;
    h.pixdim[2] = -3;
    n = parsed_n1(h);
    assert_true(n.affine[0][0] == 1 && n.affine[1][1] == 3 && n.affine[2][2] == 4);
    assert_true(n.affine[0][3] == 0 && n.affine[0][1] == 0);
}

static void grids_compare_with_a_tolerance(void **state)
{
    struct nifti a = parsed_n1(image_n1()), b = a;

    (void)state;
    assert_true(nifti_same_grid(&a, &b));
    b.affine[1][3] += 0.0009;
    assert_true(nifti_same_grid(&a, &b));
    b.affine[1][3] += 0.0002;
    assert_false(nifti_same_grid(&a, &b));
    assert_true(nifti_same_shape(&a, &b));
    b = a;
    b.nvol = 99;
    assert_true(nifti_same_grid(&a, &b));
    b.dim[2]++;
    assert_false(nifti_same_shape(&a, &b));
    assert_false(nifti_same_grid(&a, &b));
    b = a;
    b.affine[0][0] = NAN;
    assert_false(nifti_same_grid(&a, &b));
    a.affine[0][0] = NAN;
    assert_true(nifti_same_grid(&a, &b));
}

/* A header with everything set that a derived one must not take over. */
static nifti_1_header busy_n1(void)
{
    nifti_1_header h = image_n1();

    h.cal_max = 100;
    h.cal_min = -3;
    h.scl_slope = 0.25F;
    h.scl_inter = 10;
    h.intent_code = NIFTI_INTENT_ZSCORE;
    h.intent_p1 = 4;
    h.slice_code = NIFTI_SLICE_SEQ_INC;
    h.slice_end = 1;
    h.slice_duration = 1.25F;
    h.toffset = 3;
    h.vox_offset = 4096;
    h.qform_code = 2;
    h.quatern_b = 0.5F;
    h.qoffset_z = -72;
    h.dim_info = 0x39;
    h.glmax = 7;
    memset(h.descrip, 'd', sizeof h.descrip);
    memset(h.aux_file, 'a', sizeof h.aux_file);
    memset(h.intent_name, 'i', sizeof h.intent_name);
    return h;
}

/* The extension flag, then one comment that reaches up to the voxels. */
static void assert_comment_at(const unsigned char *out, size_t at, const char *text)
{
    int32_t size, code;

    memcpy(&size, out + at + 4, sizeof size);
    memcpy(&code, out + at + 8, sizeof code);
    assert_memory_equal(out + at, "\1\0\0\0", 4);
    assert_int_equal(at + 4 + (size_t)size, NIFTI_DERIVED_NBYTES);
    assert_int_equal(size % 16, 0);
    assert_int_equal(code, NIFTI_ECODE_COMMENT);
    assert_string_equal((const char *)out + at + 12, text);
}

static void derives_an_image(void **state)
{
    nifti_1_header from = busy_n1(), want = image_n1(), got;
    unsigned char out[NIFTI_DERIVED_NBYTES + 1];

    (void)state;
    struct nifti like = parsed_n1(from);
    memset(out, 0xee, sizeof out);
    nifti_derive(&like, 1, "derivfs tsnr", out);
    memcpy(&got, out, sizeof got);
    assert_comment_at(out, 348, "derivfs tsnr");
    assert_int_equal(out[NIFTI_DERIVED_NBYTES], 0xee);

    want.regular = 'r';
    want.dim[0] = 3;
    want.dim[4] = 1;
    want.pixdim[4] = 0;
    want.datatype = DT_FLOAT32;
    want.bitpix = 32;
    want.scl_slope = 1;
    want.vox_offset = NIFTI_DERIVED_NBYTES;
    want.dim_info = 0x39;
    want.qform_code = 2;
    want.quatern_b = 0.5F;
    want.qoffset_z = -72;
    strcpy(want.descrip, "derivfs tsnr");
    assert_memory_equal(&got, &want, sizeof got);
}

static void derived_pixdims_are_sound(void **state)
{
    nifti_1_header from = image_n1(), got;
    unsigned char out[NIFTI_DERIVED_NBYTES];

    (void)state;
    memcpy(from.pixdim, (float[5]){0, 0, -3, NAN, 2}, 5 * sizeof(float));
    struct nifti like = parsed_n1(from);
    nifti_derive(&like, 1, "", out);
    memcpy(&got, out, sizeof got);
    assert_memory_equal(got.pixdim, ((float[8]){1, 1, 3, 1}), sizeof got.pixdim);
}

static void derives_a_series(void **state)
{
    nifti_1_header got;
    unsigned char out[NIFTI_DERIVED_NBYTES];
    char longest[2000];

    (void)state;
    struct nifti like = parsed_n1(busy_n1());
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    nifti_derive(&like, INT16_MAX, longest, out);
    longest[NIFTI_DERIVED_NBYTES - 348 - 12 - 1] = '\0'; /* room for the text and its NUL */
    assert_comment_at(out, 348, longest);
    memcpy(&got, out, sizeof got);
    assert_int_equal(got.dim[0], 4);
    assert_int_equal(got.dim[4], INT16_MAX);
    assert_true(got.pixdim[4] == 2.5F && got.slice_duration == 1.25F && got.toffset == 3);
    assert_int_equal(got.slice_end, 1);
    assert_int_equal(strlen(got.descrip), 79);
}

static void version_follows_the_dimensions(void **state)
{
    nifti_2_header n2 = image_n2();
    unsigned char out[NIFTI_DERIVED_NBYTES];
    struct nifti like, got;

    (void)state;
    nifti_swap_as_nifti2(&n2);
    parse_ok(&n2, sizeof n2, &like);
    nifti_derive(&like, 1, "small", out);
    parse_ok(out, NIFTI_DERIVED_NBYTES, &got);
    assert_int_equal(got.version, 1);
    assert_true(nifti_same_grid(&like, &got));
    assert_false(got.swapped);

    nifti_derive(&like, 40000, "many", out);
    parse_ok(out, NIFTI_DERIVED_NBYTES, &got);
    assert_comment_at(out, 540, "many");
    assert_int_equal(got.version, 2);
    assert_int_equal(got.nvol, 40000);
    assert_int_equal(got.vox_offset, NIFTI_DERIVED_NBYTES);
    assert_true(nifti_same_grid(&like, &got) && got.content == NIFTI_SERIES && got.tr == 2.5);

    like = parsed_n1(image_n1());
    nifti_derive(&like, 32768, "from NIfTI-1", out);
    parse_ok(out, NIFTI_DERIVED_NBYTES, &got);
    assert_true(nifti_same_grid(&like, &got) && got.nvol == 32768 && got.tr == 2.5);
}

/* What parses obeys the contract: derive it and parse that. */
static void check_invariants(const struct nifti *n)
{
    unsigned char out[NIFTI_DERIVED_NBYTES];
    struct nifti again;
    __int128 nbytes = (__int128)n->dim[0] * n->dim[1] * n->dim[2] * n->nvol * n->sample_nbytes;

    assert_true(n->dim[0] > 0 && n->dim[1] > 0 && n->dim[2] > 0 && n->nvol > 0);
    assert_true(nbytes + n->vox_offset <= INT64_MAX);
    assert_true(nbytes == nifti_data_nbytes(n));
    assert_true(n->vox_offset >= (n->version == 1 ? 348 : 540));
    assert_true(isfinite(n->slope) && n->slope != 0 && isfinite(n->inter));
    assert_true(n->content != NIFTI_SERIES || n->nvol > 1);
    nifti_derive(n, 1, "fuzz", out);
    parse_ok(out, sizeof out, &again);
    assert_true(nifti_same_shape(n, &again));
}

static void random_headers(void **state)
{
    enum { ROUNDS = 30000 };
    const nifti_1_header n1 = busy_n1();
    const nifti_2_header n2 = image_n2();
    uint32_t seed = 20240229;
    int parsed = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = round % 2 ? sizeof n1 : sizeof n2;
        unsigned char *bytes = malloc(len);
        struct nifti n;
        struct error err = {0};
        assert_non_null(bytes);
        memcpy(bytes, round % 2 ? (const void *)&n1 : (const void *)&n2, len);
        for (uint32_t i = image_random(&seed) % 8; i > 0; i--)
            bytes[image_random(&seed) % len] = (unsigned char)image_random(&seed);
        if (nifti_parse(bytes, len, &n, &err) == 0) {
            parsed++;
            check_invariants(&n);
        } else {
            assert_int_equal(err.code, EIO);
            assert_true(strlen(err.text) > 10);
        }
        free(bytes);
    }
    assert_uint_in_range(parsed, ROUNDS / 10, ROUNDS - ROUNDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_and_byte_orders),
        cmocka_unit_test(every_datatype),
        cmocka_unit_test(refuses_what_is_no_header),
        cmocka_unit_test(refuses_impossible_dims),
        cmocka_unit_test(refuses_series_beyond_all_scans),
        cmocka_unit_test(refuses_unknown_datatypes),
        cmocka_unit_test(vox_offset_rules),
        cmocka_unit_test(only_time_makes_a_series),
        cmocka_unit_test(voxels_of_a_series_are_real),
        cmocka_unit_test(long_vectors_of_freesurfer),
        cmocka_unit_test(scaling_and_units),
        cmocka_unit_test(affine_is_sform_else_qform_else_pixdim),
        cmocka_unit_test(grids_compare_with_a_tolerance),
        cmocka_unit_test(derives_an_image),
        cmocka_unit_test(derived_pixdims_are_sound),
        cmocka_unit_test(derives_a_series),
        cmocka_unit_test(version_follows_the_dimensions),
        cmocka_unit_test(random_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
