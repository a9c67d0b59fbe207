/* SPDX-License-Identifier: MIT
 *
 * NIfTI headers, on the structs and helpers of nifti2_io.
 *
 *     bytes -> right byte order -> nifti_2_header ("wide") -> checks -> struct nifti
 *
 * A NIfTI-1 header is widened to a NIfTI-2 one first, so that everything after that is written
 * once; writing goes the other way. The library's own readers are not used, because they repair
 * what is wrong (a negative dim becomes 1) and print to stderr; only its pure functions are: byte
 * swapping, datatype sizes, quaternion to matrix. What does not make sense is refused with a
 * sentence, so a struct nifti that exists can be computed with: its products cannot overflow.
 */
#include "nifti.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <nifti/nifti2_io.h>

enum { N1_NBYTES = sizeof(nifti_1_header), N2_NBYTES = sizeof(nifti_2_header) };
_Static_assert(N1_NBYTES == 348 && N2_NBYTES == 540, "packed header structs");

/* Sizes are checked for the largest samples, and for a voxel's moments (four float64), so that neither
 * the stored bytes nor those of anything computed from them overflow. */
enum { VOXEL_NBYTES_MAX = 32 };

static const char n2_magic[8] = {'n', '+', '2', '\0', '\r', '\n', '\032', '\n'};

static const struct {
    int datatype;
    enum sample_type sample;
} sample_types[] = {
    {DT_UINT8, SAMPLE_UINT8},     {DT_INT8, SAMPLE_INT8},     {DT_UINT16, SAMPLE_UINT16},
    {DT_INT16, SAMPLE_INT16},     {DT_UINT32, SAMPLE_UINT32}, {DT_INT32, SAMPLE_INT32},
    {DT_UINT64, SAMPLE_UINT64},   {DT_INT64, SAMPLE_INT64},   {DT_FLOAT32, SAMPLE_FLOAT32},
    {DT_FLOAT64, SAMPLE_FLOAT64},
};

/* Intent codes that deny that the volumes are points in time. Sources: nifti1.h; FSL's fslio and
 * newimage (2006 to 2018: warps of FNIRT and topup, and their coefficients); CIFTI-2 (3000 on). */
static const struct {
    int first, last;
    enum nifti_content content;
} intents[] = {
    {NIFTI_FIRST_STATCODE, NIFTI_LAST_STATCODE, NIFTI_STATISTIC},
    {NIFTI_INTENT_ESTIMATE, NIFTI_INTENT_NEURONAME, NIFTI_LABELS},
    {NIFTI_INTENT_GENMATRIX, NIFTI_INTENT_QUATERNION, NIFTI_VECTORS},
    {NIFTI_INTENT_NODE_INDEX, NIFTI_INTENT_NODE_INDEX, NIFTI_LABELS},
    {NIFTI_INTENT_RGB_VECTOR, NIFTI_INTENT_RGBA_VECTOR, NIFTI_VECTORS},
    {NIFTI_INTENT_SHAPE, NIFTI_INTENT_SHAPE, NIFTI_LABELS},
    {NIFTI_INTENT_FSL_FNIRT_DISPLACEMENT_FIELD, NIFTI_INTENT_FSL_TOPUP_FIELD, NIFTI_WARP},
    {3000, 3099, NIFTI_CIFTI},
};

static enum nifti_content content_of_intent(int intent)
{
    for (size_t i = 0; i < sizeof(intents) / sizeof(intents[0]); i++)
        if (intent >= intents[i].first && intent <= intents[i].last)
            return intents[i].content;
    return NIFTI_SERIES;
}

const char *nifti_content_text(enum nifti_content content)
{
#define TEXT(name, text) [name] = text,
    static const char *const texts[] = {NIFTI_CONTENTS(TEXT)};
#undef TEXT
    return texts[content];
}

