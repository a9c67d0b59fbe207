#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tSNR of runs joined in time as a Dask array program: what contrib/bench compares with.

    dask_tsnr.py OUT RUN...
"""

import sys

import dask
import dask.array as da
import nibabel
import numpy as np


def load(path):
    return np.asarray(nibabel.load(path).dataobj)


def main():
    out, *paths = sys.argv[1:]
    images = [nibabel.load(path) for path in paths]
    runs = [
        da.from_delayed(dask.delayed(load)(path), image.shape, image.get_data_dtype())
        for path, image in zip(paths, images)
    ]
    bold = da.concatenate(runs, axis=3)
    tsnr = (bold.mean(axis=3) / bold.std(axis=3)).compute()
    nibabel.save(nibabel.Nifti1Image(tsnr.astype(np.float32), images[0].affine), out)


if __name__ == "__main__":
    main()
