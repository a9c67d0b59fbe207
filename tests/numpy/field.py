#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The recipes of contrib/recipes/field.ini against their definitions.

    field.py numpy DIR RUN...       every recipe, for the joined runs and for each, against numpy
    field.py nipype DIR RUN...      tsnr_nipype and tsnr_mriqc against nipype.algorithms.confounds
    field.py example DATASET        write two runs with series that one can do by hand
    field.py example-check DIR      and compare with what comes out by hand

DIR is the directory of the mount that has the runs. Prints what differs and exits with 1.
"""

import math
import os
import sys
import tempfile

import nibabel
import numpy as np

from reference import load_run

RTOL = {"numpy": 1e-6, "nipype": 1e-5, "example": 1e-6}
faults = []


def compare(kind, path, expected):
    derived = np.asarray(nibabel.load(path).dataobj, dtype=np.float64)
    expected = np.asarray(expected, dtype=np.float64)
    same = np.isclose(derived, expected, rtol=RTOL[kind], atol=0, equal_nan=True)
    if not same.all():
        first = tuple(int(i) for i in np.argwhere(~same)[0])
        faults.append(f"{path}{list(first)}: expected {expected[first]!r}, is {derived[first]!r}")


def name_of(directory, recipe, runs, values=""):
    """The file for all runs joined, or for the only one."""
    if len(runs) > 1:
        return f"{directory}/{recipe}{values}.nii"
    entities = os.path.basename(runs[0]).removesuffix(".gz").removesuffix("_bold.nii")
    return f"{directory}/{entities}_stat-{recipe}{values}_boldmap.nii"


def exact(joined):
    """Mean and deviations from it; rounding makes no noise where all volumes are equal."""
    mean = joined.mean(axis=-1)
    constant = (joined == joined[..., :1]).all(axis=-1)
    mean[constant] = joined[constant, 0]
    return mean, joined - mean[..., np.newaxis]


def deviation(rests, ddof=0):
    return np.sqrt((rests**2).sum(axis=-1) / (rests.shape[-1] - ddof))


def quotient(mean, std, above=0.0):
    """mean / std, and 0 where std is not above that."""
    return np.divide(mean, std, out=np.zeros_like(mean), where=std > above)


def detrended(run, order):
    """Without the polynomials of order 1 to `order` of a least-squares fit."""
    time = np.linspace(-1, 1, run.shape[-1])
    design = np.polynomial.legendre.legvander(time, order)
    fit, *_ = np.linalg.lstsq(design, run.reshape(-1, len(time)).T, rcond=None)
    return run - (design[:, 1:] @ fit[1:]).T.reshape(run.shape)


def check_numpy(directory, paths):
    runs = [load_run(path) for path in paths]
    joined = np.concatenate(runs, axis=-1)
    mean, rests = exact(joined)
    sample = deviation(rests, ddof=1)
    within = np.concatenate([exact(run)[1] for run in runs], axis=-1)

    def check(recipe, expected, values=""):
        compare("numpy", name_of(directory, recipe, paths, values), expected)

    check("tsnr_afni", quotient(np.abs(mean), sample))
    check("tsnr_fsl", quotient(mean, sample))
    check("tsnr_nipype", quotient(mean, deviation(rests), 1e-3))
    check("tsnr_mriqc", quotient(mean, deviation(rests), 1e-3))
    check("tsnr_within", mean / deviation(within))
    check("tsnr_within", mean / deviation(within, len(runs)), f"@ddof={len(runs)}")
    for order in 1, 2, 3:
        less = np.concatenate([detrended(run, order) for run in runs], axis=-1)
        expected = quotient(less.mean(axis=-1), less.std(axis=-1), 1e-3)
        check("tsnr_nipype", expected, f"@regress_poly={order}")
    for drop in 1, 4:
        less, rests_less = exact(np.concatenate([run[..., drop:] for run in runs], axis=-1))
        check("tsnr_mriqc", quotient(less, deviation(rests_less), 1e-3), f"@drop={drop}")


def nipype_tsnr(paths, order=0, drop=0):
    from nipype.algorithms.confounds import TSNR

    before = os.getcwd()
    with tempfile.TemporaryDirectory() as work:
        copies = [copy_without(path, drop, work) for path in paths]
        os.chdir(work)
        tsnr = TSNR(in_file=copies, **({"regress_poly": order} if order else {}))
        result = nibabel.load(tsnr.run().outputs.tsnr_file).get_fdata()
        os.chdir(before)
    return result


def copy_without(path, drop, work):
    """A copy in float32: nipype writes its result in the datatype of what it is given, and would
    round it to one of 65536 values."""
    image = nibabel.load(path)
    voxels = load_run(path)[..., drop:].astype(np.float32)
    name = f"{work}/{os.path.basename(path)}"
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), name)
    return name


def check_nipype(directory, paths):
    def check(recipe, expected, values=""):
        compare("nipype", name_of(directory, recipe, paths, values), expected)

    check("tsnr_nipype", nipype_tsnr(paths))
    if len(paths) == 1:  # nipype detrends the joined series as if it were one run
        for order in 1, 2, 3:
            check("tsnr_nipype", nipype_tsnr(paths, order), f"@regress_poly={order}")
    for drop in 1, 4:
        check("tsnr_mriqc", nipype_tsnr(paths, drop=drop), f"@drop={drop}")


# Voxels of two runs of three volumes, and what each definition makes of both joined.
NAMES = ["tsnr_afni", "tsnr_fsl", "tsnr_nipype", "tsnr_within", "tsnr_mriqc", "tsnr_mriqc@drop=1"]
EXAMPLE = [
    # mean 12, sum of squares 16: 3.2 with n - 1, 8/3 with n; without the first, 13 and 1
    (
        [10, 12, 14],
        [10, 12, 14],
        [12 / math.sqrt(3.2), 12 / math.sqrt(3.2), 12 / math.sqrt(8 / 3)]
        + [12 / math.sqrt(8 / 3), 12 / math.sqrt(8 / 3), 13],
    ),
    # the same below zero
    (
        [-10, -12, -14],
        [-10, -12, -14],
        [12 / math.sqrt(3.2), -12 / math.sqrt(3.2), -12 / math.sqrt(8 / 3)]
        + [-12 / math.sqrt(8 / 3), -12 / math.sqrt(8 / 3), -13],
    ),
    # nothing moves
    ([7, 7, 7], [7, 7, 7], [0, 0, 0, math.inf, 0, 0]),
    # a shift of 100: mean 62, squares 16 within the runs and 6 * 50**2 between them
    (
        [10, 12, 14],
        [110, 112, 114],
        [62 / math.sqrt(15016 / 5), 62 / math.sqrt(15016 / 5), 62 / math.sqrt(15016 / 6)]
        + [62 / math.sqrt(16 / 6), 62 / math.sqrt(15016 / 6), 63 / math.sqrt(2501)],
    ),
]


def write_example(directory):
    for number in 0, 1:
        series = np.array([voxel[number] for voxel in EXAMPLE], dtype=np.int16)
        image = nibabel.Nifti1Image(series.reshape(len(EXAMPLE), 1, 1, 3), np.eye(4))
        nibabel.save(image, f"{directory}/sub-1_run-{number}_bold.nii.gz")


def check_example(directory):
    for i, name in enumerate(NAMES):
        expected = np.array([voxel[2][i] for voxel in EXAMPLE]).reshape(len(EXAMPLE), 1, 1)
        compare("example", f"{directory}/{name}.nii", expected)


def main():
    what, directory, *paths = sys.argv[1:]
    checks = {"numpy": check_numpy, "nipype": check_nipype}
    with np.errstate(all="ignore"):
        if what == "example":
            write_example(directory)
        elif what == "example-check":
            check_example(directory)
        else:
            for runs in [paths] + [[path] for path in paths]:
                checks[what](directory, runs)
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