/* NIfTI-1 fields that NIfTI-2 dropped (they mean nothing) are lost. */
static void widen(const nifti_1_header *n1, nifti_2_header *n2)
{
    memset(n2, 0, sizeof(*n2));
    n2->sizeof_hdr = N2_NBYTES;
    n2->datatype = n1->datatype;
    n2->bitpix = n1->bitpix;
    for (int i = 0; i < 8; i++) {
        n2->dim[i] = n1->dim[i];
        n2->pixdim[i] = (double)n1->pixdim[i];
    }
    n2->intent_code = n1->intent_code;
    n2->scl_slope = (double)n1->scl_slope;
    n2->scl_inter = (double)n1->scl_inter;
    n2->slice_code = n1->slice_code; /* NOLINT(bugprone-signed-char-misuse): a number */
    n2->slice_start = n1->slice_start;
    n2->slice_end = n1->slice_end;
    n2->slice_duration = (double)n1->slice_duration;
    n2->toffset = (double)n1->toffset;
    n2->xyzt_units = (unsigned char)n1->xyzt_units;
    n2->dim_info = n1->dim_info;
    n2->qform_code = n1->qform_code;
    n2->sform_code = n1->sform_code;
    n2->quatern_b = (double)n1->quatern_b;
    n2->quatern_c = (double)n1->quatern_c;
    n2->quatern_d = (double)n1->quatern_d;
    n2->qoffset_x = (double)n1->qoffset_x;
    n2->qoffset_y = (double)n1->qoffset_y;
    n2->qoffset_z = (double)n1->qoffset_z;
    for (int i = 0; i < 4; i++) {
        n2->srow_x[i] = (double)n1->srow_x[i];
        n2->srow_y[i] = (double)n1->srow_y[i];
        n2->srow_z[i] = (double)n1->srow_z[i];
    }
}

/* The fields of a derived header; dims fit, nifti_derive() has chosen the version by them. */
static void narrow(const nifti_2_header *n2, nifti_1_header *n1)
{
    memset(n1, 0, sizeof(*n1));
    n1->sizeof_hdr = N1_NBYTES;
    memcpy(n1->magic, "n+1", sizeof("n+1"));
    n1->regular = 'r'; /* required by some readers of the older Analyze format */
    n1->datatype = n2->datatype;
    n1->bitpix = n2->bitpix;
    for (int i = 0; i < 8; i++) {
        n1->dim[i] = (short)n2->dim[i];
        n1->pixdim[i] = (float)n2->pixdim[i];
    }
    n1->vox_offset = (float)n2->vox_offset;
    n1->scl_slope = (float)n2->scl_slope;
    n1->slice_code = (char)n2->slice_code;
    n1->slice_start = (short)n2->slice_start;
    n1->slice_end = (short)n2->slice_end;
    n1->slice_duration = (float)n2->slice_duration;
    n1->toffset = (float)n2->toffset;
    n1->xyzt_units = (char)n2->xyzt_units;
    n1->dim_info = n2->dim_info;
    n1->qform_code = (short)n2->qform_code;
    n1->sform_code = (short)n2->sform_code;
    n1->quatern_b = (float)n2->quatern_b;
    n1->quatern_c = (float)n2->quatern_c;
    n1->quatern_d = (float)n2->quatern_d;
    n1->qoffset_x = (float)n2->qoffset_x;
    n1->qoffset_y = (float)n2->qoffset_y;
    n1->qoffset_z = (float)n2->qoffset_z;
    for (int i = 0; i < 4; i++) {
        n1->srow_x[i] = (float)n2->srow_x[i];
        n1->srow_y[i] = (float)n2->srow_y[i];
        n1->srow_z[i] = (float)n2->srow_z[i];
    }
    memcpy(n1->descrip, n2->descrip, sizeof(n1->descrip));
}

/* The header of either version as the NIfTI-2 struct; vox_offset stays with the caller. */
static void load_wide(const struct nifti *h, nifti_2_header *wide)
{
    if (h->version == 2) {
        memcpy(wide, h->raw, N2_NBYTES);
        return;
    }
    nifti_1_header n1;
    memcpy(&n1, h->raw, N1_NBYTES);
    widen(&n1, wide);
}

/* sizeof_hdr tells version and byte order at once. */
static int parse_version(const unsigned char *bytes, size_t nbytes, struct nifti *out,
                         struct error *err)
{
    if (nbytes == 0)
        return error_set(err, EIO, "the file is empty");
    if (nbytes < N1_NBYTES)
        return error_set(err, EIO, "not NIfTI: %zu bytes are too few for a header", nbytes);

