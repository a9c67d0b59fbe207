#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Files of a dataset as arrays, against numpy.

    inputs.py make FILE LIKE KIND [--seed N] [--dtype T] [--shift MM] [--shape X,Y,Z] [--volumes N]
    inputs.py check DERIVED EXPRESSION NAME=KIND:FILE...
    inputs.py value EXPRESSION NAME=KIND:FILE...

`make` writes an image on the grid of the run LIKE: KIND is mask (0 and 1), labels (0 to 3) or image,
or wild: the values that a mask may have besides, NaN and infinite ones too.
`check` compares an image with what numpy makes of the expression, whose names are given: KIND is run,
mask, labels or image; several runs are joined. `value` prints the number that an expression is.
"""

import argparse
import sys

import nibabel
import numpy as np

from pictures import head_of
from reference import load_run


def values(kind, shape, seed):
    rng = np.random.default_rng(seed)
    match kind:
        case "mask":
            return rng.random(shape) < 0.6
        case "labels":
            return rng.integers(0, 4, shape)
        case "wild":
            return rng.choice([0, -0.0, 1, 0.25, -3, np.nan, np.inf], shape)
    return rng.normal(5, 2, shape)


def make(*words):
    parser = argparse.ArgumentParser()
    for name in "path", "like", "kind":
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dtype", default="f4")
    parser.add_argument("--shift", type=float, default=0)
    parser.add_argument("--shape")
    parser.add_argument("--volumes", type=int, default=0)
    options = parser.parse_args(words)
    like = nibabel.load(options.like)
    shape = tuple(map(int, options.shape.split(","))) if options.shape else like.shape[:3]
    affine = like.affine.copy()
    affine[0, 3] += options.shift
    data = values(options.kind, shape + ((options.volumes,) if options.volumes else ()), options.seed)
    nibabel.save(nibabel.Nifti1Image(data.astype(options.dtype), affine), options.path)


def load(kind, paths):
    runs = [load_run(path) for path in paths]
    if kind == "run":
        return np.concatenate(runs, axis=-1)
    images = [run[..., 0] for run in runs]
    if kind in ("all", "any"):
        return getattr(np, kind)([(image != 0) & ~np.isnan(image) for image in images], axis=0)
    return (images[0] != 0) & ~np.isnan(images[0]) if kind == "mask" else images[0]


def reduction(function):
    def of(x, within=None, **more):
        if within is None:
            return function(x, axis=-1, **more)
        inside = x[within & np.isfinite(x)]
        return function(inside, **more) if inside.size else np.nan

    return of


FUNCTIONS = {name: reduction(getattr(np, name)) for name in "mean std var sum min max median".split()}
FUNCTIONS["otsu"] = head_of
FUNCTIONS |= {name: getattr(np, name) for name in "abs sqrt exp log isfinite nan_to_num where".split()}


def names_of(words):
    names, grid = {}, None
    for word in words:
        name, _, rest = word.partition("=")
        kind, _, paths = rest.partition(":")
        names[name] = load(kind, paths.split(","))
        if kind == "run":
            grid = nibabel.load(paths.split(",")[0])
    index = np.indices(grid.shape[:3]).astype(float)
    place = np.moveaxis(nibabel.affines.apply_affine(grid.affine, np.moveaxis(index, 0, -1)), -1, 0)
    return names | dict(zip("ijk", index)) | dict(zip("xyz", place))


def value(expression, *words):
    """The number, with all of its digits."""
    print(repr(float(eval(expression, FUNCTIONS | names_of(words)))))


def check(derived, expression, *words):
    with np.errstate(all="ignore"):
        expected = eval(expression, FUNCTIONS | names_of(words))
    got = nibabel.load(derived).get_fdata()
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def main():
    return {"make": make, "check": check, "value": value}[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
