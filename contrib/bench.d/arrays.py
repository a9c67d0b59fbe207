#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A formula over runs joined in time as a program of Dask or numpy: what contrib/bench compares with.

    arrays.py dask|numpy FORMULA OUT RUN...
"""

import sys

import nibabel
import numpy as np


def load(path, prepare):
    return prepare(np.asarray(nibabel.load(path).dataobj))


def detrended(run, order=2):
    """A run less its fit of Legendre polynomials, but for its mean."""
    nvol = run.shape[3]
    basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, nvol), order)
    voxels = run.reshape(-1, nvol).astype(float)
    fit = np.linalg.lstsq(basis, voxels.T, rcond=None)[0]
    return (voxels - fit[1:].T @ basis[:, 1:].T).reshape(run.shape)


def tsnr(bold, of):
    return of.mean(bold, axis=3) / of.std(bold, axis=3)


def median(bold, of):
    return of.median(bold, axis=3)


def deviation(bold, of):
    return of.median(abs(bold - of.median(bold, axis=3, keepdims=True)), axis=3)


FORMULAS = {  # what is done to each run, its type (None: as stored), and the formula of them joined
    "tsnr": (np.asarray, None, tsnr),
    "median": (np.asarray, None, median),
    "deviation": (np.asarray, None, deviation),
    "trend": (detrended, float, tsnr),
}


def with_numpy(prepare, dtype, formula, images, paths):
    return formula(np.concatenate([load(path, prepare) for path in paths], axis=3), np)


def with_dask(prepare, dtype, formula, images, paths):
    import dask
    import dask.array as da

    runs = [
        da.from_delayed(
            dask.delayed(load)(path, prepare), image.shape, dtype or image.get_data_dtype()
        )
        for path, image in zip(paths, images)
    ]
    return formula(da.concatenate(runs, axis=3), da).compute()


def main():
    engine, formula, out, *paths = sys.argv[1:]
    images = [nibabel.load(path) for path in paths]
    compute = {"dask": with_dask, "numpy": with_numpy}[engine]
    values = compute(*FORMULAS[formula], images, paths)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), images[0].affine), out)


if __name__ == "__main__":
    main()
