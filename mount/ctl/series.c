/* SPDX-License-Identifier: MIT
 *
 * The header of one volume is that of the series with another number of dimensions.
 */
#include "series.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

enum { NIFTI1_NBYTES = 348, NIFTI2_NBYTES = 540, BEFORE_MAX = 1 << 20, FLOAT32 = 16 };

/* The number of `size` bytes at `off`, in the order of this machine. */
static int64_t number_at(const unsigned char *header, size_t off, size_t size)
{
    int16_t narrow;
    int64_t wide;

    memcpy(&narrow, header + off, sizeof narrow);
    memcpy(&wide, header + off, sizeof wide);
    return size == sizeof narrow ? narrow : wide;
}

/* Set out->dim and out->before_nbytes. False: another form. */
static bool read_header(const unsigned char *h, struct series *out)
{
    int32_t nbytes;
    bool wide;
    size_t dim, size;
    float off;

    memcpy(&nbytes, h, sizeof nbytes);
    wide = nbytes == NIFTI2_NBYTES;
    if ((!wide && nbytes != NIFTI1_NBYTES) || number_at(h, wide ? 12 : 70, 2) != FLOAT32)
        return false;
    dim = wide ? 16 : 40;
    size = wide ? 8 : 2;
    if (number_at(h, dim, size) != 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        out->dim[i] = number_at(h, dim + (i + 1) * size, size);
        if (out->dim[i] < 1)
            return false;
    }
    memcpy(&off, h + 108, sizeof off);
    out->before_nbytes = wide ? (size_t)number_at(h, 168, 8) : (size_t)off;
    return out->before_nbytes >= (size_t)nbytes && out->before_nbytes <= BEFORE_MAX;
}

static void make_single(unsigned char *h)
{
    int32_t nbytes;
    const int16_t three = 3, one = 1;
    const int64_t three_wide = 3, one_wide = 1;

    memcpy(&nbytes, h, sizeof nbytes);
    if (nbytes == NIFTI2_NBYTES) {
        memcpy(h + 16, &three_wide, sizeof three_wide);
        memcpy(h + 48, &one_wide, sizeof one_wide);
    } else {
        memcpy(h + 40, &three, sizeof three);
        memcpy(h + 48, &one, sizeof one);
    }
}

/* A short read is a failure. */
static int read_at(const struct series *s, void *buf, size_t nbytes, uint64_t off,
                   struct error *err)
{
    ssize_t n = fd_pread(s->fd, buf, nbytes, off);

    if (n < 0)
        return error_set(err, (int)-n, "read: %s", strerror((int)-n));
    return (size_t)n == nbytes ? 0 : error_set(err, EIO, "read: the file ends early");
}

int series_open(const char *path, struct series *out, struct error *err)
{
    unsigned char h[NIFTI2_NBYTES];
    int ret;

    *out = (struct series){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (out->fd < 0)
        return error_set(err, errno, "open %s: %s", path, strerror(errno));
    ret = read_at(out, h, sizeof h, 0, err);
    if (ret == 0 && !read_header(h, out))
        ret = error_set(err, EINVAL, "%s: not a series of float32", path);
    if (ret == 0) {
        out->volume_nbytes = (size_t)(out->dim[0] * out->dim[1] * out->dim[2]) * sizeof(float);
        out->header = malloc(out->before_nbytes);
        ret = out->header ? read_at(out, out->header, out->before_nbytes, 0, err)
                          : error_set(err, ENOMEM, "out of memory");
    }
    if (ret < 0)
        series_close(out);
    else
        make_single(out->header);
    return ret;
}

void series_close(struct series *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->header);
    *s = (struct series){.fd = -1};
}

int series_volume(const struct series *s, int64_t t, unsigned char **out, struct error *err)
{
    unsigned char *bytes;
    int ret;

    if (t < 0 || t >= s->dim[3])
        return error_set(err, EINVAL, "no such volume");
    bytes = malloc(s->before_nbytes + s->volume_nbytes);
    if (!bytes)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(bytes, s->header, s->before_nbytes);
    ret = read_at(s, bytes + s->before_nbytes, s->volume_nbytes,
                  s->before_nbytes + (uint64_t)t * s->volume_nbytes, err);
    if (ret == 0)
        *out = bytes;
    else
        free(bytes);
    return ret;
}

int series_course(const struct series *s, const int64_t at[3], int64_t from, size_t n, float *out,
                  struct error *err)
{
    uint64_t voxel = (uint64_t)((at[2] * s->dim[1] + at[1]) * s->dim[0] + at[0]);
    int ret = 0;

    for (int i = 0; i < 3; i++)
        if (at[i] < 0 || at[i] >= s->dim[i])
            return error_set(err, EINVAL, "no such voxel");
    if (from < 0 || from > s->dim[3] || n > (uint64_t)(s->dim[3] - from))
        return error_set(err, EINVAL, "no such volume");
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = read_at(
            s, &out[i], sizeof *out,
            s->before_nbytes + ((uint64_t)from + i) * s->volume_nbytes + voxel * sizeof *out, err);
    return ret;
}