    int32_t size;
    memcpy(&size, bytes, sizeof(size));
    out->swapped = size != N1_NBYTES && size != N2_NBYTES;
    if (out->swapped)
        size = (int32_t)__builtin_bswap32((uint32_t)size);
    if (size != N1_NBYTES && size != N2_NBYTES)
        return error_set(err, EIO, "not NIfTI: the file does not start with a header size");
    if (nbytes < (size_t)size)
        return error_set(err, EIO, "the NIfTI-2 header ends early: %zu of %d bytes", nbytes, size);
    out->version = size == N1_NBYTES ? 1 : 2;
    return 0;
}

static int parse_magic(const unsigned char *bytes, int version, struct error *err)
{
    const unsigned char *magic =
        bytes + (version == 1 ? offsetof(nifti_1_header, magic) : offsetof(nifti_2_header, magic));
    const char *single = version == 1 ? "n+1" : "n+2", *pair = version == 1 ? "ni1" : "ni2";

    if (memcmp(magic, pair, 4) == 0)
        return error_set(err, EIO, "a header of a .hdr/.img pair (magic %s), not a single file",
                         pair);
    if (memcmp(magic, single, 4) != 0)
        return error_set(err, EIO, "not NIfTI: no magic %s in the header", single);
    if (version == 2 && memcmp(magic, n2_magic, sizeof(n2_magic)) != 0)
        return error_set(err, EIO,
                         "damaged by a text-mode transfer: line ends in the magic "
                         "number are converted");
    return 0;
}

static enum nifti_content content_of_voxels(int datatype)
{
    switch (datatype) {
    case DT_COMPLEX64:
    case DT_COMPLEX128:
    case DT_COMPLEX256:
        return NIFTI_COMPLEX;
    case DT_RGB24:
    case DT_RGBA32:
        return NIFTI_COLOUR;
    case DT_FLOAT128:
        return NIFTI_FLOAT128;
    default:
        return NIFTI_SERIES;
    }
}

/* FreeSurfer writes surfaces as long vectors, which the 16 bits of a dimension do not hold: either
 * with -1 and the length in glmin, or folded. Source: nibabel, get_data_shape(). */
static int unfold_surface(const struct nifti *h, int64_t extent[7], struct error *err)
{
    nifti_1_header n1;

    if (h->version != 1 || extent[1] != 1)
        return 0;
    if (extent[0] == 27307 && extent[2] == 6) { /* 7th order icosahedron: 163842 vertices */
        extent[0] *= extent[2];
        extent[2] = 1;
    }
    if (extent[0] != -1 || extent[2] != 1)
        return 0;
    memcpy(&n1, h->raw, N1_NBYTES);
    if (n1.glmin < 1)
        return error_set(
            err, EIO, "dimension 1 is -1, as of FreeSurfer's surfaces, but glmin is %d", n1.glmin);
    extent[0] = n1.glmin;
    return 0;
}

static int parse_extents(const nifti_2_header *wide, const struct nifti *h, int64_t extent[7],
                         struct error *err)
{
    int64_t ndim = wide->dim[0];
    int ret;

    if (ndim < 1 || ndim > 7)
        return error_set(err, EIO, "number of dimensions is %lld, not 1 to 7", (long long)ndim);
    for (int i = 0; i < 7; i++) {
        extent[i] = i < ndim ? wide->dim[i + 1] : 1;
        if (i > 3 && extent[i] == 0)
            extent[i] = 1;
    }
    ret = unfold_surface(h, extent, err);
    for (int i = 0; i < 7 && ret == 0; i++)
        if (extent[i] < 1)
            ret = error_set(err, EIO, "dimension %d is %lld", i + 1, (long long)extent[i]);
    return ret;
}

