#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A formula over runs joined in time as a program of Dask or numpy: what contrib/bench compares with.

    arrays.py dask|numpy FORMULA OUT RUN...
"""

import sys

import nibabel
import numpy as np


def load(path):
    return np.asarray(nibabel.load(path).dataobj)


FORMULAS = {  # of the series and of the module's functions
    "tsnr": lambda bold, of: of.mean(bold, axis=3) / of.std(bold, axis=3),
    "median": lambda bold, of: of.median(bold, axis=3),
}


def with_numpy(formula, images, paths):
    return formula(np.concatenate([load(path) for path in paths], axis=3), np)


def with_dask(formula, images, paths):
    import dask
    import dask.array as da

    runs = [
        da.from_delayed(dask.delayed(load)(path), image.shape, image.get_data_dtype())
        for path, image in zip(paths, images)
    ]
    return formula(da.concatenate(runs, axis=3), da).compute()


def main():
    engine, formula, out, *paths = sys.argv[1:]
    images = [nibabel.load(path) for path in paths]
    compute = {"dask": with_dask, "numpy": with_numpy}[engine]
    values = compute(FORMULAS[formula], images, paths)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), images[0].affine), out)


if __name__ == "__main__":
    main()
