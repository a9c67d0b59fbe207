#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a picture must be, from the voxels of its image.

    pictures.py numbers PICTURE IMAGE MEAN      the numbers in its texts are numpy's
    pictures.py corner DATASET                  make runs with a bright corner: right, front, up
    pictures.py corner PICTURE...               and say where in the picture it is
    pictures.py clear PICTURE                   which of its pixels are transparent

The head mask is made here in another way: by trying every threshold.
"""

import itertools
import os
import sys

import nibabel
import numpy as np
from PIL import Image

FIRST = 33  # colour of the map in the palette


def head_of(mean):
    finite = np.isfinite(mean)
    values = np.sort(mean[finite])
    values = np.minimum(values, np.percentile(values, 98))
    below = np.cumsum(values)[:-1]
    n0 = np.arange(1, len(values))
    n1 = len(values) - n0
    between = n0 * n1 * ((values.sum() - below) / n1 - below / n0) ** 2
    between[np.diff(values) <= 0] = -1
    return finite & (mean > values[between.argmax()])


def check_numbers(picture, image, mean):
    text = Image.open(picture).text
    voxels = nibabel.load(image).get_fdata()
    head = head_of(nibabel.load(mean).get_fdata())
    shown = voxels[head & np.isfinite(voxels)]
    low, high = np.percentile(shown, [2, 98])
    low = 0 if 0 <= low <= high / 2 else low
    np.testing.assert_allclose(float(text["Median"]), np.median(shown), rtol=1e-8)
    np.testing.assert_allclose([float(x) for x in text["Range"].split()], [low, high], rtol=1e-8)
    assert int(text["Head"]) == head.sum(), (text["Head"], head.sum())
    for keyword in ("Title", "Description", "Expression", "Unit", "Software"):
        print(f"{keyword}: {text[keyword]}")


def make_corners(dataset):
    """Runs of 7 x 8 x 9 voxels along right, anterior, superior, stored in every order of the axes
    and with some of them backward, and one without orientation."""
    for number, order in enumerate(itertools.permutations(range(3))):
        backward = np.array([number & 1, number & 2, number & 4]) != 0
        to_patient = np.zeros((3, 3))
        for axis, patient in enumerate(order):
            to_patient[patient, axis] = -3 if backward[axis] else 3
        shape = np.array([7, 8, 9])[list(order)]
        voxels = np.zeros((*shape, 2), "i2")
        voxels[np.indices(shape).sum(0) % 2 == 0] = 400  # the head, in all slices but the lowest
        below = [slice(None)] * 3
        below[order.index(2)] = slice(-1, None) if backward[order.index(2)] else slice(0, 1)
        voxels[tuple(below)] = 0
        corner = [slice(0, 3) if back else slice(-3, None) for back in backward]
        voxels[tuple(corner)] = 1000
        tilt = np.array([[1, 0.1, 0], [-0.1, 1, 0.2], [0, -0.2, 1]])
        affine = np.eye(4)
        affine[:3, :3] = tilt @ to_patient
        os.makedirs(f"{dataset}/{number}")
        nibabel.save(nibabel.Nifti1Image(voxels, affine), f"{dataset}/{number}/run.nii.gz")


def segments(used):
    """[begin, end) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], used.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def tiles_of(pixels):
    """Columns and rows of the slices, as stretches of pixels; right of them is the colour bar."""
    coloured = (pixels >= FIRST) | (pixels == 0)
    columns = segments(coloured.any(0))[:-1]
    return columns, segments(coloured[:, : columns[-1][1]].any(1))


def show_corner(picture):
    pixels = np.array(Image.open(picture))
    columns, rows = tiles_of(pixels)
    bright = pixels == 255
    bright[:, columns[-1][1] :] = False
    found = []
    for (row, (top, bottom)), (column, (left, right)) in itertools.product(
        enumerate(rows), enumerate(columns)
    ):
        y, x = np.nonzero(bright[top:bottom, left:right])
        if len(y) > 0:
            place = np.array([x.min(), x.max() + 1, y.min(), y.max() + 1])
            place = place / np.repeat([(right - left) / 7, (bottom - top) / 8], 2)
            found.append(f"{row * len(columns) + column}: {place.round(1).tolist()}")
    print(f"{len(columns)} x {len(rows)}", *found)


def show_clear(picture):
    image = Image.open(picture)
    pixels = np.array(image)
    alpha = np.array(image.convert("RGBA"))[..., 3]
    assert ((alpha == 0) == (pixels == 0)).all() and set(np.unique(alpha)) <= {0, 255}
    columns, rows = tiles_of(pixels)
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        y, x = np.nonzero(alpha[top:bottom, left:right] == 0)
        if len(y) > 0:
            size = np.array([right - left, bottom - top])
            print((top, left) == (rows[0][0], columns[0][0]), *np.array([x.min(), y.min()]) / size,
                  *np.array([x.max() + 1, y.max() + 1]) / size)


def main():
    command, *paths = sys.argv[1:]
    if command == "numbers":
        check_numbers(*paths)
    elif command == "clear":
        show_clear(*paths)
    elif os.path.isdir(paths[0]):
        make_corners(paths[0])
    else:
        for path in paths:
            show_corner(path)


if __name__ == "__main__":
    main()