/* What the dimensions say: `nabove` of those beyond space are over 1, `last` is the last of them. */
static enum nifti_content content_of_dims(int64_t ndim, int nabove, int last, int64_t nvox)
{
    if (nabove == 0)
        return ndim < 4 ? NIFTI_3D : NIFTI_ONE_VOLUME;
    if (nabove > 1)
        return NIFTI_MANY_DIMENSIONS;
    return last == 3 || (last == 4 && nvox > 1) ? NIFTI_SERIES : NIFTI_NOT_TIME;
}

/* More than these are no scan, and less than what overflows where a volume's or a series' numbers
 * are multiplied by planes of float64 (2^20 of them). */
#define VOLUME_NVOX_MAX (INT64_C(1) << 36)
#define SERIES_NVOL_MAX (INT64_C(1) << 32)

static int check_series(const struct nifti *h, struct error *err)
{
    if (nifti_nvox(h) > VOLUME_NVOX_MAX)
        return error_set(err, EIO, "dimensions overflow: a volume of more than 2^36 voxels");
    if (h->nvol > SERIES_NVOL_MAX)
        return error_set(err, EIO, "dimensions overflow: more than 2^32 volumes");
    return 0;
}

static int parse_dims(const nifti_2_header *wide, struct nifti *out, struct error *err)
{
    int64_t extent[7], nbytes = VOXEL_NBYTES_MAX;
    int nabove = 0, last = 0;
    int ret = parse_extents(wide, out, extent, err);

    if (ret < 0)
        return ret;
    out->nvol = 1;
    for (int i = 0; i < 7; i++) {
        if (__builtin_mul_overflow(nbytes, extent[i], &nbytes))
            return error_set(err, EIO, "dimensions overflow: more than 2^58 voxels");
        if (i < 3) {
            out->dim[i] = extent[i];
            continue;
        }
        out->nvol *= extent[i];
        if (extent[i] > 1) {
            nabove++;
            last = i;
        }
    }
    if (__builtin_add_overflow(nbytes, (int64_t)out->vox_offset, &nbytes))
        return error_set(err, EIO, "dimensions and vox_offset overflow");
    out->content = content_of_intent(wide->intent_code);
    if (out->content == NIFTI_SERIES)
        out->content = content_of_voxels(wide->datatype);
    if (out->content == NIFTI_SERIES)
        out->content = content_of_dims(wide->dim[0], nabove, last, nifti_nvox(out));
    return out->content == NIFTI_SERIES ? check_series(out, err) : 0;
}

static int parse_datatype(const nifti_2_header *wide, struct nifti *out, struct error *err)
{
    int nbyper, swapsize;

    nifti_datatype_sizes(wide->datatype, &nbyper, &swapsize);
    if (nbyper <= 0)
        return error_set(err, EIO, "unknown datatype %d", wide->datatype);
    out->sample_nbytes = (size_t)nbyper;
    out->real = false;
    for (size_t i = 0; i < sizeof(sample_types) / sizeof(sample_types[0]); i++) {
        if (sample_types[i].datatype == wide->datatype) {
            out->real = true;
            out->sample = sample_types[i].sample;
        }
    }
    return 0;
}

static int parse_vox_offset(const struct nifti *h, uint64_t *vox_offset, struct error *err)
{
    uint64_t header = h->version == 1 ? N1_NBYTES : N2_NBYTES;

    if (h->version == 1) {
        nifti_1_header n1;
        memcpy(&n1, h->raw, N1_NBYTES);
        double off = (double)n1.vox_offset;
        if (!isfinite(off) || off < 0 || off >= 0x1p63)
            return error_set(err, EIO, "vox_offset is %g", off);
        *vox_offset = (uint64_t)off;
    } else {
        nifti_2_header n2;
        memcpy(&n2, h->raw, N2_NBYTES);
        if (n2.vox_offset < 0)
            return error_set(err, EIO, "vox_offset is %lld", (long long)n2.vox_offset);
        *vox_offset = (uint64_t)n2.vox_offset;
    }
    if (*vox_offset == 0)
        *vox_offset = header;
    if (*vox_offset < header)
        return error_set(err, EIO, "vox_offset %llu lies inside the header",
                         (unsigned long long)*vox_offset);
    return 0;
}

