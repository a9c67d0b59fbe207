#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write a small run as a NIfTI file of any kind: datatype, byte order, version, scaling, extension,
fifth dimension, gzip members; and broken ones, by setting header fields or cutting the file.

Voxels are random and depend on the seed alone. Voxel (0, 0, 0) is 0 in every volume, so that its
tsnr is NaN; voxel (1, 0, 0) is 7 in every volume, so that its tsnr is infinite.

With "-" as the only argument, each line of stdin holds the arguments of one run: many runs cost one
start of Python.
"""

import argparse
import gzip
import os
import shlex
import sys

import nibabel
import numpy as np

DTYPES = "u1 i1 u2 i2 u4 i4 u8 i8 f4 f8 c8 c16 rgb".split()
RGB = np.dtype([(colour, "u1") for colour in "RGB"])


def numbers(text):
    return [float(x) if any(c in x for c in ".enf") else int(x) for x in text.split(",")]


def parse_arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("path", help="ends in .nii, or .nii.gz for gzip")
    parser.add_argument("--shape", type=numbers, default=[5, 6, 4], help="X,Y,Z (5,6,4)")
    parser.add_argument("--volumes", type=int, default=12, help="0 for a 3-D image (12)")
    parser.add_argument("--dtype", choices=DTYPES, default="i2", help="as in numpy (i2)")
    parser.add_argument("--big", action="store_true", help="big endian")
    parser.add_argument("--version", type=int, choices=[1, 2], default=1, help="of NIfTI")
    parser.add_argument("--slope", type=float, default=0, help="scl_slope (0)")
    parser.add_argument("--inter", type=float, default=0, help="scl_inter (0)")
    parser.add_argument("--five", action="store_true", help="5-D: the time behind a singleton")
    parser.add_argument("--extension", type=int, metavar="NBYTES", help="of a header extension")
    parser.add_argument("--zooms", type=numbers, default=[3, 3, 3.5, 2], help="X,Y,Z,T in mm and s")
    parser.add_argument("--shift", type=float, default=0, help="of the grid along x, in mm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--level", type=float, default=90, help="mean intensity (90)")
    parser.add_argument("--spread", type=float, default=9, help="its deviation (9)")
    parser.add_argument(
        "--special",
        action="store_true",
        help="floats: a NaN in voxel (2, 0, 0), an inf in (3, 0, 0), both infinities in (4, 0, 0)",
    )
    parser.add_argument("--whole", action="store_true", help="floats: whole numbers")
    parser.add_argument("--members", type=int, default=1, help="of the gzip file (1)")
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUES",
        action="append",
        default=[],
        help="overwrite a header field at the end, sound or not: dim=4,-5,6,4,12,1,1,1",
    )
    parser.add_argument("--cut", type=int, metavar="NBYTES", help="leave out the file's last bytes")
    parser.add_argument("--mtime", type=float, help="of the file, in seconds since the epoch")
    return parser.parse_args(words)


def make_voxels(options, shape):
    rng = np.random.default_rng(options.seed)
    if options.dtype == "rgb":
        return rng.integers(0, 256, (*shape, 3), "u1").view(RGB)[..., 0]
    voxels = rng.normal(options.level, options.spread, shape)
    dtype = np.dtype(options.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        voxels = voxels.round().clip(limits.min, limits.max)
    elif options.whole:
        voxels = voxels.round()
    voxels[0, 0, 0] = 0
    voxels[1:2, 0, 0] = 7
    if options.special:
        voxels[2, 0, 0].flat[0] = np.nan
        voxels[3, 0, 0].flat[0] = np.inf
        voxels[4, 0, 0].flat[[0, -1]] = np.inf, -np.inf
    return voxels.astype(dtype)


def make_header(options, shape, voxels):
    kind = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}[options.version]
    header = kind(endianness=">" if options.big else "<")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(shape)
    zooms = options.zooms[:3] + ([1] if options.five else []) + options.zooms[3:]
    header.set_zooms(zooms[: len(shape)])
    header.set_xyzt_units("mm", "sec")
    affine = np.diag([*options.zooms[:3], 1.0])
    affine[:3, 3] = np.array([-20 + options.shift, -30, -10])
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=2)
    header["scl_slope"] = options.slope
    header["scl_inter"] = options.inter
    header["magic"] = {1: b"n+1", 2: b"n+2\0\r\n\032\n"}[options.version]
    header["vox_offset"] = header.sizeof_hdr + 4 + (options.extension or 0)
    for assignment in options.set:
        field, _, values = assignment.partition("=")
        if header[field].dtype.kind == "S":
            header[field] = values
            continue
        values = numbers(values)
        header[field] = values if len(values) > 1 else values[0]
    return header


def file_bytes(options):
    shape = list(options.shape)
    if options.volumes:
        shape += [1] * options.five + [options.volumes]
    voxels = make_voxels(options, shape)
    header = make_header(options, shape, voxels)
    content = header.binaryblock + (b"\1\0\0\0" if options.extension else b"\0\0\0\0")
    if options.extension:
        esize_ecode = np.array([options.extension, 6], header.endianness + "i4")
        content += esize_ecode.tobytes() + b"x" * (options.extension - 8)
    return content + voxels.astype(voxels.dtype.newbyteorder(header.endianness)).tobytes("F")


def compress(content, nmembers):
    step = -(-len(content) // nmembers)
    parts = [content[start : start + step] for start in range(0, len(content), step)]
    return b"".join(gzip.compress(part, 6, mtime=0) for part in parts)


def write_run(words):
    options = parse_arguments(words)
    content = file_bytes(options)
    if options.path.endswith(".gz"):
        content = compress(content, options.members)
    if options.cut:
        content = content[: -options.cut]
    os.makedirs(os.path.dirname(options.path) or ".", exist_ok=True)
    with open(options.path, "wb") as out:
        out.write(content)
    if options.mtime is not None:
        os.utime(options.path, (options.mtime, options.mtime))


def main():
    if sys.argv[1:] == ["-"]:
        for line in sys.stdin:
            write_run(shlex.split(line))
    else:
        write_run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
