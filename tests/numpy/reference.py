#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compare a derived image with what numpy computes in float64 over the runs joined in time.

Every voxel must agree within float32 rounding, and be NaN or infinite where numpy's result is.
The header must be valid, free of warnings, and have the grid and the units of the first run.
Prints the first voxel that differs and exits with 1; prints nothing where all is well.

With "-" as the only argument, each line of stdin holds the arguments of one comparison.
"""

import argparse
import logging
import shlex
import sys
import warnings

import nibabel
import numpy as np

RTOL = 1e-6


def load_run(path):
    """A run's intensities, [nx][ny][nz][nvol], in float64."""
    image = nibabel.load(path)
    stored = np.asarray(image.dataobj.get_unscaled()).astype(np.float64)
    slope, inter = image.dataobj.slope, image.dataobj.inter
    # A fifth dimension is a singleton or, behind one, the time.
    return (stored * slope + inter).reshape(stored.shape[:3] + (-1,), order="F")


def statistic(name, joined):
    mean = joined.mean(axis=-1)
    std = joined.std(axis=-1)
    # The mean of equal numbers may be off in the last bit, and then std is not 0 but rounding
    # noise, and tsnr not infinite but noise too. That is no value to compare with.
    constant = np.isfinite(joined[..., 0]) & (joined == joined[..., :1]).all(axis=-1)
    mean[constant] = joined[constant, 0]
    std[constant] = 0
    return {"mean": mean, "std": std, "tsnr": mean / std}[name]


def compute(name, paths):
    """The statistic of all runs, slice by slice so that memory stays bearable."""
    runs = [load_run(path) for path in paths]
    slices = range(runs[0].shape[2])
    return np.stack(
        [statistic(name, np.concatenate([run[:, :, z] for run in runs], -1)) for z in slices], 2
    )


def check_voxels(derived, expected):
    rounded = expected.astype(np.float32)  # what is out of float32's range becomes infinite
    special = ~np.isfinite(rounded)
    same = (np.isnan(derived) & np.isnan(rounded)) | (derived == rounded)
    near = np.abs(derived - expected) <= RTOL * np.abs(expected) + np.finfo("f4").smallest_subnormal
    wrong = ~np.where(special, same, near)
    if not wrong.any():
        return []
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return [
        f"{wrong.sum()} of {wrong.size} voxels differ; the first is {first}: "
        f"expected {expected[first]!r}, is {derived[first]!r}"
    ]


def complaints(path):
    """What nibabel has to say about a file's header."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    nibabel.imageglobals.logger.addHandler(handler)
    header_class = type(nibabel.load(path).header)
    with nibabel.openers.ImageOpener(path) as file:
        messages += header_class.diagnose_binaryblock(file.read(header_class.sizeof_hdr)).split("\n")
    nibabel.imageglobals.logger.removeHandler(handler)
    return [f"header: {message}" for message in messages if message]


def check_header(derived, first):
    faults = []

    def equal(what, is_, should_be):
        if not np.array_equal(is_, should_be):
            faults.append(f"{what}: expected {should_be}, is {is_}")

    header, like = derived.header, first.header
    equal("datatype", header.get_data_dtype().newbyteorder("="), np.dtype("f4"))
    equal("shape", derived.shape, first.shape[:3])
    equal("affine", derived.affine.astype("f4"), first.affine.astype("f4"))
    equal("zooms", header["pixdim"][1:4], like["pixdim"][1:4].astype("f4"))
    equal("units", header.get_xyzt_units(), like.get_xyzt_units())
    for field in ["qform_code", "sform_code"]:
        equal(field, header[field], like[field])
    for field in ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]:
        equal(field, header[field], like[field].astype("f4"))
    for field in ["srow_x", "srow_y", "srow_z"]:
        equal(field, header[field], like[field].astype("f4"))
    equal("qfac", header["pixdim"][0], like["pixdim"][0])
    equal("slope and inter", (derived.dataobj.slope, derived.dataobj.inter), (1, 0))
    return faults


def check(words):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("statistic", choices=["mean", "std", "tsnr"])
    parser.add_argument("derived", help="the image to check")
    parser.add_argument("run", nargs="+", help="what it is derived from, in the order of time")
    options = parser.parse_args(words)

    warnings.simplefilter("error")  # a warning of nibabel about the image is a fault
    faults = complaints(options.derived)
    derived = nibabel.load(options.derived)
    with np.errstate(all="ignore"):
        expected = compute(options.statistic, options.run)
        faults += check_header(derived, nibabel.load(options.run[0]))
        if derived.shape == expected.shape:
            faults += check_voxels(np.asarray(derived.dataobj), expected)
    for fault in faults:
        print(f"{options.derived}: {fault}", file=sys.stderr)
    return not faults


def main():
    batch = [shlex.split(line) for line in sys.stdin] if sys.argv[1:] == ["-"] else [sys.argv[1:]]
    return 0 if batch and all([check(words) for words in batch]) else 1


if __name__ == "__main__":
    sys.exit(main())