static void parse_scaling(const nifti_2_header *wide, struct nifti *out)
{
    bool scaled = isfinite(wide->scl_slope) && wide->scl_slope != 0;

    out->slope = scaled ? wide->scl_slope : 1;
    out->inter = scaled && isfinite(wide->scl_inter) ? wide->scl_inter : 0;
}

/* Of the volumes in seconds. Files that do not say their unit mean seconds in practice. */
static double repetition_time(const nifti_2_header *wide)
{
    double tr = wide->pixdim[4];

    if (!isfinite(tr) || tr <= 0)
        return 0;
    switch (XYZT_TO_TIME(wide->xyzt_units)) {
    case NIFTI_UNITS_UNKNOWN:
    case NIFTI_UNITS_SEC:
        return tr;
    case NIFTI_UNITS_MSEC:
        return tr * 1e-3;
    case NIFTI_UNITS_USEC:
        return tr * 1e-6;
    default:
        return 0; /* hertz, ppm: not a time axis */
    }
}

/* Voxel size along an axis: the standard wants it positive, and some writers leave it 0. */
static double spacing(double pixdim)
{
    return isfinite(pixdim) && pixdim != 0 ? fabs(pixdim) : 1;
}

static void parse_affine(const nifti_2_header *wide, double affine[3][4])
{
    double dx = spacing(wide->pixdim[1]), dy = spacing(wide->pixdim[2]),
           dz = spacing(wide->pixdim[3]);

    memset(affine, 0, sizeof(double[3][4]));
    if (wide->sform_code > 0) {
        memcpy(affine[0], wide->srow_x, sizeof(affine[0]));
        memcpy(affine[1], wide->srow_y, sizeof(affine[1]));
        memcpy(affine[2], wide->srow_z, sizeof(affine[2]));
    } else if (wide->qform_code > 0) {
        nifti_dmat44 m = nifti_quatern_to_dmat44(wide->quatern_b, wide->quatern_c, wide->quatern_d,
                                                 wide->qoffset_x, wide->qoffset_y, wide->qoffset_z,
                                                 dx, dy, dz, wide->pixdim[0] < 0 ? -1.0 : 1.0);
        memcpy(affine, m.m, sizeof(double[3][4]));
    } else {
        affine[0][0] = dx;
        affine[1][1] = dy;
        affine[2][2] = dz;
    }
}

int nifti_parse(const unsigned char *bytes, size_t nbytes, struct nifti *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    int ret = parse_version(bytes, nbytes, out, err);
    if (ret == 0)
        ret = parse_magic(bytes, out->version, err);
    if (ret < 0)
        return ret;

    if (out->version == 1) {
        nifti_1_header n1;
        memcpy(&n1, bytes, N1_NBYTES);
        if (out->swapped)
            nifti_swap_as_nifti1(&n1);
        memcpy(out->raw, &n1, N1_NBYTES);
    } else {
        nifti_2_header n2;
        memcpy(&n2, bytes, N2_NBYTES);
        if (out->swapped)
            nifti_swap_as_nifti2(&n2);
        memcpy(out->raw, &n2, N2_NBYTES);
    }

    nifti_2_header wide;
    load_wide(out, &wide);
    ret = parse_datatype(&wide, out, err);
    if (ret == 0)
        ret = parse_vox_offset(out, &out->vox_offset, err);
    if (ret == 0)
        ret = parse_dims(&wide, out, err);
    if (ret < 0)
        return ret;
    parse_scaling(&wide, out);
    parse_affine(&wide, out->affine);
    out->oriented = wide.sform_code > 0 || wide.qform_code > 0;
    out->tr = repetition_time(&wide);
    return 0;
}

int64_t nifti_nvox(const struct nifti *h)
{
    return h->dim[0] * h->dim[1] * h->dim[2];
}

uint64_t nifti_data_nbytes(const struct nifti *h)
{
    return (uint64_t)nifti_nvox(h) * (uint64_t)h->nvol * h->sample_nbytes;
}

bool nifti_same_shape(const struct nifti *a, const struct nifti *b)
{
    return memcmp(a->dim, b->dim, sizeof(a->dim)) == 0;
}

bool nifti_same_grid(const struct nifti *a, const struct nifti *b)
{
    if (!nifti_same_shape(a, b))
        return false;
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 4; c++) {
            double x = a->affine[r][c], y = b->affine[r][c];
            /* NaN and infinities agree with themselves, so that every grid is its own */
            bool same = fabs(x - y) < 1e-3 || x == y || (isnan(x) && isnan(y));
            if (!same)
                return false;
        }
    }
    return true;
}

/* Set what a float32 image of `nvol` volumes says differently from the file it comes from. */
static void set_derived_fields(nifti_2_header *wide, const struct nifti *like, int64_t nvol)
{
    bool series = nvol > 1;
    const nifti_2_header from = *wide;

    wide->datatype = DT_FLOAT32;
    wide->bitpix = 32;
    wide->dim[0] = series ? 4 : 3;
    wide->pixdim[0] = from.pixdim[0] < 0 ? -1 : 1; /* only the sign has a meaning */
    for (int i = 1; i < 8; i++) {
        wide->dim[i] = i <= 3 ? like->dim[i - 1] : 1;
        wide->pixdim[i] = i <= 3 ? spacing(from.pixdim[i]) : 0;
    }
    wide->slice_code = 0;
    wide->slice_start = wide->slice_end = 0;
    wide->slice_duration = wide->toffset = 0;
    if (series) {
        wide->dim[4] = nvol;
        wide->pixdim[4] = from.pixdim[4];
        wide->slice_code = from.slice_code;
        wide->slice_start = from.slice_start;
        wide->slice_end = from.slice_end;
        wide->slice_duration = from.slice_duration;
        wide->toffset = from.toffset;
    }
    wide->scl_slope = 1;
    wide->scl_inter = 0;
    wide->cal_min = wide->cal_max = 0;
    wide->intent_code = NIFTI_INTENT_NONE;
    wide->intent_p1 = wide->intent_p2 = wide->intent_p3 = 0;
    memset(wide->intent_name, 0, sizeof(wide->intent_name));
    memset(wide->aux_file, 0, sizeof(wide->aux_file));
    memset(wide->unused_str, 0, sizeof(wide->unused_str));
}

/* The extension flag and one comment from `at` on, the rest zero. Layout: nifti1.h, "extended
 * header data": flag [4], size including itself [4], code [4], text. */
static void write_comment(unsigned char *out, size_t at, const char *text)
{
    static const unsigned char has_extension[4] = {1, 0, 0, 0};
    int32_t size = (int32_t)(NIFTI_DERIVED_NBYTES - at - sizeof(has_extension));
    int32_t code = NIFTI_ECODE_COMMENT;
    unsigned char *extension = out + at + sizeof(has_extension);

    memcpy(out + at, has_extension, sizeof(has_extension));
    memcpy(extension, &size, sizeof(size));
    memcpy(extension + sizeof(size), &code, sizeof(code));
    snprintf((char *)extension + 2 * sizeof(size), (size_t)size - 2 * sizeof(size), "%s", text);
}

void nifti_derive(const struct nifti *like, int64_t nvol, const char *text,
                  unsigned char out[NIFTI_DERIVED_NBYTES])
{
    nifti_2_header wide;

    load_wide(like, &wide);
    set_derived_fields(&wide, like, nvol);
    wide.sizeof_hdr = N2_NBYTES;
    memcpy(wide.magic, n2_magic, sizeof(n2_magic));
    wide.vox_offset = NIFTI_DERIVED_NBYTES;
    memset(wide.descrip, 0, sizeof(wide.descrip));
    snprintf(wide.descrip, sizeof(wide.descrip), "%s", text);

    memset(out, 0, NIFTI_DERIVED_NBYTES);
    if (like->dim[0] <= INT16_MAX && like->dim[1] <= INT16_MAX && like->dim[2] <= INT16_MAX &&
        nvol <= INT16_MAX) {
        nifti_1_header n1;
        narrow(&wide, &n1);
        memcpy(out, &n1, N1_NBYTES);
        write_comment(out, N1_NBYTES, text);
    } else {
        memcpy(out, &wide, N2_NBYTES);
        write_comment(out, N2_NBYTES, text);
    }
}
